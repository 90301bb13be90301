"""Why a model may not answer twice alike, or not at all in its container: told from its files, as text.

Guesses, and says so. Nothing is loaded, imported or run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from timeproof.frameworks.base import Saved
from timeproof_probe import wire

_DRAWS = re.compile(
    r"\b(?:dropout[123]?d?|alpha_dropout|rand(?:n|int|perm|_like|n_like|int_like)?|normal_?|uniform_?"
    r"|bernoulli_?|multinomial|default_rng|RandomState|Generator|rsample|sample|shuffle|urandom|token_bytes"
    r"|getrandbits|time|time_ns|perf_counter|uuid4)\s*\(|\bnp\.random\b|\bnumpy\.random\b|\bimport random\b"
)
_NAMED = 3
_SOURCE_BYTES = 1 << 20  # of one file


def suspects(saved: Saved, folder: Path) -> list[str]:
    """Name what probably draws random numbers: operators of a graph, or lines of the source."""
    facts = saved.options.get("facts")
    random = facts.get("random") if isinstance(facts, dict) else None
    if isinstance(random, list):
        return [f"the operator {name}" for name in random]
    lines = []
    for path in saved.source_files:
        text = (folder / path).read_bytes()[:_SOURCE_BYTES].decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if _DRAWS.search(line.partition("#")[0]) and not line.lstrip().startswith(("def ", "class ")):
                lines.append(f"{Path(path).name}:{number}: {line.strip()[:80]}")
    return lines


def named(causes: Sequence[str]) -> str:
    """Put suspects into a sentence; empty where there are none."""
    if not causes:
        return ""
    more = f" (and {len(causes) - _NAMED} more)" if len(causes) > _NAMED else ""
    return f"; probably {', '.join(causes[:_NAMED])}{more}"


_NO_MODULE = re.compile(r"No module named '([A-Za-z0-9_]+)([A-Za-z0-9_.]*)")
_NO_LOADER = re.compile(wire.NO_LOADER + r" '([a-z][a-z0-9_]*)'")
_NO_FILE = re.compile(r"(?:No such file or directory|can't find resource)[^']*'([^']+)'")


# What a loader says, and what to do about it: the first that matches.
_ADVICE = (
    (
        re.compile(r"in loading state_dict|Missing key\(s\)|Unexpected key\(s\)|size mismatch"),
        "the class that init_args build is not the model that was saved: were layers changed after it was"
        " built? Give the init_args that it was built with, or build all of it in __init__",
    ),
    (
        re.compile(r"must have the same dtype|expected scalar type|Input type .* and weight"),
        "the model meets two number types: give inputs of the type that its weights have",
    ),
    (
        re.compile(r"not a tensor or a container of tensors|Python objects"),
        "return tensors, or tuples, lists and dictionaries of them: a number becomes torch.tensor(n)",
    ),
    (
        re.compile(r"torch [\w.+]+ reads schema|which is newer than torch"),
        "archive it into an environment that holds the torch that wrote it (--env), or export the program"
        " again with the torch of this one",
    ),
    (
        re.compile(r"missing \d+ required|unexpected keyword argument|takes \d+ positional"),
        "the inputs don't fit the call: name each as the model's own parameter (a mapping), or give them in"
        " the model's order (a tuple)",
    ),
)


def advice(reason: str, left_out: Sequence[Sequence[str]], saved: Saved | None = None) -> str:
    """Say what to do about an artifact that does not replay."""
    lost = _NO_FILE.search(reason)
    if lost is not None:
        return (
            f"{Path(lost[1]).name} is not in the container: data files beside the source are not archived."
            " Keep what the model reads in its state (register_buffer) or in init_args"
        )
    for pattern, text in _ADVICE:
        if pattern.search(reason):
            return f"{text}. Nothing was published"
    if (loader := _NO_LOADER.search(reason)) is not None:
        return f"archive it into an environment that holds {loader[1]}, or install that into this one"
    absent = _NO_MODULE.search(reason)
    if absent is None:
        return "nothing was published; what the container printed stands above"
    module = absent[1]
    if module == "timeproof":
        return (
            "the file that defines the model imports timeproof, which is not in the container: define the"
            " model in a file of its own, and archive it from another"
        )
    for name, why in left_out:
        if canonicalize_name(name) == canonicalize_name(module):
            return f"{module} was left out ({why}): pip install it by its own name, then try again"
    if saved is not None and any(
        Path(p).stem == module or module in Path(p).parts for p in saved.source_files
    ):
        whole = absent[1] + absent[2]
        return (
            f"{whole} is a module of yours that is imported by a name made at run time, which can't be"
            f" followed: add a plain 'import {whole}' to the model's module"
        )
    return (
        f"install {module} into the environment, or don't import it where the model is defined; a module of"
        " your own is archived where an import statement names it"
    )
