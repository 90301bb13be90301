"""The environment that an MLflow folder asks for: its Python, and its requirements. No IO but reading them.

MLflow itself is left out: the container asks the model's own framework. So are options of pip: a stranger's
file does not say where packages come from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from timeproof.environments.lock.strict_yaml import load_yaml
from timeproof.errors import BadArchive, NotImportable
from timeproof.importing.mlflow.folder import MLMODEL_BYTES, ModelFolder, quoted, read_bytes

ENVIRONMENT = "mlflow"  # what an environment that is made for such a folder is called
GIVE = "give an environment: --env NAME or FOLDER (environment= in Python); 'timeproof lock' makes one"
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?")
_LEFT_OUT = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"})
# Distributions that hold the same module: where both are asked for, the second would be laid over the first.
_SAME_MODULE = (("xgboost-cpu", "xgboost"),)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the folder asks for.

    Args:
        python: a version of two or three numbers.
        requirements: as pip takes them, in the folder's order.
        file: where they stand, relative to the folder.
        notes: what was left out, and why.
    """

    python: str
    requirements: tuple[str, ...]
    file: str
    notes: tuple[str, ...]

    def environment_yml(self, python: str) -> str:
        """The request for a lock, with this version of Python."""
        dependencies: list[Any] = [f"python={python}", "pip", {"pip": list(self.requirements)}]
        request = {
            "name": ENVIRONMENT,
            "channels": ["conda-forge", "nodefaults"],
            "dependencies": dependencies,
        }
        return yaml.safe_dump(request, sort_keys=False)


def read_wanted(folder: ModelFolder) -> Wanted:
    """Read what the folder asks for. Raises NotImportable, which names the line that can't be taken."""
    conda = _yaml(folder, "conda.yaml")
    if (folder.root / "requirements.txt").exists():
        file = "requirements.txt"
        lines = _lines(folder, read_bytes(folder.root, file, MLMODEL_BYTES))
    else:
        file = "conda.yaml"
        lines = _pip_part(conda)
    if not lines:
        raise NotImportable(
            folder.root, ["it names no requirements (requirements.txt, conda.yaml)"], advice=GIVE
        )
    requirements = [_requirement(folder, file, line) for line in lines]
    return _without_mlflow(_python(folder, conda), requirements, file)


def _without_mlflow(python: str, requirements: list[Requirement], file: str) -> Wanted:
    keys = {canonicalize_name(r.name) for r in requirements}
    doubled = {second: first for first, second in _SAME_MODULE if first in keys and second in keys}
    notes = []
    if left_out := sorted(keys & _LEFT_OUT):
        notes.append(
            f"the environment is that of its {file}, without {', '.join(left_out)}: the container asks the"
            " model's own framework"
        )
    notes += [
        f"of its {file}, {second} is left out: {first} is the same module"
        for second, first in doubled.items()
    ]
    remaining = [str(r) for r in requirements if canonicalize_name(r.name) not in {*_LEFT_OUT, *doubled}]
    return Wanted(python, tuple(remaining), file, tuple(notes))


def _lines(folder: ModelFolder, data: bytes) -> list[str]:
    """The requirements of a requirements.txt, without comments."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotImportable(folder.root, ["requirements.txt is not UTF-8 text"], advice=GIVE) from None
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _requirement(folder: ModelFolder, file: str, line: str) -> Requirement:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        kind = "an option of pip" if line.startswith("-") else "no requirement by name"
        raise NotImportable(folder.root, [f"{file}: {quoted(line)!r} is {kind}"], advice=GIVE) from None
    if requirement.url is not None:
        problem = f"{file}: {requirement.name} is taken from an address, {quoted(requirement.url)}"
        raise NotImportable(folder.root, [problem], advice=GIVE)
    return requirement


def _yaml(folder: ModelFolder, name: str) -> dict[str, Any]:
    """A YAML file of the folder; empty where it is absent, or no mapping. Raises NotImportable."""
    if not (folder.root / name).exists():
        return {}
    try:
        value = load_yaml(
            read_bytes(folder.root, name, MLMODEL_BYTES), folder.root / name, limit=MLMODEL_BYTES
        )
    except BadArchive as error:
        raise NotImportable(folder.root, [error.message], advice=GIVE) from None
    return value if isinstance(value, dict) else {}


def _pip_part(conda: dict[str, Any]) -> list[str]:
    parts = [
        item["pip"] for item in _items(conda) if isinstance(item, dict) and isinstance(item.get("pip"), list)
    ]
    return [str(line) for part in parts for line in part]


def _items(conda: dict[str, Any]) -> list[Any]:
    dependencies = conda.get("dependencies")
    return dependencies if isinstance(dependencies, list) else []


def _python(folder: ModelFolder, conda: dict[str, Any]) -> str:
    """The Python that the model was logged with. Raises NotImportable where nothing says it."""
    specs = [item for item in _items(conda) if isinstance(item, str) and item.startswith("python=")]
    candidates = [
        folder.python_function.get("python_version"),
        _yaml(folder, "python_env.yaml").get("python"),
        *(spec.removeprefix("python").lstrip("=") for spec in specs),
    ]
    for candidate in candidates:
        if isinstance(candidate, str) and _VERSION.fullmatch(candidate):
            return candidate
    raise NotImportable(folder.root, ["it does not say which Python it was made with"], advice=GIVE)
