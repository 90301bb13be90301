"""The CI files that people copy: they parse, and each command in them is one that the command line knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from timeproof.cli.main import make_app

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "ci").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def scripts(value: Any) -> Iterator[str]:
    """Every line that a runner would execute: `run`, `script` and `before_script`, wherever."""
    if isinstance(value, list):
        for one in value:
            yield from scripts(one)
    if isinstance(value, dict):
        for key, one in value.items():
            if key in {"run", "script", "before_script"}:
                yield from "\n".join([one] if isinstance(one, str) else one).splitlines()
            else:
                yield from scripts(one)


def commands(path: Path) -> list[list[str]]:
    found = []
    for line in scripts(read(path)):
        words = shlex.split(line, comments=True)
        if words and words[0] in {"timeproof", "pytest"}:
            found.append(words)
    return found


def accept(words: list[str]) -> None:
    """Parse a command as the command line does, and do nothing. Raises its UsageError."""
    group: Any = typer.main.get_command(make_app())  # click's, or the copy of click in a newer typer
    context = group.context_class(group, info_name="timeproof")
    name, command, rest = group.resolve_command(context, words)
    command.make_context(name, rest, parent=context).close()


def test_there_is_a_file_for_each_of_the_two() -> None:
    assert [f.name for f in FILES] == ["github.yml", "gitlab.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_timeproof_command_is_accepted(path: Path) -> None:
    ours = [words[1:] for words in commands(path) if words[0] == "timeproof"]
    assert {words[0] for words in ours} >= {"verify", "regress", "doctor"}
    for words in ours:
        accept(words)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_pytest_option_is_the_plugins_or_pytests(path: Path, pytestconfig: pytest.Config) -> None:
    for words in (w for w in commands(path) if w[0] == "pytest"):
        known = pytestconfig._parser.parse_known_and_unknown_args(words[1:])
        assert known[1] == []


def test_a_wrong_command_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --no-such-option"):
        accept(["replay", "--all", "--no-such-option"])
    with pytest.raises(Exception, match="No such command 'regres'"):
        accept(["regres"])


def test_github_s_steps_each_run_or_use_something() -> None:
    (job,) = read(DOCS / "ci/github.yml")["jobs"].values()
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
    kept = job["steps"][-1]
    assert kept["if"] == "always()"  # a run that failed is the one whose report is wanted


def test_gitlab_reads_the_junit_files_that_its_jobs_write() -> None:
    told = read(DOCS / "ci/gitlab.yml")
    jobs = {name: job for name, job in told.items() if isinstance(job, dict) and "script" in job}
    assert set(jobs) == {"models-replay", "models-regress"}
    for job in jobs.values():
        assert job["extends"] in told
        assert job["artifacts"]["when"] == "always"
        folder = re.search(r"--out (\S+)", "\n".join(job["script"]))
        junit = job["artifacts"]["reports"]["junit"]
        assert junit == f"{folder[1]}/junit.xml" if folder else f"--junitxml {junit}" in job["script"][-1]
