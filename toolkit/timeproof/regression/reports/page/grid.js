// The grid: only the rows in sight exist, and the one that has the focus. One cell is in the tab order.
const grid = byId("grid");
const head = el("div", { className: "head", role: "rowgroup" });
const body = el("div", { className: "body", role: "rowgroup" });
const drawn = new Map(); // place among view.rows → the row's element
const focus = { row: 0, column: 0 };
let opened = null; // the cell that the panel shows
let rowHeight = 44;

function drawGrid() {
  drawn.clear();
  grid.style.setProperty("--columns", view.columns.length);
  grid.setAttribute("aria-rowcount", view.rows.length + 2);
  grid.setAttribute("aria-colcount", view.columns.length + 1);
  head.replaceChildren(groupRow(), columnRow());
  body.replaceChildren();
  if (!head.parentNode) grid.append(head, body);
  rowHeight = parseFloat(getComputedStyle(grid).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
  body.style.height = `${view.rows.length * rowHeight}px`;
  focus.row = Math.min(focus.row, Math.max(0, view.rows.length - 1));
  focus.column = Math.min(focus.column, Math.max(0, view.columns.length - 1));
  drawRows();
}

const startsGroup = (at) => at === 0 || DATA.sites[view.columns[at]].group !== DATA.sites[view.columns[at - 1]].group;

function groupRow() {
  const row = el("div", { role: "row", "aria-rowindex": 1 }, el("div", { className: "corner", role: "columnheader", "aria-colindex": 1 }, "framework"));
  for (let at = 0; at < view.columns.length;) {
    let end = at + 1;
    while (end < view.columns.length && !startsGroup(end)) end++;
    const name = DATA.groups[DATA.sites[view.columns[at]].group];
    const group = el("div", { className: "group first-of-group", role: "columnheader", "aria-colspan": end - at, "aria-colindex": at + 2, title: name }, name);
    group.style.gridColumn = `span ${end - at}`;
    row.append(group);
    at = end;
  }
  return row;
}

function columnRow() {
  const row = el("div", { role: "row", "aria-rowindex": 2 }, el("div", { className: "corner", role: "columnheader", "aria-colindex": 1 }, "model"));
  view.columns.forEach((c, at) => {
    const site = DATA.sites[c];
    const label = `${site.title}${site.dated ? `, not before ${site.dated}` : ""}${site.failure ? `, could not be had: ${site.failure}` : ""}`;
    row.append(el("div", {
      className: `column${startsGroup(at) ? " first-of-group" : ""}${site.failure ? " failure" : ""}`,
      role: "columnheader", "aria-colindex": at + 2, "aria-label": label, title: label,
    }, el("b", {}, `${site.failure ? "! " : ""}${site.short}`), el("span", {}, (site.dated ?? "").slice(0, 7))));
  });
  return row;
}

function drawRows(all = false) {
  const top = Math.max(0, Math.floor(grid.scrollTop / rowHeight) - 6);
  const end = all ? view.rows.length : Math.min(view.rows.length, Math.ceil((grid.scrollTop + grid.clientHeight) / rowHeight) + 6);
  const wanted = new Set([focus.row].filter((at) => at < view.rows.length));
  for (let at = all ? 0 : top; at < end; at++) wanted.add(at);
  for (const [at, row] of drawn) if (!wanted.has(at)) { row.remove(); drawn.delete(at); }
  const missing = [...wanted].filter((at) => !drawn.has(at)).sort((a, b) => a - b);
  const rows = document.createDocumentFragment();
  for (const at of missing) { const row = drawRow(at); drawn.set(at, row); rows.append(row); }
  body.append(rows);
}

function drawRow(at) {
  const r = view.rows[at];
  const artifact = DATA.artifacts[r];
  const row = el("div", { role: "row", "aria-rowindex": at + 3 });
  row.style.transform = `translateY(${at * rowHeight}px)`;
  row.append(el("div", { className: "name", role: "rowheader", "aria-colindex": 1, title: `${artifact.ref}\n${artifact.about}` },
    refOf(artifact.ref), el("span", {}, artifact.about)));
  view.columns.forEach((c, place) => row.append(drawCell(at, place, r, c, artifact)));
  return row;
}

/** A reference whose end stays in sight where there is no room for all of it. */
function refOf(ref) {
  const cut = ref.indexOf("/") + 1;
  return el("b", {}, el("span", {}, ref.slice(0, cut)), el("span", { className: "tail" }, ref.slice(cut)));
}

function drawCell(at, place, r, c, artifact) {
  const cell = cellAt(r, c);
  const edge = startsGroup(place) ? " first-of-group" : "";
  const tab = at === focus.row && place === focus.column ? 0 : -1;
  const common = { role: "gridcell", tabIndex: tab, "aria-colindex": place + 2 };
  if (!cell) {
    return el("div", { ...common, className: `cell na${edge}`, "aria-label": `${artifact.ref}, ${DATA.sites[c].title}: not applicable` },
      el("i", { "aria-hidden": "true" }, "·"));
  }
  const verdict = DATA.verdicts[cell.verdict];
  const kinds = [cell.flags & FAILS && "fails", cell.flags & EXPECTED && "expected", view.hits && !view.hits.has(cell) && "dim", cell === opened && "opened"];
  const element = el("div", {
    ...common,
    className: `cell${edge} ${kinds.filter(Boolean).join(" ")}`,
    "aria-label": `${artifact.ref}, ${DATA.sites[c].title}: ${words(cell)}`,
    title: `${DATA.sites[c].title}: ${words(cell)}\n${cell.reason}`,
  }, el("i", { className: `v-${verdict.id}`, "aria-hidden": "true" }, verdict.glyph,
    cell.flags & OWN ? el("span", { className: "own" }) : null,
    changeMark(cell) ? el("span", { className: "change" }, changeMark(cell)) : null));
  return element;
}

const elementAt = (row, column) => drawn.get(row)?.children[column + 1];

/** Move the one cell of the tab order, and the focus with it; scroll it into sight from under the heads. */
function moveFocus(row, column, take = true) {
  if (!view.rows.length || !view.columns.length) return;
  const before = elementAt(focus.row, focus.column);
  if (before) before.tabIndex = -1;
  focus.row = Math.max(0, Math.min(view.rows.length - 1, row));
  focus.column = Math.max(0, Math.min(view.columns.length - 1, column));
  drawRows();
  const now = elementAt(focus.row, focus.column);
  now.tabIndex = 0;
  if (take) now.focus({ preventScroll: true });
  const headWidth = grid.querySelector(".corner").offsetWidth;
  const y = focus.row * rowHeight, sight = grid.clientHeight - head.offsetHeight;
  if (y < grid.scrollTop) grid.scrollTop = y;
  else if (y + rowHeight > grid.scrollTop + sight) grid.scrollTop = y + rowHeight - sight;
  const x = now.offsetLeft;
  if (x - headWidth < grid.scrollLeft) grid.scrollLeft = x - headWidth;
  else if (x + now.offsetWidth > grid.scrollLeft + grid.clientWidth) grid.scrollLeft = x + now.offsetWidth - grid.clientWidth;
}

/** Where an element of the grid stands: [place among the rows, place among the columns]. */
function placeOf(element) {
  const cell = element.closest?.(".cell");
  if (!cell) return null;
  return [Number(cell.parentNode.getAttribute("aria-rowindex")) - 3, Number(cell.getAttribute("aria-colindex")) - 2];
}
const cellOfPlace = ([row, column]) => cellAt(view.rows[row], view.columns[column]);
