// The report's data, and small helpers. Text goes into the page as text alone: nothing in this file parses HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** Make an element: properties by name, attributes where the name has a dash or is `role`. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "scope") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return element;
}

// A cell of the grid, by artifact (r) and environment (c). The payload has a row of
// [c, verdict, flags, baseline, reason] for each artifact.
const FAILS = 1, EXPECTED = 2, OWN = 4, WORSE = 8, BETTER = 16, NEW = 32;
const CELLS = DATA.cells.map((row, r) => {
  const places = new Map();
  row.forEach(([c, verdict, flags, baseline, reason], at) =>
    places.set(c, { r, c, at, verdict, flags, baseline, reason: DATA.reasons[reason] ?? "" }));
  return places;
});
const cellAt = (r, c) => CELLS[r].get(c);

// The rest of a row's cells is parsed when one of them is opened.
const DETAILS = new Map();
function detailsOf(cell) {
  if (!DETAILS.has(cell.r)) DETAILS.set(cell.r, JSON.parse(byId(`row-${cell.r}`).textContent));
  return DETAILS.get(cell.r)[cell.at] ?? {};
}

const plural = (n, singular, many = `${singular}s`) => `${count(n)} ${n === 1 ? singular : many}`;
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
function figure(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6)) return String(Number(value.toPrecision(4)));
  return value.toExponential(2);
}

/** Everything that a cell's mark means, in words. */
function words(cell) {
  const phrases = [DATA.verdicts[cell.verdict].name];
  if (cell.flags & FAILS) phrases.push("fails");
  if (cell.flags & EXPECTED) phrases.push("declared to be expected");
  if (cell.flags & WORSE) phrases.push(`worse than the baseline, ${DATA.verdicts[cell.baseline].name}`);
  if (cell.flags & BETTER) phrases.push(`better than the baseline, ${DATA.verdicts[cell.baseline].name}`);
  if (cell.flags & NEW) phrases.push("not in the baseline");
  if (cell.flags & OWN) phrases.push("its own environment");
  return phrases.join(", ");
}
const changeMark = (cell) => (cell.flags & WORSE ? "▼" : cell.flags & BETTER ? "▲" : cell.flags & NEW ? "+" : "");
