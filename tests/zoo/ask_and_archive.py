"""Build one model of the zoo in a process of its own, ask it as its user does, then archive that same object.

    python ask_and_archive.py MODULE NAME WORK --root ARCHIVE --environment NAME_OR_LOCK

WORK gets `own.npz` (the user's own answer, written before timeproof is imported) and `row.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from zoo_case import Case, Made, cases_of


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray, str]]:
    """Every array of an answer: its name, if it has one; the array; the narrower type of its values."""
    if value is None:
        return
    if hasattr(value, "detach"):
        yield (name, *plain(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}_{key}" if name else str(key))
    elif hasattr(value, "__dataclass_fields__"):
        yield from leaves({key: getattr(value, key) for key in value.__dataclass_fields__}, name)
    elif isinstance(value, (tuple, list)):
        for k, item in enumerate(value):
            yield from leaves(item, f"{name}_{k}" if name else "")
    else:
        yield name, np.asarray(value), ""


def plain(tensor: Any) -> tuple[np.ndarray, str]:
    """A tensor as an array; bfloat16, which NumPy hasn't, as float32."""
    tensor = tensor.detach().cpu().resolve_conj()
    if str(tensor.dtype) == "torch.bfloat16":
        return tensor.float().numpy(), "bfloat16"
    return tensor.numpy(), ""


def seed() -> None:
    """What scikit-learn, a data loader or a layer draws is the same each time."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def ask(made: Made, work: Path) -> list[dict[str, str]]:
    """Ask the model as its user does, and keep the answer."""
    torch = sys.modules.get("torch")
    if torch is None:
        answer = made.answer()
    else:
        with torch.no_grad():
            answer = made.answer()
    found = list(leaves(answer))
    assert found, "the user has no answer"
    np.savez(work / "own.npz", **{f"answer_{k}": array for k, (_, array, _) in enumerate(found)})
    return [{"name": name, "computed_in": narrow} for name, _, narrow in found]


def archived(made: Made, root: Path, environment: str) -> dict[str, Any]:
    """Import timeproof, archive the live object, and say what became of it."""
    import timeproof
    from timeproof.errors import BadModel, BadRequest, TimeproofError
    from timeproof.frameworks.choose import spec_for_either

    try:
        kind = spec_for_either(made.model).options
        options = kind(**{k: v for k, v in made.options.items() if k in kind.model_fields})
        more = {k: v for k, v in made.options.items() if k not in kind.model_fields}
        done = timeproof.archive(
            made.model, made.inputs, grid_size=1, root=root, environment=environment, options=options, **more
        )
    except TimeproofError as error:
        refused = error.exit_code in {BadRequest.exit_code, BadModel.exit_code}  # else the engine, the disk
        facts = {"kind": type(error).__name__, "message": str(error), "advice": error.advice}
        return {"status": "refused" if refused else "failed", **facts}
    except Exception as error:
        return {"status": "crashed", "kind": type(error).__name__, "message": str(error) or "no message"}
    return {"status": "sealed", "ref": str(done.ref), "metadata": str(done.path)}


def run(case: Case, work: Path, root: Path, environment: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": case.name, "answers": [], "own_error": None}
    begun = time.monotonic()
    seed()
    made = case.make()
    try:
        row["answers"] = ask(made, work)
    except Exception as error:  # the library itself refuses such inputs, and there is no answer to keep
        row["own_error"] = f"{type(error).__name__}: {error}"
    assert "timeproof" not in sys.modules, "the user's own answer must come before timeproof"
    asked = time.monotonic()
    row |= archived(made, root, environment)
    row["seconds"] = {"own": round(asked - begun, 1), "archive": round(time.monotonic() - asked, 1)}
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module")
    parser.add_argument("name")
    parser.add_argument("work", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--environment", required=True)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    row = run(cases_of([asked.module])[asked.name], asked.work, asked.root, asked.environment)
    (asked.work / "row.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
