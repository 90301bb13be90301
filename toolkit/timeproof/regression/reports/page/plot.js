// The distribution of |difference|: a bar a power of two of sULP, drawn as SVG.
const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const LEAST = -8; // histogram[1] is what is below 2^-8 sULP, histogram[k] begins at 2^(k-10)
const exponentOf = (bin) => bin - 2 + LEAST;
const power = (e) => (e >= 0 && e < 10 ? count(2 ** e) : `2${String(e).replace(/[-\d]/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d] ?? "⁻")}`);
function binName(bin) {
  if (bin === 0) return "equal in value";
  return bin === 1 ? `below ${power(LEAST)} sULP` : `${power(exponentOf(bin))} to ${power(exponentOf(bin) + 1)} sULP`;
}

/** In sULP: where rounding ends, and where drift does. */
function limitsOf(output) {
  const narrow = { float16: 13, ">f2": 13, bfloat16: 16 }[output.dtype] ?? 0; // they count in float32's steps
  const rounding = DATA.thresholds.rounding * 2 ** -narrow;
  const unit = number(output.max_abs) && number(output.sulp) ? output.max_abs / output.sulp : null;
  const share = narrow ? DATA.thresholds.drift_16bit : DATA.thresholds.drift;
  return { rounding, drift: unit && number(output.scale) ? Math.max(rounding, (output.scale * share) / unit) : null };
}

function plotOf(output) {
  const bins = Array.isArray(output.histogram) ? output.histogram.slice(0, 65).map((n) => (number(n) > 0 ? n : 0)) : [];
  const total = bins.reduce((a, b) => a + b, 0);
  if (!total) return null;
  const limits = limitsOf({ ...output, dtype: String(output.dtype) });
  const first = Math.min(bins.findIndex((n, k) => k && n) < 0 ? 1 : bins.findIndex((n, k) => k && n), Math.max(2, 2 - LEAST - 4));
  const last = Math.max(bins.length - 1, first + 1, Math.ceil(Math.log2(limits.rounding)) + 3 - LEAST);
  const bars = [0, ...Array.from({ length: last - first + 1 }, (_, k) => first + k)];
  const wide = 480, high = 214, base = 164, top = 38, step = (wide - 16) / (bars.length + 0.6);
  const most = Math.log10(1 + Math.max(...bins));
  const x = (k) => 8 + k * step + (k ? step * 0.6 : 0);
  const edge = (sulp) => x(1) + (Math.log2(sulp) - exponentOf(first)) * step;
  const zone = (bin) => {
    if (bin === 0) return "equal";
    if (exponentOf(bin) < Math.log2(limits.rounding)) return "zone-rounding";
    return limits.drift && exponentOf(bin) < Math.log2(limits.drift) ? "zone-drift" : "zone-beyond";
  };
  const picture = svg("svg", { class: "plot", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": plotWords(bins, total) });
  picture.append(svg("line", { class: "axis", x1: 4, x2: wide - 4, y1: base + .5, y2: base + .5 }));
  picture.append(svg("text", { x: 6, y: base + 15 }, "equal"));
  const sparse = Math.ceil(30 / step), labels = Math.ceil(26 / step);
  bars.forEach((bin, k) => {
    const n = bins[bin] ?? 0;
    if (n) {
      const height = Math.max(2, (Math.log10(1 + n) / most) * (base - top));
      picture.append(svg("rect", { class: zone(bin), x: x(k), y: base - height, width: Math.max(2, step - 2), height, rx: 2 },
        svg("title", {}, `${binName(bin)}: ${count(n)} of ${count(total)}`)));
      if (sparse === 1 || bin === 0 || n === Math.max(...bins.slice(1))) {
        picture.append(svg("text", { class: "count", x: x(k) + (step - 2) / 2, y: base - height - 4, "text-anchor": "middle" }, count(n)));
      }
    }
    if (bin && x(k) > 50 && exponentOf(bin) % labels === 0) picture.append(svg("text", { x: x(k), y: base + 15, "text-anchor": "middle" }, power(exponentOf(bin))));
  });
  for (const [name, at] of [["rounding", limits.rounding], ["drift", limits.drift]]) {
    if (!at || edge(at) < x(1) || edge(at) > wide - 8) continue;
    picture.append(svg("line", { class: "limit", x1: edge(at), x2: edge(at), y1: top - 30, y2: base }),
      svg("text", { x: edge(at) - 4, y: top - 24, "text-anchor": "end" }, `${name} ends`));
  }
  picture.append(svg("text", { x: wide - 8, y: base + 34, "text-anchor": "end" }, "|difference| in sULP; bars are logarithmic"));
  return picture;
}

function plotWords(bins, total) {
  const phrases = bins.map((n, bin) => (n ? `${binName(bin)}: ${n}` : "")).filter(Boolean);
  return `Distribution of ${total} differences. ${phrases.join("; ")}.`;
}
