// The panel of the opened cell, with all details. The focus goes into it, and back to the grid.
const panel = byId("panel");

const section = (title, ...children) => {
  const present = children.filter((c) => c !== null && c !== undefined && c !== "");
  return present.length ? el("section", {}, el("h3", {}, title), ...present) : null;
};
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function openCell(cell, take = true) {
  const before = opened;
  opened = cell;
  mark(before);
  mark(cell);
  const artifact = DATA.artifacts[cell.r], site = DATA.sites[cell.c], details = detailsOf(cell);
  panel.replaceChildren(
    panelHead(cell, artifact, site),
    el("section", {}, el("p", { className: "reason" }, cell.reason || "–"), flagsOf(cell, details)),
    ...[
      historyOf(cell, artifact),
      section("Reproduce", commandBlock(`${DATA.command} \\\n    --artifact ${artifact.arg} \\\n    --env ${site.arg}`)),
      differenceOf(details),
      section("Versions", versionsOf(artifact, site, details)),
      section("Also known", factsOf(details.facts)),
      details.log ? section("Log", el("pre", { tabIndex: 0 }, details.log)) : null,
      section("This cell", factsOf({
        profile: details.profile, seconds: details.seconds, attempts: details.attempts, answer: details.answer,
        image: site.manifest, environment: site.name, machine: DATA.machines[details.machine] ?? null,
        tags: artifact.tags, origin: artifact.origin, [artifact.origin]: artifact.created,
      })),
    ].filter(Boolean),
  );
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("open");
  const row = view.rows.indexOf(cell.r), column = view.columns.indexOf(cell.c);
  if (row >= 0 && column >= 0) moveFocus(row, column, false); // the part of the grid beside the panel shows it
  if (take) byId("panel-title").focus({ preventScroll: true });
  remember(`#${encodeURIComponent(artifact.ref)}@${encodeURIComponent(site.name)}`);
}

function closePanel() {
  if (panel.hidden) return;
  const before = opened;
  opened = null;
  mark(before);
  panel.hidden = true;
  panel.replaceChildren();
  document.body.classList.remove("open");
  remember("");
  moveFocus(focus.row, focus.column);
}

function mark(cell) {
  if (!cell) return;
  const row = view.rows.indexOf(cell.r), column = view.columns.indexOf(cell.c);
  elementAt(row, column)?.classList.toggle("opened", cell === opened);
}

// A file's address may refuse to be changed: then the cell just has no address.
function remember(hash) {
  try { history.replaceState(null, "", hash || location.pathname + location.search); } catch { /* as said */ }
}

function panelHead(cell, artifact, site) {
  const verdict = DATA.verdicts[cell.verdict];
  const step = (by, label, glyph) => {
    const button = el("button", { type: "button", className: "ghost", title: label, "aria-label": label, "data-step": by }, glyph);
    button.addEventListener("click", () => nextFinding(by));
    return button;
  };
  const close = el("button", { type: "button", className: "ghost", id: "close", title: "Close (Esc)", "aria-label": "Close" }, "✕");
  close.addEventListener("click", closePanel);
  return el("div", { className: "head" },
    el("div", { className: "row" },
      el("span", { className: `verdict v-${verdict.id}` }, el("span", { "aria-hidden": "true" }, verdict.glyph), verdict.name),
      step(-1, "Previous finding", "‹"), step(1, "Next finding", "›"), close),
    el("h2", { id: "panel-title", tabIndex: -1 }, artifact.ref, el("small", {}, `${artifact.about ? `${artifact.about} · ` : ""}in ${site.title}`)));
}

/** Open the next cell, in reading order, that is not identical and not filtered away. */
function nextFinding(by) {
  const finding = (c) => c && (view.hits ? view.hits.has(c) : !DATA.verdicts[c.verdict].fine);
  const wide = view.columns.length, all = view.rows.length * wide;
  let at = opened ? view.rows.indexOf(opened.r) * wide + view.columns.indexOf(opened.c) : -1;
  for (let k = 0; k < all; k++) {
    at = (at + by + all) % all;
    const place = [Math.floor(at / wide), at % wide];
    const cell = cellOfPlace(place);
    if (finding(cell)) { openCell(cell, false); panel.querySelector(`[data-step="${by}"]`).focus(); return; }
  }
}

function flagsOf(cell, details) {
  const list = el("ul", { className: "flags" });
  const add = (glyph, text) => list.append(el("li", { "data-mark": glyph }, text));
  if (cell.flags & FAILS) add("!", "This cell fails.");
  if (details.expected) add("e", `Declared to be expected: ${details.expected}`);
  if (cell.flags & (WORSE | BETTER)) {
    add(changeMark(cell), `${cell.flags & WORSE ? "Worse" : "Better"} than the baseline, where it was ${DATA.verdicts[cell.baseline].name}.`);
  } else if (cell.flags & NEW) add("+", "The baseline doesn't know this cell.");
  if (cell.flags & OWN) add("•", "The artifact's own environment.");
  for (const note of details.notes ?? []) add("–", note);
  return list.children.length ? list : null;
}

function historyOf(cell, artifact) {
  const strip = el("div", { className: "strip" });
  const cells = [...CELLS[cell.r].values()].sort((a, b) => a.c - b.c);
  cells.slice(0, 60).forEach((other) => {
    const verdict = DATA.verdicts[other.verdict], site = DATA.sites[other.c];
    const button = el("button", { type: "button", className: `v-${verdict.id}`, title: `${site.title}: ${verdict.name}`,
      "aria-label": `${site.title}: ${words(other)}`, "aria-current": other === cell ? "true" : "false" },
      el("b", { "aria-hidden": "true" }, verdict.glyph), site.short.length > 12 ? `${site.short.slice(0, 11)}…` : site.short);
    button.addEventListener("click", () => openCell(other));
    strip.append(button);
  });
  return section("In every environment", artifact.history ? el("p", {}, artifact.history) : null, strip);
}

function commandBlock(text) {
  const copy = el("button", { type: "button", className: "ghost" }, "Copy");
  const command = el("pre", { tabIndex: 0, id: "command" }, text);
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(command); copy.textContent = "Selected"; }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return el("div", { className: "command" }, command, copy);
}

function table(headings, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...headings.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((v) => el("td", {}, v))))));
}

function versionsOf(artifact, site, details) {
  const sealedIn = DATA.sites.find((s) => s.name === artifact.environment);
  const runs = artifact.runs;
  const then = sealedIn ? sealedIn.packages : { python: artifact.python, ...(artifact.version ? { [runs]: artifact.version } : {}) };
  const loaded = isObject(details.versions) ? details.versions : {};
  const unlisted = Object.entries(loaded).filter(([name, version]) => version !== (site.packages[name] ?? site.frameworks[name]));
  const rows = unlisted.map(([name, version]) => [`${name}, as it says itself`, name === runs ? artifact.version ?? "" : then[name] ?? "", String(version)]);
  if (sealedIn === site) return el("div", {}, rows.length ? table(["package", "recorded", "here"], rows) : null, el("p", {}, "The same environment on both sides."));
  const first = [...Object.keys(site.frameworks), "python", "numpy"];
  const rank = (name) => (first.indexOf(name) < 0 ? 99 : first.indexOf(name));
  const names = sealedIn ? [...new Set([...Object.keys(then), ...Object.keys(site.packages)])] : Object.keys(then);
  const changed = names.filter((n) => then[n] !== site.packages[n]).sort((a, b) => rank(a) - rank(b) || NATURAL.compare(a, b));
  rows.push(...changed.slice(0, 60).map((n) => [n, then[n] ?? "–", site.packages[n] ?? "–"]));
  const rest = changed.length - 60;
  return el("div", {}, rows.length ? table(["package", sealedIn ? sealedIn.title : "recorded", site.title], rows) : el("p", {}, "No package differs."),
    rest > 0 ? el("p", {}, `… and ${rest} more packages`) : null);
}

function differenceOf(details) {
  const difference = details.difference;
  if (!isObject(difference) || !isObject(difference.outputs)) return null;
  const outputs = Object.entries(difference.outputs).filter(([, output]) => isObject(output));
  const severity = (output) => DATA.verdicts.find((v) => v.id === output.verdict)?.severity ?? 99;
  outputs.sort((a, b) => severity(b[1]) - severity(a[1]));
  const missing = [...listed(difference.missing, "is missing"), ...listed(difference.extra, "was not expected")];
  return section(outputs.length + (difference.more ?? 0) === 1 ? "Difference" : `Differences in ${outputs.length + (difference.more ?? 0)} outputs`,
    ...missing.map((text) => el("p", {}, text)),
    ...outputs.map(([name, output], k) => outputOf(name, output, k === 0 && output.verdict !== "identical")),
    difference.more ? el("p", {}, `… and ${plural(difference.more, "more output")}, in report.json`) : null);
}

const listed = (names, fault) => (Array.isArray(names) ? names.map((name) => `Output ${String(name)} ${fault}.`) : []);

function outputOf(name, output, open) {
  const element = el("details", { className: "output", open }, el("summary", {}, `${name}: ${String(output.verdict ?? "")}`),
    el("p", { className: "why" }, String(output.reason ?? "")));
  // It is filled when it is opened.
  const fill = () => {
    if (element.dataset.filled) return;
    element.dataset.filled = "yes";
    const facts = [
      ["dtype and shape", `${output.dtype} ${JSON.stringify(output.shape)}`], ["elements that differ", output.differing === undefined ? null : `${figure(output.differing)} of ${figure(output.elements)}`],
      ["largest |difference|", output.max_abs === undefined ? null : `${figure(output.max_abs)} at ${JSON.stringify(output.worst)}`], ["of the scale", output.relative], ["sULP", output.sulp], ["steps, at most", output.max_ulp],
      ["rows beyond 1e-5 of the scale", output.rows_beyond === undefined ? null : `${figure(output.rows_beyond)} of ${figure(output.rows)}`],
      ["elements beyond ONNX's tolerance (1e-7 + 1e-3 × |value|)", output.beyond_onnx],
      ["flips, of them at ties", output.flips === undefined ? null : `${figure(output.flips)}, ${figure(output.tie_flips)}`], ["smallest margin", output.smallest_margin],
      ["NaN moved", output.nan_moved || null], ["infinities moved", output.inf_moved || null], ["signed zeros", output.signed_zeros || null],
    ].filter(([, value]) => value !== null && value !== undefined).map(([key, value]) => [key, typeof value === "number" ? figure(value) : String(value)]);
    const picture = plotOf(output);
    element.append(...[picture, picture || output.verdict !== "identical" ? table(["", ""], facts) : null].filter(Boolean));
    element.querySelector("thead")?.remove();
  };
  element.addEventListener("toggle", () => element.open && fill());
  if (open) fill();
  return element;
}

function factsOf(facts) {
  if (!isObject(facts)) return null;
  const rows = Object.entries(facts).filter(([, v]) => v !== null && v !== undefined && v !== "" && !(isObject(v) && !Object.keys(v).length))
    .map(([key, value]) => [key.replaceAll("_", " "), spelled(value)]);
  if (!rows.length) return null;
  const list = table(["", ""], rows);
  list.querySelector("thead").remove();
  return list;
}
function spelled(value) {
  if (isObject(value)) return Object.entries(value).map(([k, v]) => `${k}: ${spelled(v)}`).join("; ");
  if (Array.isArray(value)) return value.map(spelled).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? figure(value) : String(value);
}
