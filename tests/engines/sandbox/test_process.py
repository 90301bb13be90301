"""What an image's config says of its process: read as the specification has it, and nothing else."""

from __future__ import annotations

import pytest

from timeproof.engines.protocol import RunSpec
from timeproof.engines.sandbox.process import Process
from timeproof.errors import Malformed


def test_entry_point_command_and_variables_are_read():
    process = Process.parse({"Entrypoint": ["/a"], "Cmd": ["b"], "Env": ["C=d=e", "F"], "User": 5}, "x")
    assert process == Process(("/a",), ("b",), {"C": "d=e"})


@pytest.mark.parametrize("config", [None, {}, {"Entrypoint": None, "Cmd": [], "Env": None}])
def test_an_image_may_say_nothing(config):
    assert Process.parse(config, "x") == Process((), (), {})


@pytest.mark.parametrize(
    "config",
    [
        [], ["Entrypoint"], 5, "x", {"Entrypoint": 5}, {"Entrypoint": "/a"}, {"Entrypoint": ["/a", 5]},
        {"Entrypoint": {"0": "/a"}}, {"Cmd": [None]}, {"Env": 5}, {"Env": [["A", "b"]]}, {"Env": {"A": "b"}},
        {"Entrypoint": ["/a\0"]}, {"Env": ["A=\ud800"]},
    ],
)  # fmt: skip
def test_what_is_no_list_of_texts_is_named(config):
    with pytest.raises(Malformed):
        Process.parse(config, "x")


def test_every_wrong_field_is_named():
    with pytest.raises(Malformed) as caught:
        Process.parse({"Entrypoint": 5, "Cmd": 6, "Env": 7}, "x")
    assert len(caught.value.issues) == 3


def test_arguments_replace_the_command_and_an_entry_point_replaces_both():
    process = Process(("/a",), ("b",), {})
    assert process.words(RunSpec("i")) == ["/a", "b"]
    assert process.words(RunSpec("i", argv=("c",))) == ["/a", "c"]
    assert process.words(RunSpec("i", entrypoint=("/d",))) == ["/d"]
    assert process.words(RunSpec("i", entrypoint=("/d",), argv=("c",))) == ["/d", "c"]
