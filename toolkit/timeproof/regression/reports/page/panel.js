// The opened cell: everything that is known of it. The focus goes into it, and back to the grid.
const panel = byId("panel");

const section = (title, ...children) => {
  const kept = children.filter((c) => c !== null && c !== undefined && c !== "");
  return kept.length ? el("section", {}, el("h3", {}, title), ...kept) : null;
};
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function openCell(cell, take = true) {
  const before = opened;
  opened = cell;
  mark(before);
  mark(cell);
  const artifact = DATA.artifacts[cell.r], site = DATA.sites[cell.c], told = detailsOf(cell);
  panel.replaceChildren(
    panelHead(cell, artifact, site),
    el("section", {}, el("p", { className: "reason" }, cell.reason || "–"), flagsOf(cell, told)),
    ...[
      historyOf(cell, artifact),
      section("Reproduce", commandBlock(`${DATA.command} \\\n    --artifact ${artifact.arg} \\\n    --env ${site.arg}`)),
      differenceOf(told),
      section("Versions", versionsOf(artifact, site, told)),
      section("Also known", factsOf(told.facts)),
      told.log ? section("Log", el("pre", { tabIndex: 0 }, told.log)) : null,
      section("This cell", factsOf({
        profile: told.profile, seconds: told.seconds, attempts: told.attempts, answer: told.answer,
        image: site.manifest, environment: site.name, machine: DATA.machines[told.machine] ?? null,
        tags: artifact.tags, origin: artifact.origin, [artifact.origin]: artifact.created,
      })),
    ].filter(Boolean),
  );
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("open");
  const row = view.rows.indexOf(cell.r), column = view.columns.indexOf(cell.c);
  if (row >= 0 && column >= 0) moveFocus(row, column, false); // what the panel left of the grid shows it
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
    const made = el("button", { type: "button", className: "ghost", title: label, "aria-label": label, "data-step": by }, glyph);
    made.addEventListener("click", () => nextFinding(by));
    return made;
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

function flagsOf(cell, told) {
  const list = el("ul", { className: "flags" });
  const add = (glyph, text) => list.append(el("li", { "data-mark": glyph }, text));
  if (cell.flags & FAILS) add("!", "This cell fails.");
  if (told.expected) add("e", `Declared to be expected: ${told.expected}`);
  if (cell.flags & (WORSE | BETTER)) {
    add(changeMark(cell), `${cell.flags & WORSE ? "Worse" : "Better"} than the baseline, where it was ${DATA.verdicts[cell.baseline].name}.`);
  } else if (cell.flags & NEW) add("+", "The baseline doesn't know this cell.");
  if (cell.flags & OWN) add("•", "The artifact's own environment.");
  for (const note of told.notes ?? []) add("–", note);
  return list.children.length ? list : null;
}

function historyOf(cell, artifact) {
  const strip = el("div", { className: "strip" });
  const cells = [...CELLS[cell.r].values()].sort((a, b) => a.c - b.c);
  cells.slice(0, 60).forEach((other) => {
    const verdict = DATA.verdicts[other.verdict], site = DATA.sites[other.c];
    const made = el("button", { type: "button", className: `v-${verdict.id}`, title: `${site.title}: ${verdict.name}`,
      "aria-label": `${site.title}: ${words(other)}`, "aria-current": other === cell ? "true" : "false" },
      el("b", { "aria-hidden": "true" }, verdict.glyph), site.short.length > 12 ? `${site.short.slice(0, 11)}…` : site.short);
    made.addEventListener("click", () => openCell(other));
    strip.append(made);
  });
  return section("In every environment", artifact.history ? el("p", {}, artifact.history) : null, strip);
}

function commandBlock(text) {
  const copy = el("button", { type: "button", className: "ghost" }, "Copy");
  const shown = el("pre", { tabIndex: 0, id: "command" }, text);
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(shown); copy.textContent = "Selected"; }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return el("div", { className: "command" }, shown, copy);
}

function table(headings, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...headings.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((v) => el("td", {}, v))))));
}

function versionsOf(artifact, site, told) {
  const own = DATA.sites.find((s) => s.name === artifact.environment);
  const runs = artifact.runs;
  const then = own ? own.packages : { python: artifact.python, ...(artifact.version ? { [runs]: artifact.version } : {}) };
  const said = isObject(told.versions) ? told.versions : {};
  const others = Object.entries(said).filter(([name, version]) => version !== (site.packages[name] ?? site.frameworks[name]));
  const rows = others.map(([name, version]) => [`${name}, as it says itself`, name === runs ? artifact.version ?? "" : then[name] ?? "", String(version)]);
  if (own === site) return el("div", {}, rows.length ? table(["package", "recorded", "here"], rows) : null, el("p", {}, "The same environment on both sides."));
  const first = [...Object.keys(site.frameworks), "python", "numpy"];
  const rank = (name) => (first.indexOf(name) < 0 ? 99 : first.indexOf(name));
  const names = own ? [...new Set([...Object.keys(then), ...Object.keys(site.packages)])] : Object.keys(then);
  const changed = names.filter((n) => then[n] !== site.packages[n]).sort((a, b) => rank(a) - rank(b) || NATURAL.compare(a, b));
  rows.push(...changed.slice(0, 60).map((n) => [n, then[n] ?? "–", site.packages[n] ?? "–"]));
  const left = changed.length - 60;
  return el("div", {}, rows.length ? table(["package", own ? own.title : "recorded", site.title], rows) : el("p", {}, "No package differs."),
    left > 0 ? el("p", {}, `… and ${left} more packages`) : null);
}

function differenceOf(told) {
  const found = told.difference;
  if (!isObject(found) || !isObject(found.outputs)) return null;
  const outputs = Object.entries(found.outputs).filter(([, one]) => isObject(one));
  const severity = (one) => DATA.verdicts.find((v) => v.id === one.verdict)?.severity ?? 99;
  outputs.sort((a, b) => severity(b[1]) - severity(a[1]));
  const missing = [...listed(found.missing, "is missing"), ...listed(found.extra, "was not expected")];
  return section(outputs.length + (found.more ?? 0) === 1 ? "Difference" : `Differences in ${outputs.length + (found.more ?? 0)} outputs`,
    ...missing.map((text) => el("p", {}, text)),
    ...outputs.map(([name, one], k) => outputOf(name, one, k === 0 && one.verdict !== "identical")),
    found.more ? el("p", {}, `… and ${plural(found.more, "more output")}, in report.json`) : null);
}

const listed = (names, what) => (Array.isArray(names) ? names.map((name) => `Output ${String(name)} ${what}.`) : []);

function outputOf(name, one, open) {
  const made = el("details", { className: "output", open }, el("summary", {}, `${name}: ${String(one.verdict ?? "")}`),
    el("p", { className: "why" }, String(one.reason ?? "")));
  // Drawn when it is looked at.
  const fill = () => {
    if (made.dataset.filled) return;
    made.dataset.filled = "yes";
    const facts = [
      ["dtype and shape", `${one.dtype} ${JSON.stringify(one.shape)}`], ["elements that differ", one.differing === undefined ? null : `${figure(one.differing)} of ${figure(one.elements)}`],
      ["largest |difference|", one.max_abs === undefined ? null : `${figure(one.max_abs)} at ${JSON.stringify(one.worst)}`], ["of the scale", one.relative], ["sULP", one.sulp], ["steps, at most", one.max_ulp],
      ["rows beyond 1e-5 of the scale", one.rows_beyond === undefined ? null : `${figure(one.rows_beyond)} of ${figure(one.rows)}`],
      ["elements beyond ONNX's tolerance (1e-7 + 1e-3 × |value|)", one.beyond_onnx],
      ["flips, of them at ties", one.flips === undefined ? null : `${figure(one.flips)}, ${figure(one.tie_flips)}`], ["smallest margin", one.smallest_margin],
      ["NaN moved", one.nan_moved || null], ["infinities moved", one.inf_moved || null], ["signed zeros", one.signed_zeros || null],
    ].filter(([, value]) => value !== null && value !== undefined).map(([key, value]) => [key, typeof value === "number" ? figure(value) : String(value)]);
    const picture = plotOf(one);
    made.append(...[picture, picture || one.verdict !== "identical" ? table(["", ""], facts) : null].filter(Boolean));
    made.querySelector("thead")?.remove();
  };
  made.addEventListener("toggle", () => made.open && fill());
  if (open) fill();
  return made;
}

function factsOf(facts) {
  if (!isObject(facts)) return null;
  const rows = Object.entries(facts).filter(([, v]) => v !== null && v !== undefined && v !== "" && !(isObject(v) && !Object.keys(v).length))
    .map(([key, value]) => [key.replaceAll("_", " "), spelled(value)]);
  if (!rows.length) return null;
  const made = table(["", ""], rows);
  made.querySelector("thead").remove();
  return made;
}
function spelled(value) {
  if (isObject(value)) return Object.entries(value).map(([k, v]) => `${k}: ${spelled(v)}`).join("; ");
  if (Array.isArray(value)) return value.map(spelled).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? figure(value) : String(value);
}
