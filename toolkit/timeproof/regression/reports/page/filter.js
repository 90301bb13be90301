// Which cells pass the filters, which rows and columns remain, and in which order.
const filters = { verdicts: new Set(), framework: "", failing: false, changed: false, words: [], sort: "plan" };
const view = { rows: [], columns: [], hitCount: 0, hits: null };

const ROW_TEXT = DATA.artifacts.map((a) =>
  [a.ref, a.name, a.framework, a.version, a.history, a.origin, ...Object.entries(a.tags).flat()].join("\n").toLowerCase());
const COLUMN_TEXT = DATA.sites.map((s) =>
  [s.name, s.title, s.dated ?? "", ...Object.entries(s.frameworks).map((f) => f.join(" "))].join("\n").toLowerCase());
const VERDICT_TEXT = DATA.verdicts.map((v) => `${v.id} ${v.name}`);
const REASON_TEXT = new Map(DATA.reasons.map((text) => [text, text.toLowerCase()]));

const filtering = () => filters.verdicts.size || filters.failing || filters.changed || filters.words.length;

function refilter() {
  const rowHits = filters.words.map((w) => ROW_TEXT.map((text) => text.includes(w)));
  const columnHits = filters.words.map((w) => COLUMN_TEXT.map((text) => text.includes(w)));
  const reasonHits = filters.words.map((w) => new Map(DATA.reasons.map((t) => [t, REASON_TEXT.get(t).includes(w)])));
  const verdictHits = filters.words.map((w) => VERDICT_TEXT.map((text) => text.includes(w)));
  const matches = (cell) =>
    (!filters.verdicts.size || filters.verdicts.has(cell.verdict)) &&
    (!filters.failing || cell.flags & FAILS) &&
    (!filters.changed || cell.flags & (WORSE | BETTER | NEW)) &&
    filters.words.every((_, k) => rowHits[k][cell.r] || columnHits[k][cell.c] || verdictHits[k][cell.verdict] || reasonHits[k].get(cell.reason));
  const used = new Set();
  const hits = new Set();
  const strict = filtering();
  view.rows = [];
  CELLS.forEach((row, r) => {
    if (filters.framework && DATA.artifacts[r].framework !== filters.framework) return;
    let any = !strict;
    for (const cell of row.values()) if (matches(cell)) { any = true; hits.add(cell); }
    if (!any) return;
    view.rows.push(r);
    for (const c of row.keys()) used.add(c);
  });
  view.columns = DATA.sites.map((_, c) => c).filter((c) => used.has(c) || (!strict && !filters.framework));
  view.hits = strict ? hits : null;
  view.hitCount = hits.size;
  sortRows();
}

const NATURAL = new Intl.Collator("en", { numeric: true });
function sortRows() {
  const worst = (r) => Math.max(-1, ...[...CELLS[r].values()].map((c) => (c.flags & FAILS ? 100 : 0) + DATA.verdicts[c.verdict].severity));
  const change = (r) => Math.max(...[...CELLS[r].values()].map((c) => (c.flags & WORSE ? 3 : c.flags & BETTER ? 2 : c.flags & NEW ? 1 : 0)), 0);
  const created = (r) => DATA.artifacts[r].created;
  const orders = {
    worst: (a, b) => worst(b) - worst(a),
    changed: (a, b) => change(b) - change(a),
    name: (a, b) => NATURAL.compare(DATA.artifacts[a].ref, DATA.artifacts[b].ref),
    newest: (a, b) => (created(a) < created(b) ? 1 : created(a) > created(b) ? -1 : 0),
    oldest: (a, b) => (created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0),
  };
  const order = orders[filters.sort];
  if (order) view.rows.sort((a, b) => order(a, b) || a - b);
}
