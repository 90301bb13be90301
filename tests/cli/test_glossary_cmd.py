"""The glossary: what it explains is used, and it is named wherever people look for help."""

from __future__ import annotations

import json
import re

import pytest
from support.paths import REPOSITORY
from typer.testing import CliRunner

from timeproof.cli import glossary_cmd
from timeproof.cli.glossary_cmd import read_terms
from timeproof.cli.main import make_app


def call(*words: str):
    return CliRunner().invoke(make_app(), ["glossary", *words])


TERMS = read_terms()
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_terms_that_people_stumble_over_are_explained():
    expected = {
        "archive", "artifact", "reference", "environment", "lock", "package store", "recipe", "probe", "seal",
        "replay", "regression", "profile", "verdict", "witness", "interchange copy", "batch", "sandbox",
        "output", "base", "engine",
    }  # fmt: skip
    assert expected <= set(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_used_outside_the_glossary(term):
    texts = [path.read_text() for path in DOCUMENTS if path.name != "glossary.md"]
    texts += [path.read_text() for path in (REPOSITORY / "toolkit/timeproof").rglob("*.py")]
    assert any(re.search(rf"\b{re.escape(term)}", text, re.IGNORECASE) for text in texts)


@pytest.mark.parametrize("term", TERMS)
def test_every_meaning_is_one_to_three_whole_sentences(term):
    meaning = TERMS[term]
    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert len(re.findall(r"[.:] [A-Z]", meaning)) <= 2


def test_the_help_and_the_documents_name_the_glossary():
    assert "timeproof glossary" in " ".join(CliRunner().invoke(make_app(), ["--help"]).output.split())
    missing = [
        path.name
        for path in DOCUMENTS
        if path.name != "glossary.md" and "glossary.md" not in path.read_text()
    ]
    assert missing == []


def test_the_command_prints_every_term_or_one():
    lines = call().stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(TERMS)
    assert call("Witness").stdout.startswith("witness: A second reference")
    document = json.loads(call("--json").stdout)
    assert {entry["term"]: entry["meaning"] for entry in document["terms"]} == TERMS
    assert [e["term"] for e in json.loads(call("--json", "seal").stdout)["terms"]] == ["seal"]


def test_an_unknown_term_is_refused_with_the_terms_there_are():
    result = call("wombat")
    assert result.exit_code == 2
    assert "'wombat'" in result.stderr
    assert "witness" in result.stderr


def test_an_installation_without_the_file_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(glossary_cmd, "_FILES", (tmp_path / "glossary.md",))
    result = call()
    assert result.exit_code == 2
    assert "install timeproof again" in result.stderr


def test_the_wheel_contains_the_glossary():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    files = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert files["docs/glossary.md"] == "timeproof/_docs/glossary.md"
