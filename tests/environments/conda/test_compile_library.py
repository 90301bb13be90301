"""Compiled sources: the same bytes in any folder, at any time, and what does not compile is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from timeproof.environments.conda import compile_library

SOURCES = {"a.py": "x = {1, 2, 3}\n", "deep/er/b.py": "def f(): return {'a', 'b'}\n", "wrong.py": "def :\n"}


def compiled(folder: Path, *, at: float) -> dict[str, bytes]:
    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (at, at))
    words = [sys.executable, "-S", "-s", "-B", compile_library.__file__, str(folder), "/opt/env/lib/python3"]
    subprocess.run(words, check=True, env={"PYTHONHASHSEED": "0"})
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.pyc")}


def test_equal_sources_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    one, two = compiled(tmp_path / "one", at=1e9), compiled(tmp_path / "a" / "longer" / "name", at=2e9)
    assert one == two
    assert sorted(Path(name).name.split(".")[0] for name in one) == ["a", "b"]
    assert all(b"/opt/env/lib/python3/" in data for data in one.values())
    assert not any(str(tmp_path).encode() in data for data in one.values())
