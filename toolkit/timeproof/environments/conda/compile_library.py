"""Compiles a library so that equal sources give equal .pyc. A script for the interpreter it is for (3.6+).

Arguments: the library's folder, and the same folder as it will be called in the image. One process and
one order, because what a compiled file looks like depends on what its process did before. The files are
checked against nothing at run time (UNCHECKED_HASH): neither clock nor path can make them stale.
"""

import contextlib
import os
import py_compile
import sys


def main(root: str, name_in_image: str) -> None:
    modes = getattr(py_compile, "PycInvalidationMode", None)
    options = {} if modes is None else {"invalidation_mode": modes.UNCHECKED_HASH}
    for parent, folders, names in os.walk(root):
        folders.sort()
        for file in sorted(names):
            if not file.endswith(".py"):
                continue
            path = os.path.join(parent, file)
            # Templates and examples of errors don't compile; no program imports them.
            with contextlib.suppress(py_compile.PyCompileError, UnicodeError, ValueError):
                py_compile.compile(
                    path, dfile=name_in_image + path[len(root) :], doraise=True, optimize=0, **options
                )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
