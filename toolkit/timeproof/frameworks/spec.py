"""What a framework is to the toolkit: one frozen record, which its folder or its plugin registers.

Making a record imports no framework: whatever needs one is named as `module:attribute`, and is imported when
it is asked for. No IO here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from timeproof.errors import BadPlugin
from timeproof.frameworks.options import FrameworkOptions
from timeproof.store.layout import NAME
from timeproof.store.versions import TAG

if TYPE_CHECKING:
    from timeproof.frameworks.base import Adapter

_LAZY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkSpec:
    """One framework. `timeproof.frameworks` is the group of entry points that registers it.

    Args:
        name: what folders and metadata call it: `[a-z][a-z0-9_]*`. It never changes again.
        tag: what file names carry (`model_<tag>_v1.json`): `[a-z][a-z0-9]*`. It never changes again.
        title: what people call it, as a table's heading does.
        module: the module that runs its models; the version of that is the framework's version.
        runtime: what that version is called, where it is another's than the framework's; empty for `name`.
        distributions: the packages that bring it, as indexes and channels call them; in an environment the
            first that is there gives the version.
        needs: distributions that an environment must hold beside it, all of them, to run its models.
        adapter: `module:Class` of its `Adapter`.
        probe: the folder of what runs in the container: `load.py`, and what that imports.
        options: the record of what a user can say of its models.
        takes: what it archives, within a sentence, article included: "a torch.nn.Module".
        files: the model files that it archives, within a sentence: "an .onnx file"; empty for none.
        folders: the folders of files that it archives as one model, within a sentence: "a SavedModel folder";
            empty for none. Only then is its `sniff` asked about folders.
        extensions: of such files, each with its dot: a file whose bytes tell nothing is held for one of them.
        sniff: `module:function` that says what a file is, by its bytes (see `sniffing`); empty for none.
        own_inputs: whether its files may hold inputs of their own: then its adapter's `inputs` is asked with
            None where the user gives none.
        imports: `module:attribute` of what imports its files with others' answers (see `imports`); empty for
            none.
        arrays: `module:function` that turns its own kind of array into a NumPy array, and gives None for any
            other object; empty for none.
        tables: whether its models take tables (DataFrames, sparse matrices) as they are.
        needed_for: what this process needs `module` for, as `timeproof doctor` says it.
        float64: whether its loader can be asked in float64, for a witness.
        margin: the output that is a witness by itself, such as raw scores; empty for none.
        runs_code: whether its loader runs code that an archive brings: such a model has a container of its
            own.
        profile: variables that its models need in the portable profile, beside those that all have.
        rank: where it stands among the others in messages and reports; the lowest first, then by name.
    """

    name: str
    tag: str
    title: str
    module: str
    distributions: tuple[str, ...]
    adapter: str
    needs: tuple[str, ...] = ()
    probe: Path | None = None
    runtime: str = ""
    options: type[FrameworkOptions] = FrameworkOptions
    takes: str = ""
    files: str = ""
    folders: str = ""
    extensions: tuple[str, ...] = ()
    sniff: str = ""
    own_inputs: bool = False
    imports: str = ""
    arrays: str = ""
    tables: bool = False
    needed_for: str = ""
    float64: bool = False
    margin: str = ""
    runs_code: bool = True
    profile: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rank: int = 100

    def __post_init__(self) -> None:
        problems = [
            f"{subject} is {value!r}, not of the form {form}"
            for subject, value, form, fits in (
                ("its name", self.name, "[a-z][a-z0-9_]*", NAME.fullmatch(self.name)),
                ("its tag", self.tag, "[a-z][a-z0-9]*", TAG.fullmatch(self.tag)),
                ("its adapter", self.adapter, "module:Class", _LAZY.fullmatch(self.adapter)),
                ("its sniff", self.sniff, "module:function", not self.sniff or _LAZY.fullmatch(self.sniff)),
                (
                    "its imports",
                    self.imports,
                    "module:attribute",
                    not self.imports or _LAZY.fullmatch(self.imports),
                ),
            )
            if not fits
        ]
        if not self.distributions:
            problems.append("it names no distribution that brings it")
        problems += [f"{v!r} is no variable's name" for v in self.profile if not _VARIABLE.fullmatch(v)]
        if problems:
            raise BadPlugin(f"the framework {self.name!r}: {'; '.join(problems)}")

    def make_adapter(self) -> Adapter:
        """Import the adapter's module, and make the adapter: one for the whole process."""
        return _adapter(self.adapter)

    def described(self) -> dict[str, Any]:
        """What metadata records, so that a toolkit without this plugin can handle its artifacts."""
        return {
            "tag": self.tag,
            "title": self.title,
            "module": self.module,
            "distributions": list(self.distributions),
        }


def load_attribute(path: str) -> Any:
    """Import what `module:attribute` names. Raises BadPlugin where it is not there."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadPlugin(f"{path} can't be imported: {error}", advice="install the plugin again") from error


@cache
def _adapter(path: str) -> Adapter:
    adapter: Adapter = load_attribute(path)()
    return adapter
