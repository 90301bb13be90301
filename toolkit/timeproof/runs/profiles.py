"""Profiles: the numeric settings of a run, by name or from a user's file.

They are the container's environment variables, set before its process starts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timeproof.errors import BadRequest
from timeproof.images.named_profiles import BUILT_IN
from timeproof.store.schema.v1 import ProfileRecord

NAMES = tuple(BUILT_IN)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# These choose which code runs, not how it rounds, and only the image may choose the code.
_NOT_NUMERIC = re.compile(r"(?:LD_|PYTHON).*|PATH|HOME|LC_ALL")
_EXAMPLE = 'name = "avx2", threads = 1, and a table [variables] of NAME = "value"'
_BYTES = 65536


def profile_named(name: str | Path) -> ProfileRecord:
    """Return the profile of that name, or the one that a `.toml` file describes. Raises BadRequest.

    Such a file holds `name`, `threads` (left out: each framework's own default) and `[variables]`.
    """
    if isinstance(name, str) and name in BUILT_IN:
        threads, variables = BUILT_IN[name]
        return ProfileRecord(name=name, threads=threads, variables=dict(variables))
    path = Path(name)
    if path.suffix == ".toml":
        return _from_file(path)
    raise BadRequest(
        f"there is no profile {str(name)!r}",
        advice=f"take one of: {', '.join(NAMES)}; or give your own .toml file",
    )


def profile_for(name: str | Path, needs: Mapping[str, str]) -> ProfileRecord:
    """Return the profile of that name as one framework's models need it; other arguments as `profile_named`.

    Args:
        needs: variables that the models of the framework need in the portable profile, beside its own.
    """
    profile = profile_named(name)
    if profile.name != "portable" or not needs:
        return profile
    if bad := [variable for variable in needs if _NOT_NUMERIC.fullmatch(variable)]:
        raise BadRequest(
            f"the framework's plugin sets {', '.join(bad)}, which chooses the code, and not how it rounds",
            advice="install another version of the plugin",
        )
    return profile.model_copy(update={"variables": {**needs, **profile.variables}})


def _from_file(path: Path) -> ProfileRecord:
    try:
        with path.open("rb") as stream:
            profile = tomllib.loads(stream.read(_BYTES).decode())
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"the profile {path} can't be read: {error}", advice=f"it holds {_EXAMPLE}"
        ) from error
    issues = _issues(profile)
    if issues:
        raise BadRequest(f"the profile {path}: {'; '.join(issues)}", advice=f"it holds {_EXAMPLE}")
    return ProfileRecord(
        name=profile["name"], threads=profile.get("threads"), variables=profile.get("variables", {})
    )


def _issues(profile: dict[str, Any]) -> list[str]:
    issues = [f"a profile has no {key!r}" for key in profile.keys() - {"name", "threads", "variables"}]
    name, threads = profile.get("name"), profile.get("threads", 1)
    variables = profile.get("variables", {})
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        issues.append("it has no name of letters, digits, '.', '_' and '-'")
    elif name in BUILT_IN:
        issues.append(f"the name {name!r} belongs to a built-in profile")
    if type(threads) is not int or not 1 <= threads <= 4096:
        issues.append("threads is not a whole number from 1 to 4096")
    if not isinstance(variables, dict):
        return [*issues, "variables is not a table"]
    for variable, value in variables.items():
        if not _VARIABLE.fullmatch(variable) or _NOT_NUMERIC.fullmatch(variable):
            issues.append(f"{variable} is not a numeric setting")
        if not isinstance(value, str) or not value.isprintable():
            issues.append(f"the value of {variable} is not one line of text")
    return issues
