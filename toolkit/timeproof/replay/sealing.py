"""Sealing: an artifact is replayed twice, in two fresh containers, before anyone may rely on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from packaging.utils import canonicalize_name

from timeproof.archive import reference
from timeproof.archive.model import ProfileRecord
from timeproof.engine.base import Engine
from timeproof.errors import SealFailed
from timeproof.limits import Limits
from timeproof.replay.compare import compare_outputs
from timeproof.replay.probing import Outcome, ProbeRun, Task, run_probe
from timeproof.replay.verdict import Verdict

_RUNS = 2

Arrays = dict[str, reference.Array]


def seal(
    connect: Callable[[], Engine], image: str, task: Task, profile: ProfileRecord, limits: Limits
) -> list[ProbeRun]:
    """Run the probe twice, in two fresh containers, side by side."""
    with ThreadPoolExecutor(_RUNS) as pool:
        started = [
            pool.submit(run_probe, connect(), image, [task], profile, limits=limits) for _ in range(_RUNS)
        ]
        return [s.result() for s in started]


_NO_MODULE = re.compile(r"No module named '([A-Za-z0-9_]+)")


def _advice(reason: str, left_out: Sequence[Sequence[str]]) -> str:
    """What to do about an artifact that does not replay."""
    found = _NO_MODULE.search(reason)
    if found is None:
        return "nothing was published; the container holds only what is installed in the environment"
    module = found[1]
    if module == "timeproof":
        return (
            "the file that defines the model imports timeproof, which is not in the container: define the"
            " model in a file of its own, and archive it from another"
        )
    for name, why in left_out:
        if canonicalize_name(name) == canonicalize_name(module):
            return f"{module} was left out ({why}): pip install it by its own name, then try again"
    return f"install {module} into the environment, or don't import it where the model is defined"


def agreed(runs: Sequence[ProbeRun], left_out: Sequence[Sequence[str]]) -> tuple[Arrays, Outcome]:
    """The outputs on which every run agrees, bit for bit. Raises SealFailed."""
    outcomes = [next(iter(r.outcomes.values())) for r in runs]
    for outcome in outcomes:
        if outcome.failure is not None:
            detail = f" (signal {outcome.signal})" if outcome.signal else ""
            log = f"\nThe last of what it printed:\n{outcome.log[-2000:]}" if outcome.log.strip() else ""
            raise SealFailed(
                f"the artifact does not replay in its container: {outcome.failure}{detail}:"
                f" {outcome.reason}{log}",
                advice=_advice(outcome.reason, left_out),
            )
    first, *others = outcomes
    if not first.native:
        raise SealFailed("the model gave no outputs", advice="nothing was published")
    for other in others:
        diff = compare_outputs(first.native, other.native)
        if diff.verdict is not Verdict.identical:
            raise SealFailed(
                f"two runs of the same model on the same inputs differ: {diff.summary()}",
                advice="is dropout left on, or an operator random? Nothing was published",
            )
    return dict(first.native), outcomes[-1]
