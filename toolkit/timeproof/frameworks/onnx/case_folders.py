"""ONNX's folders of models with known answers: `model.onnx` beside `test_data_set_N/input_0.pb, output_0.pb`.

Finds them in a tree and reads one at a time. Files are matched with the graph's inputs and outputs by their
numbers, as ONNX's own runner does; links are never followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.errors import BadArchive, NotImportable
from timeproof.frameworks.imports import Arrays, BadData, KnownAnswers
from timeproof.frameworks.onnx import signature, tensor_files
from timeproof.frameworks.onnx.probe.elements import widened
from timeproof.frameworks.onnx.probe.wire_format import BadOnnx
from timeproof.frameworks.onnx.signature import Port
from timeproof.frameworks.onnx.tensor_files import Tensor

MODEL = "model.onnx"
_SET = re.compile(r"test_data_set_([0-9]{1,9})")
_FILE = re.compile(r"(input|output)_([0-9]{1,9})\.pb")
_READERS: dict[str, Callable[[bytes], tensor_files.Value]] = {
    "tensor": tensor_files.tensor,
    "sequence": tensor_files.sequence,
    "optional": tensor_files.optional,
}


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """One data set of one case: where it lies, relative to the tree's root."""

    root: Path
    case: str  # the case's folder, "" for the root itself
    data_set: str  # the data set's folder
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def model(self) -> str:
        return f"{self.case}/{MODEL}" if self.case else MODEL

    @property
    def tags(self) -> dict[str, str]:
        return {"case": self.case or self.root.resolve().name, "data_set": self.data_set.rpartition("_")[2]}


def find(root: Path) -> list[CaseFiles]:
    """Find every data set below `root`, sorted by case and number.

    Raises NotImportable where there is none, or a case has no complete one.
    """
    cases: list[CaseFiles] = []
    problems: list[str] = []
    for place, folders, files in os.walk(root):
        folders.sort()
        if MODEL not in files:
            continue
        case = "" if Path(place) == root else Path(place).relative_to(root).as_posix()
        sets = sorted((int(m[1]), f) for f in folders if (m := _SET.fullmatch(f)))
        if not sets:
            problems.append(f"{case or root}: a {MODEL}, and no test_data_set_0 beside it")
        for _, name in sets:
            try:
                cases.append(_data_set(root, case, name))
            except BadData as error:
                problems.append(f"{case or root}/{name}: {error}")
        folders[:] = [f for f in folders if not _SET.fullmatch(f)]
    if not cases and not problems:
        problems = [f"no {MODEL} with a test_data_set_0 beside it, here or below"]
    if problems:
        raise NotImportable(root, problems)
    return cases


def _data_set(root: Path, case: str, name: str) -> CaseFiles:
    folder = f"{case}/{name}" if case else name
    numbers: dict[str, list[int]] = {"input": [], "output": []}
    for file in os.listdir(root / folder):
        if match := _FILE.fullmatch(file):
            numbers[match[1]].append(int(match[2]))
    for kind, listed in numbers.items():
        if sorted(listed) != list(range(len(listed))):
            raise BadData(f"the numbers of its {kind} files are not 0 to {len(listed) - 1}")
    if not numbers["output"]:
        raise BadData("there is no output_0.pb")
    files = {k: tuple(f"{folder}/{k}_{n}.pb" for n in range(len(listed))) for k, listed in numbers.items()}
    return CaseFiles(root, case, folder, files["input"], files["output"])


def read_file(root: Path, relative: str) -> bytes:
    """Read a whole file below `root`. Raises BadData where it is none, or too large."""
    try:
        with open_regular(root, relative) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > LIMITS.import_bytes:
                raise BadData(f"{size} bytes, at most {LIMITS.import_bytes}")
            data = stream.read(size + 1)
    except (BadArchive, OSError) as error:
        raise BadData(str(error)) from None
    if len(data) != size:
        raise BadData("it changes while it is read")
    return data


def read_answers(case: CaseFiles, model: bytes) -> KnownAnswers:
    """Read a data set's inputs and answers. Raises BadData, naming the file."""
    try:
        ports = signature.read(model)
    except BadOnnx as error:
        raise BadData(f"{case.model}: {error}") from None
    feeds: list[dict[str, Any]] = []
    inputs = Arrays()
    for port, file, value in _values(case, ports.inputs, case.inputs):
        items = [value] if isinstance(value, Tensor) else value or []
        kind = "tensor" if isinstance(value, Tensor) else "none" if value is None else "sequence"
        feed = {"name": port.name, "kind": kind, "count": len(items)}
        for name, item in _named(port, file, value):
            inputs.add(name, item.array, item.element.name if item.element.foreign else "")
            if item.element.foreign:
                feed["element"] = item.element.name
        feeds.append(feed)
    outputs = Arrays()
    for port, file, value in _values(case, ports.outputs, case.outputs):
        for name, item in _named(port, file, value):
            outputs.add(
                name, widened(item.array, item.element), item.element.name if item.element.foreign else ""
            )
    options: dict[str, Any] = {}
    if any(f["kind"] != "tensor" or "element" in f for f in feeds):
        options["feeds"] = feeds
    if len(case.outputs) < len(ports.outputs):
        options["outputs"] = [p.name for p in ports.outputs[: len(case.outputs)]]
    return KnownAnswers(inputs, outputs, options)


def _values(
    case: CaseFiles, ports: Sequence[Port], files: Sequence[str]
) -> Iterator[tuple[Port, str, tensor_files.Value]]:
    if len(files) > len(ports):
        raise BadData(f"{files[len(ports)]}: the graph has only {len(ports)} of that kind")
    for port, file in zip(ports, files, strict=False):
        read = _READERS.get(port.kind)
        if read is None:
            raise BadData(
                f"{file}: {port.name!r} is a {port.kind or 'value of no kind'}, which can't be kept"
            )
        try:
            yield port, file, read(read_file(case.root, file))
        except BadData as error:
            raise BadData(f"{file}: {error}") from None


def _named(port: Port, file: str, value: tensor_files.Value) -> Iterator[tuple[str, Tensor]]:
    """Name the arrays of a value: `x`, or `x[0]`, `x[1]`, … of a sequence."""
    if value is None:
        return
    if isinstance(value, Tensor):
        yield port.name, value
        return
    if len({item.element for item in value}) > 1:
        raise BadData(f"{file}: a sequence of several element types")
    for k, item in enumerate(value):
        yield f"{port.name}[{k}]", item
