"""Every error: its exit code, its facts as JSON, and that it survives being told or sent."""

from __future__ import annotations

import inspect
import json
import pickle

import pytest

from timeproof import errors
from timeproof.errors import (
    BadArchive,
    DigestMismatch,
    ManyFindings,
    Missing,
    NewerSchema,
    TimeproofError,
    ToolFailed,
    Unlisted,
)

FAMILIES = {
    errors.BadRequest: 2,
    errors.BadArchive: 3,
    errors.BadEnvironment: 4,
    errors.BadModel: 5,
    errors.EngineFailed: 6,
    errors.StorageFailed: 7,
    errors.RemoteFailed: 7,
}
SAMPLES = {
    "value": "abc",
    "path": "a/b",
    "reference": "host/name:tag",
    "address": "s3://bucket",
    "nature": "a link",
    "excess": "5 bytes",
    "part": "platform",
    "statement": "is odd",
    "why": "no space",
    "expected": 1,
    "actual": 2,
    "version": 9,
    "newest": 1,
    "issues": ["x: wrong"],
    "findings": [Missing("a")],
    "problems": ["numpy is local"],
    "tool": "docker",
    "exit_code": 1,
    "tail": "no such image",
    "message": "it went wrong",
    "error": PermissionError(13, "Permission denied"),
    "needed": 2_000_000,
    "free": 1_000_000,
}


def every_class() -> list[type[TimeproofError]]:
    found, left = [], [TimeproofError]
    while left:
        one = left.pop()
        found.append(one)
        left += one.__subclasses__()
    return [c for c in found if c.__module__.startswith("timeproof.errors.")]


def sample(kind: type[TimeproofError]) -> TimeproofError:
    parameters = list(inspect.signature(kind).parameters.values())
    needed = {p.name: SAMPLES[p.name] for p in parameters if p.default is p.empty}
    return kind(**needed)


EVERY = every_class()


def test_there_are_as_many_errors_as_the_module_documents() -> None:
    documented = set(inspect.getdoc(errors).replace("/", " ").split())  # type: ignore[union-attr]
    assert {kind.__name__ for kind in EVERY} <= documented


@pytest.mark.parametrize("kind", EVERY)
def test_the_exit_code_is_that_of_the_family(kind: type[TimeproofError]) -> None:
    families = [code for family, code in FAMILIES.items() if issubclass(kind, family)]
    assert [kind.exit_code] == (families or [1])
    assert 0 < kind.exit_code < 126  # 126 and above are the shell's


@pytest.mark.parametrize("kind", EVERY)
def test_the_facts_are_json_and_name_the_error(kind: type[TimeproofError]) -> None:
    error = sample(kind)
    facts = json.loads(json.dumps(error.facts(), allow_nan=False))
    assert facts["error"] == kind.__name__ == error.kind
    assert facts["message"] == str(error)
    assert set(facts) >= {"error", "message", "advice"}


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_comes_back_whole_from_another_process(kind: type[TimeproofError]) -> None:
    error = sample(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.facts() == error.facts()
    assert again.exit_code == error.exit_code


def test_a_name_that_is_not_utf8_can_be_told() -> None:
    error = Unlisted("a/\udcff.bin")
    assert str(error).encode("utf-8").startswith(b"a/\\udcff.bin is in the archive")
    assert json.dumps(error.facts(), ensure_ascii=False).encode("utf-8")
    both = ManyFindings("archive", [error, Missing("b\ud800")])
    assert json.dumps(both.facts(), ensure_ascii=False).encode("utf-8")


def test_a_fact_that_is_no_number_is_spelled_in_strict_json() -> None:
    error = TimeproofError("odd")
    error.ratio, error.many = float("nan"), ("a", 1, None)  # type: ignore[attr-defined]
    assert json.loads(json.dumps(error.facts(), allow_nan=False))["ratio"] == "nan"
    assert error.facts()["many"] == ["a", 1, None]


def test_the_keys_of_facts_stay_what_scripts_read() -> None:
    assert NewerSchema("m.json", 99, 1).facts()["found"] == 99
    assert NewerSchema("m.json", 99, 1).facts()["known"] == 1
    assert errors.NotRegular("a", "a folder").facts()["what"] == "a folder"
    assert errors.Limit("a", "6 bytes").facts()["what"] == "6 bytes"
    assert errors.WrongImage("platform", "a", "b").facts()["what"] == "platform"


@pytest.mark.parametrize("kind", [k for k in EVERY if issubclass(k, BadArchive)])
def test_a_finding_can_be_told_of_the_path_that_people_know(kind: type[BadArchive]) -> None:
    error = sample(kind)
    assert "a/b" in error.message
    error.path = "s3://bucket/a/b"
    assert "s3://bucket/a/b" in error.message
    assert "s3://bucket/a/b" in str(error)
    assert error.facts()["path"] == "s3://bucket/a/b"


def test_many_findings_are_all_listed_with_their_kinds() -> None:
    error = ManyFindings("archive", [Missing("a"), DigestMismatch("b", "sha256:0", "sha256:1")])
    assert isinstance(error, BadArchive)
    assert "2 findings" in str(error)
    assert "Missing: a is missing" in str(error)
    assert "DigestMismatch: b has SHA-256 sha256:1, not sha256:0" in str(error)
    assert [f["path"] for f in error.findings] == ["a", "b"]


def test_a_schema_from_the_future_says_that_a_newer_toolkit_is_needed() -> None:
    assert "needs a newer toolkit" in str(NewerSchema("m.json", 99, 1))


def test_malformed_shows_three_issues_and_keeps_them_all() -> None:
    error = errors.Malformed("m.json", ["a", "b", "c", "d", "e"])
    assert str(error) == "m.json is malformed: a; b; c (and 2 more)"
    assert error.issues == ["a", "b", "c", "d", "e"]


def test_the_words_of_a_failed_tool_are_kept_to_the_last_character() -> None:
    assert str(ToolFailed("docker", 1, "no such image:\n")) == (
        "docker ended with exit code 1:\nno such image:\n"
    )
    assert str(ToolFailed("docker", None, "")) == "docker ran out of time"
