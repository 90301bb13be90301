"""Methods of a model that are not its library's, which the library's own code can't repeat."""

from __future__ import annotations

from collections.abc import Sequence


def differences(model: object, package: str, methods: Sequence[str]) -> list[str]:
    """Say which of `methods` somebody else than `package` has written, each in a sentence.

    Args:
        package: the library's name, as its modules' names begin.
        methods: names of what decides on a model's answer.
    """
    return [reason for name in methods if (reason := _reason(model, package, name))]


def replaced(model: object, package: str, method: str) -> bool:
    """Say whether `method` is the user's own."""
    return bool(_reason(model, package, method))


def _reason(model: object, package: str, name: str) -> str:
    if name in getattr(model, "__dict__", {}):
        return f"the object has an attribute {name!r} of its own, in the place of its class's"
    for kind in type(model).__mro__:
        if name not in vars(kind):
            continue
        if not _is_of(kind.__module__, package):
            return f"the class {kind.__qualname__} has its own {name}"
        method = vars(kind)[name]
        written = getattr(getattr(method, "fget", method), "__module__", None)
        if isinstance(written, str) and not _is_of(written, package):
            return f"{kind.__qualname__}.{name} is not {package}'s: {written} has replaced it"
        return ""
    return ""


def _is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")
