"""Draw demo.svg: run the demo in an archive of its own, and keep what it prints.

.venv/bin/python docs/pictures/make.py                    a first run, a few minutes
.venv/bin/python docs/pictures/make.py --archive FOLDER   in an archive that may hold the environment already
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from timeproof.cli import console

HERE = Path(__file__).resolve().parent
# Dark enough for either of a reader's backgrounds, light enough to read; dim stays legible.
_COLOURS = [
    (240, 113, 120),
    (126, 211, 130),
    (240, 200, 110),
    (130, 170, 255),
    (200, 150, 240),
    (120, 210, 220),
]
THEME = TerminalTheme(
    (24, 27, 33),
    (222, 226, 232),
    [(24, 27, 33), *_COLOURS, (222, 226, 232)],
    [(110, 118, 130), *_COLOURS, (255, 255, 255)],
)


def draw(shown):
    """The recorded text as SVG; fonts are the reader's own, nothing is loaded from elsewhere."""
    text = shown.export_svg(title="timeproof", theme=THEME)
    text = re.sub(r"\s*@font-face \{.*?\}\s*(?=\S)", "\n    ", text, flags=re.DOTALL)
    text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # else some viewers swallow leading spaces
    (HERE / "demo.svg").write_text(
        text.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, help="where the demo keeps its artifacts")
    archive = parser.parse_args().archive
    shown = Console(record=True, width=112, force_terminal=True, highlight=False, color_system="truecolor")
    console.out = shown  # before the demo takes it
    sys.path.insert(0, str(HERE.parent / "demo"))
    import run

    with tempfile.TemporaryDirectory(prefix="timeproof-picture-") as scratch:
        shown.print("[bold]$ make demo[/bold]\n")
        sys.argv = ["run.py", "--archive", str(archive or Path(scratch, "models"))]
        code = run.main()
    draw(shown)
    return code


if __name__ == "__main__":
    sys.exit(main())
