"""Which installed distributions belong to a model's environment. No IO here.

The rule, in one sentence: everything that is installed, but for what is there only because of the toolkit
or because of installing.

- *The toolkit's share* is `timeproof` and what it requires, directly or not; not its extras: those bring
  what a user's models need.
- *Roots* are the distributions outside that share, and those inside it that were asked for by name (pip
  and uv mark them REQUESTED). Installers (pip, setuptools, wheel, uv) are never roots.
- A distribution belongs if it is a root, or a root requires it, directly or not. An extra of a
  distribution counts as asked for where everything that it names is installed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from timeproof.environments.interpreter.inspection import Distribution

TOOLKIT = "timeproof"
INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv"})


@dataclass(frozen=True, slots=True)
class Selection:
    """`left_out` are (name, reason) pairs, sorted."""

    selected: tuple[Distribution, ...]
    left_out: tuple[tuple[str, str], ...]


class Graph:
    """Requirements among installed distributions, markers evaluated for their interpreter."""

    def __init__(self, installed: Iterable[Distribution], markers: Mapping[str, str]) -> None:
        self.installed = {d.key: d for d in installed}
        self.markers = dict(markers)
        self.parsed: dict[str, list[Requirement]] = {}
        for key, dist in self.installed.items():
            rows = []
            for text in dist.requires:
                try:
                    rows.append(Requirement(text))
                except InvalidRequirement:
                    continue  # from before PEP 508; no installer follows it either
            self.parsed[key] = rows

    def requirements(self, key: str, extra: str = "") -> Iterator[Requirement]:
        """What `key` requires; with an `extra`, only what the extra adds."""
        for row in self.parsed.get(key, ()):
            always = self._applies(row, "")
            if (not always and self._applies(row, extra)) if extra else always:
                yield row

    def _applies(self, requirement: Requirement, extra: str) -> bool:
        marker = requirement.marker
        return marker is None or marker.evaluate({**self.markers, "extra": extra})

    def satisfied(self, key: str, extra: str, asking: frozenset[tuple[str, str]] = frozenset()) -> bool:
        """Whether everything that an extra names is installed, and it names something."""
        if (key, extra) in asking:
            return True
        rows = list(self.requirements(key, extra))
        return bool(rows) and all(
            (name := canonicalize_name(row.name)) in self.installed
            and all(self.satisfied(name, e, asking | {(key, extra)}) for e in row.extras)
            for row in rows
        )

    def reach(self, starts: Iterable[tuple[str, frozenset[str]]]) -> set[str]:
        """Every installed distribution that the starts, each with extras, require; starts included."""
        reached: set[tuple[str, str]] = set()
        stack = [(key, extra) for key, extras in starts for extra in ("", *extras)]
        while stack:
            key, extra = stack.pop()
            if (key, extra) in reached or key not in self.installed:
                continue
            reached.add((key, extra))
            for row in self.requirements(key, extra):
                name = canonicalize_name(row.name)
                stack += [(name, ""), *((name, e) for e in row.extras)]
        return {key for key, _ in reached}


def select(
    installed: Collection[Distribution],
    markers: Mapping[str, str],
    *,
    without: Collection[str] = (),
) -> Selection:
    """Decide, by the rule above. `without` names distributions that the caller leaves out."""
    graph = Graph(installed, markers)
    unwanted = {str(canonicalize_name(name)) for name in without}
    share = graph.reach([(TOOLKIT, frozenset())])
    roots = [
        (d.key, frozenset(e for e in d.extras if graph.satisfied(d.key, e)))
        for d in installed
        if d.key not in unwanted | INSTALLERS | {TOOLKIT} and (d.key not in share or d.requested)
    ]
    selected = graph.reach(roots) - unwanted - {TOOLKIT}
    left_out = [(d.name, _reason(d.key, unwanted)) for d in installed if d.key not in selected]
    return Selection(
        selected=tuple(sorted((d for d in installed if d.key in selected), key=lambda d: d.key)),
        left_out=tuple(sorted(left_out, key=lambda row: row[0].lower())),
    )


def _reason(key: str, unwanted: Collection[str]) -> str:
    """Why a distribution is left out."""
    if key in unwanted:
        return "left out on request"
    if key == TOOLKIT:
        return "the toolkit itself"
    if key in INSTALLERS:
        return "an installer, which nothing that was captured requires"
    return "only the toolkit requires it"
