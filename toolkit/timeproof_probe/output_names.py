"""How what a model gives, nested in any way, becomes a list of named outputs.

The probe and the training process both name outputs through this module, so that the two can be
compared. Standard library only: the caller says what a leaf is.
"""

from typing import Any, Callable, List, Tuple


def flatten(value: Any, is_leaf: Callable[[Any], bool], prefix: str = "output") -> List[Tuple[str, Any]]:
    """Give the leaves of `value` with their names, in order.

    One leaf is `output`; a tuple's or list's are `output_0`, `output_1`, …; a mapping's and a
    dataclass's are its keys; deeper ones are joined by `_`. None is left out.

    Raises:
        ValueError: two leaves have one name, there is none, or something is neither leaf nor container.
    """
    leaves: List[Tuple[str, Any]] = []
    _walk(value, is_leaf, "", prefix, leaves, 0)
    names = set()
    for name, _ in leaves:
        if name in names:
            raise ValueError("two outputs are named {!r}".format(name))
        names.add(name)
    if not leaves:
        raise ValueError("the model gave no output")
    return leaves


def _walk(
    value: Any,
    is_leaf: Callable[[Any], bool],
    name: str,
    prefix: str,
    leaves: List[Tuple[str, Any]],
    depth: int,
) -> None:
    if depth > 32:
        raise ValueError("the outputs are nested more than 32 levels deep")
    if value is None:
        return
    if is_leaf(value):
        leaves.append((name or prefix, value))
        return
    if hasattr(value, "items"):
        items = [(str(key), item) for key, item in value.items()]
    elif hasattr(value, "__dataclass_fields__"):
        items = [(key, getattr(value, key)) for key in value.__dataclass_fields__]
    elif isinstance(value, (tuple, list)):
        items = [("{}_{}".format(name or prefix, k), item) for k, item in enumerate(value)]
        for below, item in items:
            _walk(item, is_leaf, below, prefix, leaves, depth + 1)
        return
    else:
        kind = type(value)
        raise ValueError(
            "the output {!r} is a {}.{}, not a tensor or a container of tensors".format(
                name or prefix, kind.__module__, kind.__qualname__
            )
        )
    for key, item in items:
        _walk(item, is_leaf, "{}_{}".format(name, key) if name else key, prefix, leaves, depth + 1)
