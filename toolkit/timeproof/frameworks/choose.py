"""Which adapter a model or a file belongs to."""

from __future__ import annotations

from pathlib import Path

from timeproof.errors import NotArchivable, NotFound
from timeproof.frameworks.base import Adapter
from timeproof.frameworks.foreign_files import LIVE, advice_for
from timeproof.frameworks.registry import specs
from timeproof.frameworks.sniffing import identify
from timeproof.frameworks.spec import FrameworkSpec


def adapter_for(model: object) -> Adapter:
    """Give the adapter of a live model. Raises NotArchivable where no framework knows it."""
    return spec_for(model).make_adapter()


def spec_for(model: object) -> FrameworkSpec:
    """Give the framework of a live model. Raises NotArchivable where no framework knows it."""
    for spec in specs():
        if spec.make_adapter().recognises(model):
            return spec
    kind = type(model)
    raise NotArchivable(
        f"{kind.__module__}.{kind.__qualname__} is not a model of a known framework",
        advice=advice_for(kind.__module__.partition(".")[0])
        or f"archive {enumerate_words([spec.takes for spec in specs()])}; or install the plugin of its"
        " framework",
    )


def spec_for_either(model: object) -> FrameworkSpec:
    """Give the framework of a live model, or of the file at a `Path`. Raises NotFound and NotArchivable."""
    return spec_for_file(model) if isinstance(model, Path) else spec_for(model)


def adapter_for_file(path: Path) -> Adapter:
    """Give the adapter of an existing model file or folder, by its bytes; it is not loaded.

    Raises:
        NotFound: there is no such file.
        NotArchivable: its format is not one that can be archived as it is.
    """
    return spec_for_file(path).make_adapter()


def spec_for_file(path: Path) -> FrameworkSpec:
    """Give the framework of an existing model file, as `adapter_for_file` does."""
    if not path.is_file() and not path.is_dir():
        raise NotFound(f"there is no file {path}")
    kind = identify(path)
    if isinstance(kind, FrameworkSpec):
        return kind
    if kind is not None:
        raise NotArchivable(f"{path} is {kind.what}: it can't be archived as it is", advice=kind.instead)
    if path.is_dir():
        kinds = enumerate_words([spec.folders for spec in specs()])
        raise NotArchivable(
            f"{path} is a folder, and no model that can be archived as it is",
            advice=f"give {f'{kinds}, or ' if kinds else ''}the model's file; or load the model and archive"
            f" it: {LIVE}",
        )
    for spec in specs():
        if path.suffix.lower() in spec.extensions:
            # A file of an extension that says what it is meant to be: its adapter says what is wrong with it.
            return spec
    raise NotArchivable(
        f"{path} is not a model file that can be archived as it is",
        advice=f"give {enumerate_words([spec.files for spec in specs()])}; or load the model and archive it:"
        f" {LIVE}",
    )


def enumerate_words(words: list[str]) -> str:
    """Join words within a sentence: "a, b or c"; empty ones are left out."""
    *first, last = [word for word in words if word] or [""]
    return f"{', '.join(first)} or {last}" if first else last
