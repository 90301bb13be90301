"""Which frameworks are registered: the toolkit's own and plugins, without importing any of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from timeproof.errors import BadPlugin, BadRequest
from timeproof.frameworks import registry
from timeproof.frameworks.pytorch import FRAMEWORK
from timeproof.frameworks.spec import FrameworkSpec, load_attribute

TOY = FrameworkSpec(
    name="toy_net", tag="toy", title="Toy", module="toy", distributions=("toy",), adapter="toy.adapter:Toy"
)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """Register what the test puts in, as constants of a module `toy_plugins`, by entry points."""
    constants: dict[str, object] = {}

    def points() -> list[metadata.EntryPoint]:
        return [metadata.EntryPoint(name, f"toy_plugins:{name}", registry.GROUP) for name in constants]

    module = ModuleType("toy_plugins")
    module.__getattr__ = lambda name: constants[name]  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "toy_plugins", module)
    monkeypatch.setattr(registry, "entry_points", points)
    registry.read_registry.cache_clear()
    yield constants
    registry.read_registry.cache_clear()


def names() -> list[str]:
    return [spec.name for spec in registry.specs()]


def own_names() -> list[str]:
    """The names of the toolkit's own frameworks, in their order."""
    own = [load_attribute(r.target) for r in registry.registrations() if r.origin == "timeproof"]
    return [spec.name for spec in sorted(own, key=lambda spec: (spec.rank, spec.name))]


def test_ours_are_registered_in_their_order() -> None:
    ours = own_names()
    assert names()[: len(ours)] == ours
    assert ours[:3] == ["pytorch", "xgboost", "lightgbm"]


def test_a_plugin_stands_beside_ours(plugins: dict[str, object]) -> None:
    plugins["TOY"] = TOY
    assert names() == [*own_names(), "toy_net"]
    assert registry.spec_named("toy_net") is TOY
    assert registry.frameworks_in({"toy": "7"}) == {"toy_net": "7"}


def test_the_toolkit_registers_its_own_as_a_plugin_does() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][registry.GROUP]
    builtin = {r.target for r in registry.registrations() if r.origin == "timeproof"}
    assert sorted(own_names()) == sorted(declared)
    assert set(declared.values()) == builtin


def test_an_entry_point_of_one_that_is_found_by_itself_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("pytorch", "timeproof.frameworks.pytorch:FRAMEWORK", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda: [point])
    targets = [registration.target for registration in registry.registrations()]
    assert sorted(targets) == sorted(set(targets))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (replace(TOY, name="pytorch"), "the name 'pytorch', which PyTorch has"),
        (replace(TOY, tag="xgb"), "the tag 'xgb', which XGBoost has"),
        ("a string", "no FrameworkSpec, but a str"),
        (None, "no FrameworkSpec, but a NoneType"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_and_hinders_no_other(
    plugins: dict[str, object], caplog: pytest.LogCaptureFixture, broken: object, words: str
) -> None:
    plugins.update(BROKEN=broken, TOY=TOY)
    assert names() == [*own_names(), "toy_net"]
    (problem,) = registry.read_registry().problems
    assert "the plugin BROKEN" in problem.message
    assert words in problem.message
    assert words in caplog.text


def test_a_plugin_that_raises_when_it_is_imported_is_named(plugins: dict[str, object]) -> None:
    plugins["ABSENT"] = TOY
    sys.modules["toy_plugins"].__getattr__ = lambda name: 1 / 0  # type: ignore[method-assign]
    assert names() == own_names()
    (problem,) = registry.read_registry().problems
    assert "ZeroDivisionError" in problem.message


def test_what_nobody_registers_names_the_plugin_to_install() -> None:
    with pytest.raises(BadRequest, match="'toy_forest'") as caught:
        registry.require_spec("toy_forest")
    assert "install the plugin of 'toy_forest'" in caught.value.advice
    assert registry.runs_code("toy_forest")
    assert registry.title_of("toy_forest") == registry.module_of("toy_forest") == "toy_forest"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Toy"}, "its name is 'Toy'"),
        ({"name": "../toy"}, "its name"),
        ({"tag": "t_1"}, "its tag is 't_1'"),
        ({"adapter": "toy"}, "module:Class"),
        ({"distributions": ()}, "no distribution"),
        ({"profile": {"A B": "1"}}, "no variable's name"),
    ],
)
def test_a_record_that_no_archive_could_hold_is_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(BadPlugin, match=words):
        replace(TOY, **changed)  # type: ignore[arg-type]


def test_listing_imports_no_framework_and_no_adapter() -> None:
    code = (
        "import sys; from timeproof.frameworks import registry\n"
        "specs = registry.specs()\n"
        "modules = {s.module for s in specs} | {s.adapter.split(':')[0] for s in specs}\n"
        "modules -= {'numpy'}  # which the toolkit itself needs\n"
        "assert len(modules) >= 8, modules\n"
        "assert not modules & set(sys.modules), modules & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_record_of_a_framework_says_what_metadata_keeps() -> None:
    assert FRAMEWORK.described() == {
        "tag": "pt",
        "title": "PyTorch",
        "module": "torch",
        "distributions": list(FRAMEWORK.distributions),
    }


def test_an_environment_runs_a_framework_only_with_all_that_it_needs() -> None:
    assert "sklearn" not in registry.frameworks_in({"scikit-learn": "1.9.1"})
    recorded = {"sklearn": ["scikit-learn"]}
    assert "sklearn" not in registry.frameworks_in({"scikit-learn": "1.9.1"}, recorded)
    both = registry.frameworks_in({"scikit-learn": "1.9.1", "skops": "0.16.0"})
    assert both["sklearn"] == "1.9.1", "and its version is that of the framework"
