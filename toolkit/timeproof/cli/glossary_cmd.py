"""`timeproof glossary`"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timeproof.cli.console import JsonOption, TerminalProgress, out, print_json, run_command
from timeproof.errors import NotFound

NAME = "glossary"
HELP = "Explain the terms that the commands and the documentation use."
EXAMPLES = """\
timeproof glossary             all terms

timeproof glossary witness     one term
"""

_PACKAGE = Path(__file__).resolve().parent.parent
_FILES = (_PACKAGE / "_docs" / "glossary.md", _PACKAGE.parent.parent / "docs" / "glossary.md")
_ENTRY = re.compile(r"^- \*\*(?P<term>[^*]+)\*\*: (?P<meaning>.+(?:\n  .+)*)", re.MULTILINE)


def command(
    word: Annotated[str | None, typer.Argument(help="A term; by default all of them.")] = None,
    json: JsonOption = False,
) -> None:
    def work(_: TerminalProgress) -> int:
        terms = read_terms()
        if word is not None:
            terms = _entry(terms, word)
        if json:
            print_json({"terms": [{"term": term, "meaning": meaning} for term, meaning in terms.items()]})
        else:
            for term, meaning in terms.items():
                out.print(f"[bold]{escape(term)}[/bold]: {escape(meaning)}")
        return 0

    run_command(json, work)


def read_terms() -> dict[str, str]:
    """Read the meanings of docs/glossary.md by term, in its order. Raises NotFound."""
    for path in _FILES:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            return {e["term"]: " ".join(e["meaning"].split()) for e in _ENTRY.finditer(text)}
    raise NotFound("timeproof's own file docs/glossary.md is missing", advice="install timeproof again")


def _entry(terms: dict[str, str], word: str) -> dict[str, str]:
    for term, meaning in terms.items():
        if term.casefold() == word.casefold():
            return {term: meaning}
    raise NotFound(f"the glossary has no term {word!r}", advice=f"it has: {', '.join(terms)}")
