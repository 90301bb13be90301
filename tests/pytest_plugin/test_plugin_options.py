"""The plugin's options: those of `timeproof replay`, and nothing wrong is taken."""

from __future__ import annotations

from typing import Any

import pytest
from support.archive_making import Y

from timeproof.replaying import flow
from timeproof.testing.fake_engine import answering

pytest_plugins = "pytester"

A, B = "grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"


def test_its_options_are_those_of_replay_and_reach_it(run, small, monkeypatch) -> None:
    """Every option of the command but those that choose artifacts and the form of the output."""
    from typer.main import get_command

    from timeproof.cli.main import make_app
    from timeproof.pytest_plugin.options import _REPLAY_OPTIONS

    app: Any = get_command(make_app(["replay"]))
    command = app.commands["replay"] if hasattr(app, "commands") else app
    options = {name for param in command.params for name in param.opts if name.startswith("--")}
    assert {f"--{name}" for name in _REPLAY_OPTIONS} == options - {"--all", "--archive", "--json", "--report"}

    calls: list[dict[str, Any]] = []
    real = flow.replay
    monkeypatch.setattr(flow, "replay", lambda *words, **named: calls.append(named) or real(*words, **named))
    words = ["--timeproof-image", "ready", "--timeproof-registry", "r.example/models", "--timeproof-no-cache"]
    words += ["--timeproof-profile", "native", "--timeproof-timeout", "7.5", "--timeproof-memory", "128"]
    result, fake = run(*words, "--timeproof-explain", script=answering({A: Y, B: {"y": Y["y"] * 2}}))
    (call,) = calls
    assert (call["image"], call["registry"], call["no_cache"]) == ("ready", "r.example/models", True)
    assert (call["profile"].name, call["tries"]) == ("native", True)
    limits = call["limits"]
    assert (limits.artifact_seconds, limits.container_memory) == (7.5, 128 * 2**20)
    assert fake.specs[0].env == {}, "the native profile sets nothing"
    result.stdout.fnmatch_lines(
        [
            f"{B}: broken (identical is allowed): *",
            "  tried as recorded: portable: broken: *",
            f"reproduce: timeproof replay {B} --archive {small.root} --image ready"
            " --registry r.example/models --no-cache --profile native --timeout 7.5 --memory 128 --explain",
        ]
    )


def test_the_engine_is_chosen_by_option_or_by_the_environment(run, pytester, small, monkeypatch) -> None:
    from timeproof.engines import registry

    names: list[str | None] = []
    real = registry.engine_named
    monkeypatch.setattr(registry, "engine_named", lambda name: names.append(name) or real("docker"))
    run("--timeproof-engine", "podman")
    run()
    monkeypatch.setenv("TIMEPROOF_ENGINE", "none")
    result = pytester.runpytest_inprocess("--timeproof-archive", str(small.root))
    result.assert_outcomes(passed=2)
    assert names == ["podman", None, "none"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timeproof-archive", "nowhere"], "there is no archive at *nowhere*"),
        (
            ["--timeproof-archive", "{root}", "--timeproof-allow", "refused"],
            "*can't be allowed; take one of*",
        ),
        (["--timeproof-archive", "{root}", "--timeproof-artifact", "z*"], "*holds no artifacts like z?"),
        (["--timeproof-archive", "{root}", "--timeproof-engine", "lxc"], "*lxc: it is none of docker, *"),
        (["--timeproof-archive", "{root}", "--timeproof-image", "magic"], "*magic: it is none of auto, *"),
        (["--timeproof-archive", "{root}", "--timeproof-profile", "fast"], "*there is no profile 'fast'*"),
        (["--timeproof-archive", "{root}", "--timeproof-timeout", "0"], "*0.0: it must be 0.1 or more"),
        (["--timeproof-archive", "{root}", "--timeproof-memory", "1"], "*1: it must be 64 or more"),
    ],
)
def test_a_wrong_request_is_a_usage_error(pytester, small, words: list[str], said: str) -> None:
    result = pytester.runpytest_inprocess(*(w.format(root=small.root) for w in words))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{said}"])
