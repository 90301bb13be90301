"""A conda environment's own packages, from its `conda-meta` records to the exact files.

The records name each package's file and hash; the bytes come from the package caches of this machine,
or from where the record says they came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timeproof.base.digests import Digest
from timeproof.base.progress import Progress
from timeproof.environments.conda.fetch import CondaRequest, fetch_conda_package
from timeproof.environments.conda.package_format import hashes, read_info
from timeproof.environments.interpreter.inspection import Inspection
from timeproof.environments.lock.document import Package
from timeproof.errors import FetchFailed
from timeproof.store.package_paths import check_file_name
from timeproof.store.packages import PackageStore

_NAMED = 3  # differing files that a message names; the rest is counted


@dataclass(frozen=True)
class CondaEnvironment:
    """The records of a prefix; empty where it is not a conda environment."""

    prefix: Path
    records: tuple[dict[str, Any], ...] = ()
    files: frozenset[str] = field(default=frozenset())  # absolute paths that they account for
    metadata: frozenset[str] = field(default=frozenset())  # their .dist-info folders among them
    channels: tuple[str, ...] = ()  # names only


def channel_name(text: str) -> str | None:
    """A channel's bare name, where it has one: addresses do not go into locks."""
    parts = [p for p in text.rstrip("/").split("/") if p]
    if "://" not in text and len(parts) == 1:
        return parts[0]
    return None


def read(inspection: Inspection) -> CondaEnvironment:
    """Read the records of the prefix that the interpreter runs from (a virtual environment: was made of)."""
    prefix = inspection.base_prefix
    meta = prefix / "conda-meta"
    if not inspection.interpreter["conda"]:
        return CondaEnvironment(prefix)
    records = []
    for path in sorted(meta.glob("*.json")):
        record = json.loads(path.read_bytes())
        if isinstance(record, dict) and "name" in record and "version" in record:
            records.append(record)
    files = frozenset(os.path.normpath(prefix / f) for r in records for f in r.get("files", ()))
    metadata = frozenset(
        os.path.dirname(f) for f in files if f.endswith(("-info/METADATA", "-info/PKG-INFO"))
    )
    names = {name for r in records if (name := channel_name(str(r.get("channel") or "")))}
    return CondaEnvironment(prefix, tuple(records), files, metadata, tuple(sorted(names)))


def _file_name(record: dict[str, Any]) -> str:
    name = str(record.get("fn") or str(record.get("url", "")).rsplit("/", 1)[-1])
    return check_file_name(name)


def _differences(prefix: Path, record: dict[str, Any], package: Path) -> list[str]:
    """Installed files that are not the package's. Where a prefix was written in, the record's hash counts."""
    installed = {row["_path"]: row for row in (record.get("paths_data") or {}).get("paths", ())}
    pure = record.get("noarch") == "python"
    findings = []
    for row in read_info(package, "info/paths.json")["info/paths.json"]["paths"]:
        if row.get("path_type") != "hardlink" or row["_path"].endswith(".pyc"):
            continue
        entry = _installed_entry(row, installed, pure)
        expected = entry.get("sha256_in_prefix") if row.get("prefix_placeholder") else row.get("sha256")
        try:
            actual = hashlib.sha256((prefix / entry["_path"]).read_bytes()).hexdigest()
        except OSError:
            findings.append(f"{entry['_path']} is missing")
            continue
        if expected and actual != expected:
            findings.append(f"{entry['_path']} is not the package's")
    return findings


def _installed_entry(row: dict[str, Any], installed: dict[str, dict[str, Any]], pure: bool) -> dict[str, Any]:
    """The record's entry for a file of the package; pure Python's lie below the interpreter's own folder."""
    name = row["_path"]
    if pure and name.startswith("site-packages/"):
        return next((entry for path, entry in installed.items() if path.endswith("/" + name)), row)
    return installed.get(name, row)


def capture_records(
    conda: CondaEnvironment, subdir: str, store: PackageStore, progress: Progress
) -> tuple[list[Package], list[str]]:
    """Fetch every recorded package into the store, and compare the installed files with it.

    Returns the locked packages, and one line for each that can't be captured.
    """
    packages: list[Package] = []
    problems: list[str] = []
    for record in conda.records:
        label = f"{record['name']} {record['version']} (conda)"
        request = _request(record, subdir)
        progress.detail(request.file_name)
        try:
            digest = fetch_conda_package(request, store, near=[conda.prefix])
        except FetchFailed as error:
            problems.append(f"{label}: {error.message}")
            continue
        path = store.verified(digest, request.file_name)
        if findings := _differences(conda.prefix, record, path):
            more = f" and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
            problems.append(
                f"{label} is not what {request.file_name} holds: {', '.join(findings[:_NAMED])}{more}; "
                f"reinstall it (conda install --force-reinstall {record['name']})"
            )
        depends = record.get("depends") or ()
        packages.append(locked(request, depends, str(record["version"]), subdir, path, digest))
    return packages, problems


def _request(record: dict[str, Any], subdir: str) -> CondaRequest:
    return CondaRequest(
        name=str(record["name"]),
        file_name=_file_name(record),
        subdir=str(record.get("subdir") or subdir),
        sha256=Digest(record["sha256"]) if record.get("sha256") else None,
        md5=record.get("md5"),
        url=str(record.get("url") or ""),
    )


def locked(
    request: CondaRequest, depends: Sequence[str], version: str, subdir: str, path: Path, digest: Digest
) -> Package:
    """The lock's entry for a conda package that lies in the store at `path`."""
    pairs = {}
    for text in depends:
        name, _, spec = text.partition(" ")
        if not name.startswith("__"):  # virtual packages are the machine's
            pairs[name] = spec
    return Package.stored(
        name=request.name,
        version=version,
        manager="conda",
        platform=subdir,
        sha256=digest,
        file_name=request.file_name,
        md5=request.md5 or hashes(path)[0],
        dependencies=pairs.items(),
    )
