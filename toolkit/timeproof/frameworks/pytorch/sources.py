"""Find a class's own source and the local modules it needs, and copy them as they lie in packages.

Nothing is imported and nothing is run: import statements are read from the syntax tree, and modules are
found by the finders that `import` itself asks.
"""

from __future__ import annotations

import importlib.machinery
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

from timeproof.errors import NotArchivable
from timeproof.frameworks.pytorch import source_text

_MOVE = "put the class into a module of its own (a .py file), import it from there, and archive again"
_OURSELVES = "timeproof"


@dataclass(frozen=True, slots=True)
class Source:
    """A module's file, and where it stands below the source folder (`pkg/net.py`)."""

    module: str
    file: Path
    target: str


def capture(kind: type) -> list[Source]:
    """List the files that rebuilding `kind` needs; none where an installed library holds it.

    Raises:
        NotArchivable: the class, or a local module that it needs, has no source file to copy.
    """
    _check_class(kind)
    module = kind.__module__
    spec = _spec(module)
    if spec is None or spec.origin is None:
        raise NotArchivable(f"{module}.{kind.__qualname__} lives in a module without a file", advice=_MOVE)
    if not _is_local(spec):
        return []
    _check_unchanged(kind, spec)
    return _closure(module)


def capture_all(kinds: Iterable[type]) -> list[Source]:
    """List the files that several classes need, each once."""
    captured = {source.target: source for kind in kinds for source in capture(kind)}
    return sorted(captured.values(), key=lambda source: source.target)


def locate(module: str, name: str) -> list[Source]:
    """List the files that a class needs, by its name alone: neither it nor its module is imported.

    Returns:
        list: none where an installed library holds it.

    Raises:
        NotArchivable: there is no such module, or its source holds no such class.
    """
    spec = _spec(module)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        raise NotArchivable(
            f"there is no module {module}",
            advice="run timeproof in the folder that holds it, or install the package that does",
        )
    if not _is_local(spec):
        return []
    if spec.origin is None or not spec.has_location:
        raise NotArchivable(f"{module} is a folder, not a module with a file", advice=_MOVE)
    path = Path(spec.origin)
    _check_source(module, path)
    names = source_text.top_level_names(path)
    if name.partition(".")[0] not in names:
        classes = ", ".join(sorted(n for n, is_class in names.items() if is_class)) or "none"
        raise NotArchivable(
            f"{path} has no class {name}", advice=f"name one of its own: its classes are {classes}"
        )
    return _closure(module)


def doubts(sources: list[Source]) -> list[str]:
    """Say what the sources use that can't be followed: modules named at run time, and data files."""
    return [doubt for source in sources for doubt in source_text.doubts(source.file, source.target)]


def write(sources: list[Source], folder: Path) -> list[str]:
    """Copy the sources below `folder`; return their paths relative to it, sorted."""
    for source in sources:
        target = folder / source.target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.file.read_bytes())
    return sorted(source.target for source in sources)


# --- the class ------------------------------------------------------------------------------


def _check_class(kind: type) -> None:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "__main__":
        if "ipykernel" in sys.modules or hasattr(sys.modules["__main__"], "get_ipython"):
            raise NotArchivable(
                f"the class {kind.__qualname__} is defined in a notebook",
                advice="write the cell to a file (%%writefile net.py), import the class from it, "
                "rebuild the model, and archive again",
            )
        raise NotArchivable(
            f"the class {kind.__qualname__} is defined in the script that is running (__main__)", advice=_MOVE
        )
    if "<locals>" in kind.__qualname__:
        raise NotArchivable(f"the class {name} is defined inside a function", advice=_MOVE)
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if module is None or (file is None and getattr(module, "__spec__", None) is None):
        raise NotArchivable(
            f"the class {name} was made at run time: no module of that name has a file", advice=_MOVE
        )
    if file is not None and ("ipykernel" in file or file.startswith("<")):
        raise NotArchivable(f"the class {name} is defined in a notebook", advice=_MOVE)
    item: object = module
    for part in kind.__qualname__.split("."):
        item = getattr(item, part, None)
    if item is not kind:
        raise NotArchivable(
            f"{name} is not what its module holds under that name: it was made, decorated or reloaded later",
            advice="define the class by a plain class statement at the top of a module, "
            "or restart the process if the module was reloaded",
        )


def _check_unchanged(kind: type, spec: importlib.machinery.ModuleSpec) -> None:
    """Refuse a class whose methods are not those that its file holds now.

    Only where Python's own loader compiled the file: other loaders may change the code.
    """
    if type(spec.loader) is not importlib.machinery.SourceFileLoader or spec.origin is None:
        return
    path = Path(spec.origin)
    try:
        code = compile(path.read_bytes(), spec.origin, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        code = None
    now: dict[str, list[CodeType]] = {}
    for item in _code(code) if code is not None else ():
        now.setdefault(item.co_qualname, []).append(item)
    for name, method in vars(kind).items():
        # Wrapped and generated methods (dataclasses, decorators) have code from elsewhere.
        if not isinstance(method, FunctionType) or method.__code__.co_filename != spec.origin:
            continue
        if method.__code__.co_qualname != f"{kind.__qualname__}.{name}":
            continue
        if method.__code__ not in now.get(method.__code__.co_qualname, []):
            raise NotArchivable(
                f"{path} has changed since it was imported: "
                f"{kind.__qualname__}.{name} is not what the file holds now",
                advice="restart the process, rebuild the model, and archive again",
            )


def _code(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _code(constant)


# --- the modules ----------------------------------------------------------------------------


def _closure(first: str) -> list[Source]:
    """Follow the import statements from `first` through all local modules, their packages included."""
    sources: dict[str, Source] = {}
    waiting = [first]
    names: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in names or name.partition(".")[0] == _OURSELVES:
            continue
        names.add(name)
        spec = _spec(name)
        if spec is None or not _is_local(spec):
            continue
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        if spec.origin is None or not spec.has_location:  # a namespace package: a folder and nothing else
            continue
        path = Path(spec.origin)
        _check_source(name, path)
        parts = name.split(".")
        package = spec.submodule_search_locations is not None
        target = "/".join([*parts, "__init__.py"] if package else [*parts[:-1], f"{parts[-1]}.py"])
        sources[name] = Source(name, path, target)
        waiting += source_text.imports(path, name, package)
    return sorted(sources.values(), key=lambda source: source.target)


def _check_source(name: str, path: Path) -> None:
    if path.suffix == ".py" and path.is_file():
        return
    if any(parent.suffix in {".zip", ".egg", ".pyz"} and parent.is_file() for parent in path.parents):
        raise NotArchivable(
            f"the module {name} is imported from an archive ({path})",
            advice="unpack it, or install it as a package, and import it from there",
        )
    if path.suffix in {".so", ".pyd"}:
        raise NotArchivable(
            f"the module {name} is a compiled extension ({path}): its source can't be captured",
            advice="build it as a wheel and install that from an index, so that the environment holds it",
        )
    raise NotArchivable(
        f"the module {name} has no source file ({path})",
        advice="give it one, or install it as a package from an index",
    )


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module without importing it or its parents; None where there is none."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        module_spec: importlib.machinery.ModuleSpec = spec
        return module_spec
    search: list[str] | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        full = ".".join(parts[:depth])
        loaded = getattr(sys.modules.get(full), "__spec__", None)
        spec = loaded if loaded is not None else _ask(full, search)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        if locations is None and depth < len(parts):
            return None
        search = None if locations is None else list(locations)
    result: importlib.machinery.ModuleSpec | None = spec
    return result


def _ask(name: str, search: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: importlib.machinery.ModuleSpec | None = None if find is None else find(name, search, None)
        if spec is not None:
            return spec
    return None


def _is_local(spec: importlib.machinery.ModuleSpec) -> bool:
    """Say whether the module lies neither in the standard library nor among installed packages."""
    if spec.origin is not None and not spec.has_location:  # built in, or frozen
        return False
    places = [spec.origin] if spec.origin is not None else list(spec.submodule_search_locations or [])
    for place in places:
        path = Path(place).absolute()
        if {"site-packages", "dist-packages"} & set(path.parts):
            return False
        resolved = path.resolve()
        if any(resolved.is_relative_to(root) or path.is_relative_to(root) for root in _installed()):
            return False
    return bool(places)


def _installed() -> set[Path]:
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    names = {sysconfig.get_path(key) for key in keys} | {site.getusersitepackages()}
    names |= set(site.getsitepackages())
    roots = {Path(name) for name in names if name}
    return roots | {root.resolve() for root in roots}
