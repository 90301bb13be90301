"""`timeproof.mlflow` beside a small stand-in for MLflow: what is archived and logged, and in which order."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import timeproof.mlflow as hooks
from timeproof import api
from timeproof.errors import BadRequest, NotArchivable, SealFailed

X = np.zeros((2, 3), np.float32)


class Forest:
    """A live model; the stand-in for its framework knows it by this class."""


@pytest.fixture
def events() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def mlflow(monkeypatch, events) -> ModuleType:
    """A module with what the hooks ask of MLflow."""

    class Model:
        @classmethod
        def log(cls, artifact_path: Any = None, flavor: Any = None, **named: Any) -> Any:
            events.append(("logged", named))
            return SimpleNamespace(model_id="m-1", model_uuid="u-1", run_id="r-1")

    def log_model(model: Any, **named: Any) -> Any:
        return Model.log(flavor="xgboost", xgb_model=model, **named)

    module, models, flavor = ModuleType("mlflow"), ModuleType("mlflow.models"), ModuleType("mlflow.xgboost")
    run = SimpleNamespace(info=SimpleNamespace(run_id="r-1"))
    vars(module).update(active_run=lambda: run, models=models, xgboost=flavor)
    vars(module).update(set_logged_model_tags=lambda model_id, tags: events.append((model_id, tags)))
    vars(models).update(Model=Model)
    vars(flavor).update(log_model=log_model)
    for name, value in {"mlflow": module, "mlflow.models": models, "mlflow.xgboost": flavor}.items():
        monkeypatch.setitem(sys.modules, name, value)
    spec = SimpleNamespace(name="xgboost", title="XGBoost")
    monkeypatch.setattr("timeproof.frameworks.choose.spec_for", lambda model: spec)
    return module


@pytest.fixture
def archive(monkeypatch, tmp_path, events) -> Path:
    """`timeproof.archive` that archives nothing, and remembers what it was asked."""
    path = tmp_path / "metadata.json"
    path.write_text("{}")

    def archived(model: Any, inputs: Any, **options: Any) -> Any:
        if options.get("environment") == "broken":
            raise SealFailed("it does not replay", advice="see why")
        events.append(("archived", {"model": model, "inputs": inputs, **options}))
        environment = SimpleNamespace(name="e-1", lock_sha256="0" * 64)
        metadata = SimpleNamespace(environment=environment)
        return SimpleNamespace(ref="grid-size-8/xgboost/v1", path=path, metadata=metadata)

    monkeypatch.setattr(api, "archive", archived)
    return path


def test_a_model_is_archived_and_then_logged_with_the_same_inputs(mlflow, archive, events):
    model = Forest()
    done = hooks.log_model(model, X, grid_size=8, name="forest", log_options={"params": {"a": 1}})
    (first, asked), (second, logged), (logged_model, tags) = events
    assert (first, second, logged_model) == ("archived", "logged", "m-1")
    assert asked["model"] is model
    assert asked["tags"] == {"mlflow.run_id": "r-1"}
    assert logged["input_example"] is X
    assert (logged["name"], logged["params"]) == ("forest", {"a": 1})
    assert logged["metadata"]["timeproof"]["artifact"] == "grid-size-8/xgboost/v1"
    assert tags["timeproof.artifact"] == "grid-size-8/xgboost/v1"
    assert len(tags["timeproof.metadata_sha256"]) == 64
    assert done.info.model_id == "m-1"


def test_a_model_that_does_not_seal_is_not_logged(mlflow, archive, events):
    with pytest.raises(SealFailed):
        hooks.log_model(Forest(), X, grid_size=8, environment="broken")
    assert events == []


def test_a_framework_without_a_flavor_is_refused_before_anything_is_archived(
    mlflow, archive, events, monkeypatch
):
    spec = SimpleNamespace(name="toy", title="Toy")
    monkeypatch.setattr("timeproof.frameworks.choose.spec_for", lambda model: spec)
    with pytest.raises(BadRequest, match="no flavor for a model of Toy"):
        hooks.log_model(Forest(), X, grid_size=8)
    assert events == []


def test_without_mlflow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(BadRequest, match="MLflow can't be imported") as caught:
        hooks.autolog(grid_size=8)
    assert "pip install mlflow" in caught.value.advice


def test_what_mlflow_logs_meanwhile_is_archived_and_nothing_afterwards(mlflow, archive, events):
    model = Forest()
    with hooks.autolog(grid_size=8, environment="digits", tags={"team": "a"}) as hook:
        mlflow.xgboost.log_model(model, name="inside", input_example=X)
    mlflow.xgboost.log_model(model, name="outside", input_example=X)
    assert [name for name, _ in events] == ["logged", "archived", "m-1", "logged"]
    asked = events[1][1]
    assert asked["model"] is model
    assert asked["tags"] == {
        "mlflow.run_id": "r-1",
        "mlflow.model_id": "m-1",
        "mlflow.model_uuid": "u-1",
        "team": "a",
    }
    assert (asked["grid_size"], asked["environment"]) == (8, "digits")
    assert (len(hook.archived), hook.failed) == (1, [])


def test_what_can_not_be_archived_is_said_and_training_goes_on(mlflow, archive, caplog):
    with caplog.at_level(logging.WARNING, "timeproof"), hooks.autolog(grid_size=8) as hook:
        mlflow.xgboost.log_model(Forest(), name="unasked")
        mlflow.models.Model.log(name="own", python_model=object(), input_example=X)
    assert [name for name, _ in hook.failed] == ["unasked", "own"]
    assert "without an input example" in hook.failed[0][1]
    assert "of your own code" in hook.failed[1][1]
    assert len(caplog.records) == 2


def test_strict_raises_where_a_model_is_logged_and_not_archived(mlflow, archive, events):
    with hooks.autolog(grid_size=8, strict=True), pytest.raises(NotArchivable, match="input example"):
        mlflow.xgboost.log_model(Forest(), name="unasked")
    assert [name for name, _ in events] == ["logged"]


def test_a_later_call_replaces_the_earlier_one(mlflow, archive, events):
    first = hooks.autolog(grid_size=8)
    second = hooks.autolog(grid_size=9)
    first.stop()  # it is not in force any more: the later one stays
    mlflow.xgboost.log_model(Forest(), name="forest", input_example=X)
    assert [options["grid_size"] for name, options in events if name == "archived"] == [9]
    second.stop()
    mlflow.xgboost.log_model(Forest(), name="forest", input_example=X)
    assert (len(first.archived), len(second.archived)) == (0, 1)


def test_tensors_are_logged_as_arrays(mlflow, archive, events):
    class Tensor:
        def detach(self) -> Tensor:
            return self

        cpu = detach

        def numpy(self) -> Any:
            return X

    hooks.log_model(Forest(), [Tensor()], grid_size=8)
    assert events[1][1]["input_example"] is X
