// What a person does: filters, keys, clicks; and the address of a cell.
function apply() {
  const at = cellOfPlaceOrNull();
  refilter();
  if (at) {
    const row = view.rows.indexOf(at[0]), column = view.columns.indexOf(at[1]);
    focus.row = Math.max(0, row);
    focus.column = Math.max(0, column);
  }
  grid.scrollTop = 0;
  const none = !view.rows.length || !view.columns.length;
  grid.hidden = none;
  byId("nothing").hidden = !none;
  drawGrid();
  const narrowed = filtering() || filters.framework;
  byId("reset").hidden = !narrowed;
  byId("shown").textContent = narrowed ? `${plural(view.hitCount, "cell")} of ${plural(view.rows.length, "model")}` : "";
}
const cellOfPlaceOrNull = () => (view.rows.length ? [view.rows[focus.row], view.columns[focus.column]] : null);

function press(button, on) { button.setAttribute("aria-pressed", String(on)); }

document.querySelectorAll(".chip").forEach((chip) => chip.addEventListener("click", () => {
  const verdict = Number(chip.dataset.verdict);
  if (!filters.verdicts.delete(verdict)) filters.verdicts.add(verdict);
  press(chip, filters.verdicts.has(verdict));
  apply();
}));
const segments = document.querySelectorAll("[data-framework]");
segments.forEach((button) => button.addEventListener("click", () => {
  filters.framework = button.dataset.framework;
  segments.forEach((b) => press(b, b === button));
  apply();
}));
for (const name of ["failing", "changed"]) {
  byId(name)?.addEventListener("change", (event) => { filters[name] = event.target.checked; apply(); });
}
byId("sort").addEventListener("change", (event) => { filters.sort = event.target.value; apply(); });
let waiting = 0;
byId("search").addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    filters.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean).slice(0, 12);
    apply();
  }, 60);
});
function reset() {
  filters.verdicts.clear();
  Object.assign(filters, { framework: "", failing: false, changed: false, words: [] });
  document.querySelectorAll(".chip").forEach((chip) => press(chip, false));
  segments.forEach((b) => press(b, b.dataset.framework === ""));
  for (const name of ["failing", "changed"]) if (byId(name)) byId(name).checked = false;
  byId("search").value = "";
  apply();
  byId("search").focus();
}
byId("reset").addEventListener("click", reset);
byId("reset-too").addEventListener("click", reset);

grid.addEventListener("scroll", () => requestAnimationFrame(() => drawRows()), { passive: true });
addEventListener("resize", () => requestAnimationFrame(() => { if (!grid.hidden) drawRows(); }));
grid.addEventListener("click", (event) => {
  const place = placeOf(event.target);
  if (!place) return;
  moveFocus(...place);
  const cell = cellOfPlace(place);
  if (cell) openCell(cell);
});
grid.addEventListener("focus", (event) => { if (event.target === grid) moveFocus(focus.row, focus.column); });
grid.addEventListener("keydown", (event) => {
  if (!placeOf(event.target) || event.altKey || event.metaKey) return;
  const { row, column } = focus;
  const page = Math.max(1, Math.floor((grid.clientHeight - head.offsetHeight) / rowHeight) - 1);
  const ends = [view.rows.length - 1, view.columns.length - 1];
  const moves = {
    ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
    PageUp: [row - page, column], PageDown: [row + page, column],
    Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? ends[0] : row, ends[1]],
  };
  const cell = cellOfPlace([row, column]);
  if (moves[event.key]) moveFocus(...moves[event.key]);
  else if ((event.key === "Enter" || event.key === " ") && cell) openCell(cell);
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "") && document.activeElement.type !== "checkbox";
  if (event.key === "Escape" && !panel.hidden) { closePanel(); event.preventDefault(); }
  else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { byId("search").focus(); event.preventDefault(); }
});
// Paper has no scroll bar: while printing every row exists, up to what a printer should be asked for.
addEventListener("beforeprint", () => { if (view.rows.length <= 3000) { drawRows(true); sortDrawn(); } });
addEventListener("afterprint", () => drawRows());
function sortDrawn() { body.append(...[...drawn.keys()].sort((a, b) => a - b).map((at) => drawn.get(at))); }

document.querySelectorAll("[data-grow]").forEach((part) => { part.style.flexGrow = part.dataset.grow; });
apply();
(function openAddressed() {
  const [ref, name] = location.hash.slice(1).split("@").map((part) => { try { return decodeURIComponent(part); } catch { return ""; } });
  const r = DATA.artifacts.findIndex((a) => a.ref === ref), c = DATA.sites.findIndex((s) => s.name === name);
  if (r < 0 || c < 0 || !cellAt(r, c)) return;
  openCell(cellAt(r, c));
})();
