"""What a .pt2 file says of its program: the schema, the inputs, the operators. Nothing is loaded or run.

Both forms are read: that of torch 2.8 and later (a folder of members), and the one before it.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timeproof.base.limits import LIMITS
from timeproof.base.strictjson import Json
from timeproof.errors import NotArchivable
from timeproof.frameworks.torch_export.files import EARLIER_PROGRAM, EARLIER_SAMPLES, PROGRAM, SAMPLES

_AGAIN = "save the program again with torch.export.save, and archive that file"
_TENSORS_ONLY = "export the program with tensors alone: model(*tensors, name=tensor)"
# torch/_export/serde/schema.py, ScalarType: what a tensor's `dtype` means.
_TYPES = {
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"), 1)),
    **dict(enumerate(("complex32", "complex64", "complex128", "bool", "bfloat16"), 9)),
    **dict(enumerate(("uint16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 28)),
    **dict(enumerate(("float8_e8m0fnu", "uint32", "uint64"), 33)),
}
_OPERATOR = re.compile(rb'"target": ?"torch\.ops\.(\w+)\.(\w+)')
_PLACE = re.compile(rb'"stack_trace": ?"[^"]*?File \\"/')
# torch's own libraries of operators: every torch of its version has them.
_OWN = frozenset({"aten", "prim", "prims", "higher_order", "quantized", "quantized_decomposed", "torch"})
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^)]*\)")  # as sympy spells a size that is free
_RANDOM = re.compile(
    r"rand|randn|randint|randperm|rand_like|randn_like|randint_like|bernoulli|multinomial|normal|poisson"
    r"|dropout|native_dropout|uniform|exponential|cauchy|log_normal|geometric|random"
)


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor that the program takes; `dims` has a name where a size is free."""

    name: str
    by_name: bool
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """What a .pt2 file says of its program.

    Args:
        libraries: of operators that are not torch's own: the environment must bring them.
        names_places: whether it says where on its author's machine the source lay.
    """

    schema: str
    torch_version: str
    inputs: tuple[Input, ...]
    libraries: tuple[str, ...]
    quantized: tuple[str, ...]
    random: tuple[str, ...]
    names_places: bool

    def facts(self) -> dict[str, Json]:
        return {
            "schema": self.schema,
            "torch": self.torch_version,
            "inputs": [
                {"name": i.name, "dtype": i.dtype, "dims": list(i.dims), "by_name": i.by_name}
                for i in self.inputs
            ],
            "random": list(self.random),
        }


def read_program(path: Path) -> Program:
    """Read a .pt2 file's program. Raises NotArchivable, naming the file."""
    data = read_member(path, PROGRAM, EARLIER_PROGRAM, LIMITS.program_bytes)
    if data is None:
        raise NotArchivable(f"{path} holds no program ({PROGRAM})", advice=_AGAIN)
    try:
        return _program(path, data, json.loads(data))
    except (ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise NotArchivable(
            f"{path}: its program can't be read: {type(error).__name__}: {str(error)[:200]}", advice=_AGAIN
        ) from None


def read_samples(path: Path) -> bytes | None:
    """Read the member with the sample inputs, as torch.save wrote it; None where there is none."""
    return read_member(path, SAMPLES, EARLIER_SAMPLES, LIMITS.array_bytes)


def read_member(path: Path, name: str, earlier: str, limit: int) -> bytes | None:
    """Read one member, called `name` below the archive's folder, or `earlier` in the older form.

    torch stores its members as they are. One that is compressed was not written by it, and may unpack to
    anything: it is refused. Raises NotArchivable.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                if info.filename != earlier and info.filename.partition("/")[2] != name:
                    continue
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                    raise NotArchivable(
                        f"{path}: {info.filename} is compressed, which torch.export.save does not do",
                        advice=_AGAIN,
                    )
                if info.file_size > limit:
                    raise NotArchivable(
                        f"{path}: {info.filename} has {info.file_size} bytes; {limit} are read at most",
                        advice="archive the nn.Module that it was exported from",
                    )
                return packed.read(info)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise NotArchivable(f"{path} is damaged: {error}", advice=_AGAIN) from None
    return None


def _program(path: Path, data: bytes, document: Mapping[str, Any]) -> Program:
    version = document["schema_version"]
    module = document["graph_module"]
    operators = sorted({(a.decode(), b.decode()) for a, b in _OPERATOR.findall(data)})
    return Program(
        schema=f"{int(version['major'])}.{int(version['minor'])}",
        torch_version=str(document.get("torch_version", ""))[:40],
        inputs=_inputs(path, module),
        libraries=tuple(sorted({library for library, _ in operators} - _OWN)),
        quantized=tuple(name for library, name in operators if library == "quantized"),
        random=tuple(name for _, name in operators if _RANDOM.fullmatch(name.rstrip("_"))),
        names_places=_PLACE.search(data) is not None,
    )


def _inputs(path: Path, module: Mapping[str, Any]) -> tuple[Input, ...]:
    """Match the leaves of the call's tree with the graph's inputs. Raises NotArchivable."""
    graph = module["graph"]
    leaves = [s for s in module["signature"]["input_specs"] if set(s) & {"user_input", "constant_input"}]
    names: list[str] = []
    for spec in leaves:
        arg = spec["user_input"]["arg"] if "user_input" in spec else {}
        if "as_tensor" not in arg:
            kind = next(iter(arg), "a constant").removeprefix("as_")
            raise NotArchivable(
                f"{path}: the program takes a plain value ({kind}) among its inputs, not tensors alone",
                advice=_TENSORS_ONLY,
            )
        names.append(str(arg["as_tensor"]["name"]))
    positional, keywords = _call(path, module["module_call_graph"][0]["signature"]["in_spec"])
    if positional + len(keywords) != len(names):
        raise ValueError(f"its call has {positional + len(keywords)} inputs, its graph {len(names)}")
    values = graph["tensor_values"]
    return tuple(
        Input(
            name=keywords[k - positional] if k >= positional else name,
            by_name=k >= positional,
            dtype=_TYPES.get(values[name]["dtype"], "unknown"),
            dims=tuple(_size(size) for size in values[name]["sizes"]),
        )
        for k, name in enumerate(names)
    )


def _size(size: Mapping[str, Any]) -> int | str:
    if "as_int" in size:
        return int(size["as_int"])
    return _SYMBOL.sub(r"\1", str(size["as_expr"]["expr_str"]))[:80]


def _call(path: Path, text: str) -> tuple[int, Sequence[str]]:
    """How many inputs go by position, and the names of the others, from a tree that torch spelled."""
    _, tree = json.loads(text)
    positional, keywords = tree["children_spec"]
    names = json.loads(keywords["context"]) if keywords["children_spec"] else []
    if any(leaf["type"] is not None for leaf in positional["children_spec"] + keywords["children_spec"]):
        raise NotArchivable(
            f"{path}: the program takes tuples, lists or dictionaries of tensors", advice=_TENSORS_ONLY
        )
    return len(positional["children_spec"]), [str(name) for name in names]
