"""Profiles: by name, or from a file of one's own; recorded whole, and spelled in every recipe."""

from __future__ import annotations

import pytest

from timeproof.errors import BadRequest
from timeproof.images.named_profiles import BUILT_IN, env_file
from timeproof.runs.profiles import NAMES, profile_for, profile_named

MINE = """\
name = "avx2"
threads = 2

[variables]
ATEN_CPU_CAPABILITY = "avx2"
NPY_DISABLE_CPU_FEATURES = "X86_V4 AVX512_ICL"
"""


def test_a_profile_of_ones_own_is_read_from_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    for spelled in (tmp_path / "mine.toml", str(tmp_path / "mine.toml")):
        mine = profile_named(spelled)
        assert (mine.name, mine.threads) == ("avx2", 2)
        assert mine.variables["NPY_DISABLE_CPU_FEATURES"] == "X86_V4 AVX512_ICL"


def test_what_a_file_leaves_out_is_left_to_the_frameworks(tmp_path):
    (tmp_path / "bare.toml").write_text('name = "bare"\n')
    bare = profile_named(tmp_path / "bare.toml")
    assert (bare.threads, bare.variables) == (None, {})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no name"),
        ("name = 3", "no name"),
        ('name = "a b"', "no name"),
        ('name = "portable"', "belongs to a built-in profile"),
        ('name = "a"\nthreads = 0', "threads"),
        ('name = "a"\nthreads = true', "threads"),
        ('name = "a"\nthreads = "1"', "threads"),
        ('name = "a"\nvariables = 1', "variables"),
        ('name = "a"\n[variables]\nX = 1', "the value of X"),
        ('name = "a"\n[variables]\nX = "a\\nB=c"', "the value of X"),
        ('name = "a"\n[variables]\nLD_PRELOAD = "x"', "LD_PRELOAD"),
        ('name = "a"\n[variables]\nPYTHONPATH = "x"', "PYTHONPATH"),
        ('name = "a"\n[variables]\n"A=B" = "x"', "A=B"),
        ('name = "a"\nthreds = 1', "threds"),
        ("name = ", "can't be read"),
        ("\x00", "can't be read"),
    ],
)
def test_a_file_that_describes_no_profile_is_refused_and_says_why(tmp_path, text, match):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(BadRequest, match=match) as caught:
        profile_named(tmp_path / "bad.toml")
    assert "[variables]" in caught.value.advice


@pytest.mark.parametrize("name", ["", "fast", "Portable", "nowhere.toml", "portable.env"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(BadRequest) as caught:
        profile_named(name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_spells_the_profiles_for_docker(small, name):
    text = next(small.environments.glob(f"*/recipe/profile-{name}.env")).read_bytes()
    assert text == env_file(name)
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == BUILT_IN[name][1] == profile_named(name).variables


def test_the_portable_profile_is_one_thread_and_a_kernel_of_the_oldest_kind():
    portable = profile_named("portable")
    assert portable.threads == 1
    assert portable.variables["MKL_CBWR"] == "COMPATIBLE"
    assert profile_named("native").threads is None


def test_a_framework_adds_what_its_models_need_to_the_portable_profile_alone():
    needs = {"TOY_ROUNDING": "nearest", "OMP_NUM_THREADS": "8"}
    portable = profile_for("portable", needs)
    assert portable.variables == {**profile_named("portable").variables, "TOY_ROUNDING": "nearest"}
    assert profile_for("native", needs) == profile_named("native")
    assert profile_for("portable", {}) == profile_named("portable")


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "PYTHONPATH", "PATH"])
def test_no_framework_chooses_the_code_by_its_needs(variable):
    with pytest.raises(BadRequest, match=variable):
        profile_for("portable", {variable: "/tmp/evil"})
