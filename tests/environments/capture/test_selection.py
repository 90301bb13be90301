"""Which distributions belong to a model's environment."""

from __future__ import annotations

from pathlib import Path

from timeproof.environments.capture.selection import select
from timeproof.environments.interpreter.inspection import Distribution


def dist(name: str, *requires: str, requested: bool = False, extras: tuple[str, ...] = ()) -> Distribution:
    return Distribution(
        name=name, version="1", folder=Path("/s"), metadata=f"{name}-1.dist-info", installer="pip",
        record=True, requested=requested, direct_url=None, tags=(), requires=requires, extras=extras,
    )  # fmt: skip


MARKERS = {"python_version": "3.11", "sys_platform": "linux"}


def kept(*dists: Distribution, without: tuple[str, ...] = ()) -> list[str]:
    return [d.key for d in select(dists, MARKERS, without=without).selected]


def test_only_what_the_toolkit_alone_requires_is_left_out() -> None:
    toolkit = dist("timeproof", "numpy", "rich", "torch ; extra == 'models'", requested=True)
    rich, numpy, torch = dist("rich", "pygments"), dist("numpy"), dist("torch", "numpy")
    assert kept(toolkit, rich, dist("pygments"), numpy, torch) == ["numpy", "torch"]
    assert kept(toolkit, rich, dist("pygments"), numpy) == []


def test_what_was_asked_for_by_name_belongs_even_if_the_toolkit_requires_it() -> None:
    toolkit = dist("timeproof", "numpy", "rich")
    assert kept(toolkit, dist("numpy", requested=True), dist("rich")) == ["numpy"]


def test_an_installer_belongs_where_something_captured_requires_it() -> None:
    assert kept(dist("torch", "setuptools"), dist("setuptools"), dist("pip", requested=True)) == [
        "setuptools",
        "torch",
    ]


def test_markers_are_those_of_the_interpreter() -> None:
    toolkit = dist("timeproof", "rich")
    model = dist("model", "rich ; sys_platform == 'win32'")
    assert kept(toolkit, dist("rich"), model) == ["model"]


def test_an_extra_counts_where_all_that_it_names_is_installed() -> None:
    toolkit = dist("timeproof", "rich", "tqdm")
    rows = ("rich ; extra == 'pretty'", "tqdm ; extra == 'slow'", "absent ; extra == 'slow'")
    model = dist("model", *rows, extras=("pretty", "slow"))
    assert kept(toolkit, dist("rich"), dist("tqdm"), model) == ["model", "rich"]


def test_an_extra_that_names_itself_ends() -> None:
    model = dist("model", "model[all] ; extra == 'all'", "rich ; extra == 'all'", extras=("all",))
    assert kept(model, dist("rich")) == ["model", "rich"]
