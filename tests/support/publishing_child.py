"""A process that publishes an artifact again and again, each time in a child that somebody may kill.

Reads one archive's path a line; forks; the child waits until the file beside the archive, named
`.go`, is there, publishes, and leaves without a word. Tells the child's pid, then how it ended.
"""

import os
import sys
import time
from pathlib import Path

from support.archive_making import publish

from timeproof.errors import TimeproofError
from timeproof.store.layout import Archive


def child(root: Path) -> int:
    while not root.with_suffix(".go").exists():
        time.sleep(0.002)
    try:
        publish(Archive(root), "xgboost")
    except TimeproofError as error:
        return error.exit_code
    return 0


for line in sys.stdin:
    root = Path(line.rstrip("\n"))
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(root)
        finally:
            os._exit(code)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
