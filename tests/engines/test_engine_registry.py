"""An engine by its name: only those that exist, and only where they work."""

from __future__ import annotations

import pytest

from timeproof.engines.registry import confining_engine, engine_named
from timeproof.errors import BadRequest, EngineMissing


def test_an_engine_that_does_not_exist_is_named(monkeypatch):
    with pytest.raises(BadRequest, match="'rkt'") as caught:
        engine_named("rkt")
    assert "docker, podman, none" in caught.value.advice
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineMissing, match="podman is not installed"):
        engine_named("podman")


def test_programs_of_strangers_are_confined_by_the_sandbox_only_where_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("TIMEPROOF_ENGINE", raising=False)
    with pytest.raises(EngineMissing, match="a recipe is tried, and no container engine answers") as caught:
        confining_engine("a recipe is tried")
    assert "podman is not installed" in caught.value.message
    assert "TIMEPROOF_ENGINE=none" in caught.value.advice
    monkeypatch.setenv("TIMEPROOF_ENGINE", "rkt")
    with pytest.raises(BadRequest):
        confining_engine("a recipe is tried")
