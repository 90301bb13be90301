"""A process that publishes into a bucket, each time in a child that somebody may kill.

Reads a line of JSON: an address, the variables by which its server is reached, the model's content, and
whether an environment is published, too. Tells the child's pid, then how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import fsspec.core  # noqa: F401  imported before the fork; no loop of it runs yet
import s3fs  # noqa: F401
from support.archive_making import publish

from timeproof.errors import TimeproofError
from timeproof.store.remote.writable import open_to_write
from timeproof.testing.archives import publish_environment


def child(order: dict[str, Any]) -> int:
    os.environ.update(order["environment"])
    try:
        archive = open_to_write(order["address"])
        if order["whole"]:
            publish_environment(archive)
        publish(archive, "xgboost", model=order["model"].encode())
    except TimeproofError as error:
        sys.stderr.write(f"{error.kind}: {error.message}\n")
        return error.exit_code
    return 0


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(json.loads(line))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
