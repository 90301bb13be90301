"""One question to py-rattler, which this module answers, run in a process of its own.

py-rattler's threads sometimes crash an interpreter that ends normally, so this one ends at once. Reads
one JSON object from stdin (`do` says what), prints one to stdout.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from timeproof.base import proc

Request = dict[str, Any]
Answer = dict[str, Any]


def ask(request: Request, *, timeout: float = 3600.0) -> Answer:
    """Put a question to a child. `timeout` is in seconds. Raises ToolFailed with the child's last words."""
    done = proc.run(
        [sys.executable, "-P", "-m", __name__], stdin=json.dumps(request).encode(), timeout=timeout
    )
    value: Answer = json.loads(done.stdout)
    return value


def client() -> Any:
    """A client with the machine's own mirrors, proxies and credentials."""
    from rattler import Client, Config

    return Client.from_config(Config.load_from_default_locations("rattler"))


async def download(request: Request) -> Answer:
    """Fetch `url` to the file `to`."""
    from rattler.package_streaming import download_to_path

    await download_to_path(client(), request["url"], Path(request["to"]))
    return {}


async def channels(request: Request) -> Answer:
    """Resolve `channels` (names, URLs or paths) to base URLs."""
    from rattler import Channel

    return {"urls": [str(Channel(name).base_url) for name in request["channels"]]}


async def matches(request: Request) -> Answer:
    """Say which `specs` (name and version, in conda's words) the package `name` `version` satisfies."""
    from rattler import MatchSpec, Version, VersionSpec

    answers = []
    for text in request["specs"]:
        wanted = MatchSpec(text, strict=False).version
        answers.append(wanted is None or VersionSpec(str(wanted)).matches(Version(request["version"])))
    return {"matches": answers}


async def solve(request: Request) -> Answer:
    """Solve `specs` from `channels` for `subdir`, with `virtual` packages (name, version, build)."""
    from rattler import BuildString, Gateway, GenericVirtualPackage, MatchSpec, PackageName, Subdir, Version
    from rattler import solve as rattler_solve

    records = await rattler_solve(
        sources=request["channels"],
        # `python 3.11.7`, as conda-lock writes it, is not strict.
        specs=[MatchSpec(text, strict=False) for text in request["specs"]],
        gateway=Gateway(client=client()),
        platforms=[Subdir(request["subdir"]), Subdir("noarch")],
        virtual_packages=[
            GenericVirtualPackage(PackageName(n), Version(v), BuildString(b))
            for n, v, b in request["virtual"]
        ],
    )
    return {
        "records": [
            {
                **json.loads(record.to_json()),
                "fn": record.file_name,
                "url": record.url,
                "channel": record.channel,
            }
            for record in records
        ]
    }


async def install(request: Request) -> Answer:
    """Install the files `packages` into the folder `prefix`, as if it were called `target_prefix`.

    In a container only: the packages are strangers', and the installer follows what they say.
    `indexes` are their info/index.json, in the same order; `cache` is a folder of the caller's own.
    """
    from rattler import PackageRecord, RepoDataRecord, Subdir
    from rattler import install as rattler_install

    records = []
    for number, (text, index) in enumerate(zip(request["packages"], request["indexes"], strict=True)):
        path, written = Path(text), Path(request["cache"], f"{number}.json")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(index))
        record = PackageRecord.from_index_json(written)
        records.append(RepoDataRecord(record, path.name, path.as_uri(), path.parent.as_uri()))
    await rattler_install(
        records,
        target_prefix=request["prefix"],
        cache_dir=Path(request["cache"]),
        installed_packages=[],
        platform=Subdir(request["subdir"]),
        execute_link_scripts=False,  # they are programs of strangers
        show_progress=False,
        alternative_target_prefix=request["target_prefix"],
    )
    return {}


_DO: dict[str, Callable[[Request], Awaitable[Answer]]] = {
    "download": download,
    "channels": channels,
    "matches": matches,
    "solve": solve,
}


async def _answer(request: Request) -> Answer:
    return await _DO[request["do"]](request)


async def _coroutine(answer: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
    return await answer(request)


def run(answer: Callable[[Request], Awaitable[Answer]], *, read: bool = True) -> None:
    """Read a request (where `read`), print the answer, and end the process at once. Never returns."""
    code = 1
    try:
        result: Answer = asyncio.run(_coroutine(answer, json.load(sys.stdin) if read else {}))
        json.dump(result, sys.stdout)
        code = 0
    except BaseException as error:
        json.dump({"message": str(error)}, sys.stdout)  # where conda-lock looks for the reason
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    run(_answer)
