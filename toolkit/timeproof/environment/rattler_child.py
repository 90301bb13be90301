"""Answers one question with py-rattler. Run as a module, in a process of its own.

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

Request = dict[str, Any]
Answer = dict[str, Any]


async def download(request: Request) -> Answer:
    """Fetch `url` to the file `to`, with the machine's own mirrors and credentials."""
    from rattler import Client, Config
    from rattler.package_streaming import download_to_path

    client = Client.from_config(Config.load_from_default_locations())
    await download_to_path(client, request["url"], Path(request["to"]))
    return {}


async def channels(request: Request) -> Answer:
    """Resolve `channels` (names, URLs or paths) to base URLs."""
    from rattler import Channel, Config

    config = Config.load_from_default_locations()
    found = []
    for name in request["channels"]:
        channel = Channel(name, getattr(config, "channel_config", None))
        found.append(str(channel.base_url))
    return {"urls": found}


_DO: dict[str, Callable[[Request], Awaitable[Answer]]] = {"download": download, "channels": channels}


async def _answer(request: Request) -> Answer:
    return await _DO[request["do"]](request)


def run(answer: Callable[[Request], Awaitable[Answer]]) -> None:
    """Read a request, print the answer, and end the process at once. Never returns."""
    code = 1
    try:
        result: Answer = asyncio.run(answer(json.load(sys.stdin)))  # type: ignore[arg-type]  # they are coroutines
        json.dump(result, sys.stdout)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    run(_answer)
