"""Capturing a class's source: every local module it needs, or an error that says what to do."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from timeproof.errors import NotArchivable
from timeproof.frameworks.pytorch import sources

_COUNT = itertools.count()
Project = Callable[..., type]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Write modules, import the first, give its class Net. `@` is a fresh prefix, `@@` a plain @."""
    prefix = f"tps{next(_COUNT)}_"
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(modules: dict[str, str | bytes]) -> type:
        for name, text in modules.items():
            path = tmp_path / name.replace("@", prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                path.write_bytes(text)
            else:
                path.write_text(text.replace("@@", "\0").replace("@", prefix).replace("\0", "@"))
        importlib.invalidate_caches()
        first = next(iter(modules)).replace("@", prefix).removesuffix(".py").replace("/", ".")
        kind: type = importlib.import_module(first).Net
        return kind

    yield write
    for name in [name for name in sys.modules if name.startswith(prefix)]:
        del sys.modules[name]


NET = "class Net:\n    def answer(self):\n        return 1\n"


def targets(kind: type) -> list[str]:
    return [source.target.split("_", 1)[1] for source in sources.capture(kind)]


def test_imports_of_every_form_are_followed(project: Project) -> None:
    kind = project(
        {
            "@net.py": "import @a, os\nfrom @b import c\nimport @d.e as f\nfrom @g import *\n"
            "import importlib\nimportlib.import_module('@h')\n"
            "try:\n    import @absent\nexcept ImportError:\n    pass\n"
            "def later():\n    from @i import x\n" + NET,
            "@a.py": "import @net\nimport @j\n",
            "@b/__init__.py": "",
            "@b/c.py": "",
            "@b/unused.py": "",
            "@d/__init__.py": "from . import near\nfrom .near import thing\n",
            "@d/near.py": "thing = 1\n",
            "@d/e.py": "from .near import thing\n",
            "@g.py": "",
            "@h.py": "",
            "@i.py": "x = 1\n",
            "@j.py": "",
        }
    )
    assert targets(kind) == [
        "a.py",
        "b/__init__.py",
        "b/c.py",
        "d/__init__.py",
        "d/e.py",
        "d/near.py",
        "g.py",
        "h.py",
        "i.py",
        "j.py",
        "net.py",
    ]


def test_nothing_is_imported_that_was_not(project: Project) -> None:
    kind = project(
        {
            "@net.py": "def later():\n    import @bomb.below\n" + NET,
            "@bomb/__init__.py": "raise SystemExit('imported')\n",
            "@bomb/below.py": "raise SystemExit('imported')\n",
        }
    )
    assert targets(kind) == ["bomb/__init__.py", "bomb/below.py", "net.py"]


def test_what_never_runs_in_the_container_is_left_out(project: Project) -> None:
    kind = project(
        {
            "@net.py": "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    import @types\nelse:\n    import @real\n"
            + NET
            + "if __name__ == '__main__':\n    import @train\n",
            "@types.py": "",
            "@real.py": "",
            "@train.py": "",
        }
    )
    assert targets(kind) == ["net.py", "real.py"]


def test_the_toolkit_itself_is_not_taken_along(project: Project) -> None:
    assert targets(project({"@net.py": "import timeproof.errors\n" + NET})) == ["net.py"]


def test_copies_keep_their_bytes_and_places(project: Project, tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\r\nname = 'b\xf6se'\r\n".encode("latin-1")
    kind = project({"@pkg/net.py": "from @pkg import odd\n" + NET, "@pkg/odd.py": text})
    written = sources.write(sources.capture(kind), tmp_path / "out")
    assert [path.split("_", 1)[1] for path in written] == ["pkg/net.py", "pkg/odd.py"]
    assert (tmp_path / "out" / written[1]).read_bytes() == text


def test_an_installed_class_needs_no_source() -> None:
    import packaging.version

    assert sources.capture(packaging.version.Version) == []
    assert sources.capture(zipfile.ZipFile) == []


def refused(kind: type, words: str) -> None:
    with pytest.raises(NotArchivable, match=words) as caught:
        sources.capture(kind)
    assert caught.value.advice


def test_a_compiled_local_module_is_refused(project: Project) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    kind = project(
        {
            "@net.py": "try:\n    import @fast\nexcept ImportError:\n    pass\n" + NET,
            f"@fast{suffix}": b"\x7fELF",
        }
    )
    refused(kind, "compiled extension")


def test_a_module_from_a_zip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("tps_zipped.py", NET)
    monkeypatch.syspath_prepend(str(tmp_path / "code.zip"))
    kind = importlib.import_module("tps_zipped").Net
    try:
        refused(kind, "imported from an archive")
    finally:
        del sys.modules["tps_zipped"]


def test_a_file_that_changed_since_it_was_imported_is_refused(project: Project, tmp_path: Path) -> None:
    kind = project({"@net.py": NET})
    path = next(tmp_path.glob("*net.py"))
    assert targets(kind) == ["net.py"]
    path.write_text(NET.replace("return 1", "return 2"))
    refused(kind, "changed since it was imported: Net.answer")
    path.write_text("# a comment that moves no line\n".join([NET, ""]))
    assert targets(kind) == ["net.py"]
    path.write_text("class Net\n")
    refused(kind, "changed since it was imported")


def test_a_file_that_is_gone_is_refused(project: Project, tmp_path: Path) -> None:
    kind = project({"@net.py": "import @a\n" + NET, "@a.py": ""})
    next(tmp_path.glob("*a.py")).unlink()
    refused(kind, "no source file")


def test_a_module_that_can_not_be_parsed_is_refused(project: Project, tmp_path: Path) -> None:
    kind = project({"@net.py": "import @a\n" + NET, "@a.py": ""})
    next(tmp_path.glob("*a.py")).write_text("def (:\n")
    refused(kind, "can't be parsed")


def test_decorated_and_generated_methods_are_not_taken_for_changes(project: Project) -> None:
    kind = project(
        {
            "@net.py": "import functools\nfrom dataclasses import dataclass\n"
            "def twice(f):\n"
            "    @@functools.wraps(f)\n    def g(self):\n        return 2 * f(self)\n    return g\n"
            "@@dataclass\nclass Net:\n"
            "    a: int = 1\n    @@twice\n    def answer(self):\n        return 1\n"
        }
    )
    assert targets(kind) == ["net.py"]


def test_a_reloaded_module_is_refused(project: Project) -> None:
    kind = project({"@net.py": NET})
    importlib.reload(sys.modules[kind.__module__])
    refused(kind, "reloaded")


SCRIPT = """
import sys
{before}
class Net: pass
from timeproof.errors import NotArchivable
from timeproof.frameworks.pytorch import sources
try:
    sources.capture(Net)
except NotArchivable as error:
    print(error.message, '|', error.advice)
"""


@pytest.mark.parametrize(
    ("before", "message", "advice"),
    [
        ("", "in the script that is running (__main__)", "a module of its own"),
        ("def get_ipython(): pass", "in a notebook", "%%writefile"),
    ],
)
def test_a_class_of_the_running_script_or_notebook_is_refused(before: str, message: str, advice: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    said, _, advised = ended.stdout.partition("|")
    assert message in said
    assert advice in advised


def test_what_can_not_be_followed_is_told_by_file_and_line(project: Project) -> None:
    kind = project(
        {
            "@net.py": "import importlib, @data\n"
            "HELP = importlib.import_module('js' + 'on')\n"
            "import_by_statement = importlib.import_module('json')\n" + NET,
            "@data.py": "import pkgutil\nfrom pathlib import Path\nHERE = Path(__file__).parent\n"
            "TABLE = pkgutil.get_data('json', '__init__.py')\n",
        }
    )
    told = [doubt.split("_", 1)[1] for doubt in sources.doubts(sources.capture(kind))]
    assert [doubt.split(" ")[0] for doubt in told] == ["data.py:3", "data.py:4", "net.py:2"]
    assert "data files are not archived" in told[0]
    assert "made at run time" in told[2]
