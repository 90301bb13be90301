"""YAML of plain values, strict and bounded. No IO here.

YAML has its own traps: duplicate keys (the last one wins), aliases (a few bytes that stand for
gigabytes), numbers of thousands of digits. All are refused.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import yaml

from timeproof.base.limits import LIMITS
from timeproof.errors import BadArchive, Limit, Malformed

_DEPTH = 16  # levels of nesting; the schema has five


class _Repeated(yaml.YAMLError):
    pass


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):  # type: ignore[misc]  # chosen at run time: with libyaml or without
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002  # its name is given
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _Repeated(f"line {node.start_mark.line + 1}: a key is not a string")
            if key.value in keys:
                raise _Repeated(f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
            keys.add(key.value)
        return cast("dict[Hashable, Any]", super().construct_mapping(node, deep=True))


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    if len(node.value) > LIMITS.json_digits:  # Python spells no number of thousands of digits
        line = node.start_mark.line + 1
        raise yaml.YAMLError(f"line {line}: a number has more than {LIMITS.json_digits} digits")
    return int(loader.construct_yaml_int(node))


_Strict.add_constructor("tag:yaml.org,2002:int", _integer)


def load_yaml(data: bytes, path: object, *, limit: int = LIMITS.lock_bytes) -> Any:
    """Parse one YAML document of plain values, without aliases and duplicate keys.

    Raises Malformed or Limit.
    """
    if len(data) > limit:
        raise Limit(path, f"{len(data)} bytes of YAML, at most {limit}")
    depth = 0
    try:
        for event in yaml.parse(data, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = getattr(event.start_mark, "line", 0) + 1
                raise Malformed(path, [f"line {line}: YAML aliases are not accepted"])
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEPTH:
                    raise Limit(path, f"more than {_DEPTH} levels of nesting")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return yaml.load(data, Loader=_Strict)  # noqa: S506  # a subclass of the safe loader
    except BadArchive:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Malformed(path, [" ".join(str(error).split())]) from None
    except (AttributeError, LookupError) as error:  # PyYAML's own, for a tag that its value does not fit
        raise Malformed(path, [f"a value does not fit its tag: {error!r:.80}"]) from None
