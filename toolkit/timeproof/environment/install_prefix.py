"""Installs conda packages into a folder with py-rattler. Run as a module, in a process of its own.

py-rattler's threads sometimes crash an interpreter that ends normally, so this one ends at once.
Reads one JSON object from stdin: `packages` (paths), `prefix`, `target_prefix`, `cache`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


async def _install(asked: dict[str, Any]) -> None:
    from rattler import PackageRecord, RepoDataRecord, Subdir, install

    records = []
    for text in asked["packages"]:
        path = Path(text)
        record = PackageRecord.from_index_json(_index(path, Path(asked["cache"])))
        # A channel of its own name only; the bytes come from the file.
        records.append(RepoDataRecord(record, path.name, path.as_uri(), path.parent.as_uri()))
    await install(
        records,
        target_prefix=asked["prefix"],
        cache_dir=Path(asked["cache"]),
        installed_packages=[],
        platform=Subdir(asked["subdir"]),
        execute_link_scripts=False,
        show_progress=False,
        alternative_target_prefix=asked["target_prefix"],
    )


def _index(path: Path, scratch: Path) -> Path:
    from timeproof.environment.conda_format import read_info

    out = scratch / f"{path.name}.index.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(read_info(path, "info/index.json")["info/index.json"]))
    return out


def main() -> None:
    code = 1
    try:
        asyncio.run(_install(json.load(sys.stdin)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
