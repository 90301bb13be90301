// What the report says, and small helpers. Text goes into the page as text alone: nothing here parses HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** Make an element: properties by name, attributes where the name has a dash or is `role`. */
function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.includes("-") || key === "role" || key === "scope") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return made;
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

const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
function figure(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
  if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6)) return String(Number(value.toPrecision(4)));
  return value.toExponential(2);
}

/** Everything that a mark says, in words. */
function words(cell) {
  const said = [DATA.verdicts[cell.verdict].name];
  if (cell.flags & FAILS) said.push("fails");
  if (cell.flags & EXPECTED) said.push("declared to be expected");
  if (cell.flags & WORSE) said.push(`worse than the baseline, ${DATA.verdicts[cell.baseline].name}`);
  if (cell.flags & BETTER) said.push(`better than the baseline, ${DATA.verdicts[cell.baseline].name}`);
  if (cell.flags & NEW) said.push("not in the baseline");
  if (cell.flags & OWN) said.push("its own environment");
  return said.join(", ");
}
const changeMark = (cell) => (cell.flags & WORSE ? "▼" : cell.flags & BETTER ? "▲" : cell.flags & NEW ? "+" : "");
