"""A stand-in for the `conda` command, as far as conda-lock needs one: `create --dry-run --json`.

Solves with py-rattler. Used where neither conda nor mamba nor micromamba is on the PATH; conda-lock
itself stays the stock one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from timeproof.environments.conda.rattler_child import run, solve

_LIKE = "24.1.0"  # the conda whose answers these look like


def _virtual(channel: str, subdir: str) -> list[tuple[str, str, str]] | None:
    """The virtual packages of the channel that conda-lock makes for them; None for a real channel."""
    parts = urlsplit(channel)
    if parts.scheme != "file":
        return None
    try:
        index = json.loads(Path(unquote(parts.path), subdir, "repodata.json").read_bytes())
    except (OSError, ValueError):
        return None
    rows: list[dict[str, Any]] = list(index.get("packages", {}).values())
    if not rows or any(row.get("package_type") != "virtual_system" for row in rows):
        return None
    return [(row["name"], row["version"], str(row.get("build", "0"))) for row in rows]


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conda", add_help=False)
    parser.add_argument("--version", action="version", version=f"conda {_LIKE}")
    parser.add_argument("command", choices=["create", "info"])
    parser.add_argument("--channel", "-c", action="append", default=[])
    parser.add_argument("--prefix", "-p")
    for flag in ("--dry-run", "--json", "--override-channels"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("specs", nargs="*")
    return parser.parse_intermixed_args(words)


async def _create(options: argparse.Namespace) -> dict[str, Any]:
    subdir = os.environ["CONDA_SUBDIR"]
    channels, virtual = [], []
    for channel in options.channel:
        made_up = _virtual(channel, subdir)
        if made_up is None:
            channels.append(channel)
        else:
            virtual += made_up
    answer = await solve({"channels": channels, "specs": options.specs, "subdir": subdir, "virtual": virtual})
    return {"success": True, "actions": {"FETCH": answer["records"], "LINK": []}}


def main() -> None:
    """Never returns: the process ends at once, as py-rattler wants it."""
    options = _options(sys.argv[1:])
    if options.command == "info":
        print(json.dumps({"pkgs_dirs": [os.environ.get("CONDA_PKGS_DIRS", "")]}))
        return

    async def answer(_: dict[str, Any]) -> dict[str, Any]:
        return await _create(options)

    run(answer, read=False)


if __name__ == "__main__":
    main()
