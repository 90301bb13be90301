"""conda-lock.yml: laws, refusals, and what the stock conda-lock makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.environments.lock.document import STORE, Lock, Package
from timeproof.environments.lock.reading import check_schema, read_lock
from timeproof.errors import Limit, LockFailed, Malformed, NewerSchema, UnsafePath

# Hypothesis builds its tables of characters on first use, on a machine that may be busy with other tests.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
versions = st.from_regex(r"[0-9][a-z0-9.+!]{0,12}", fullmatch=True)
digests = st.binary(max_size=4).map(Digest.of)
platforms = st.sampled_from(["linux-64", "linux-aarch64", "osx-arm64"])
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
file_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}\.(whl|conda)", fullmatch=True)


@st.composite
def packages(draw: st.DrawFn) -> Package:
    conda = draw(st.booleans())
    return Package.stored(
        name=draw(names),
        version=draw(versions),
        manager="conda" if conda else "pip",
        platform=draw(platforms),
        sha256=draw(digests),
        file_name=draw(file_names),
        dependencies=draw(st.dictionaries(texts, texts, max_size=3)).items(),
        md5="0" * 32 if conda else None,
    )


locks = st.builds(
    lambda rows, channels, custom: Lock.make(rows, channels=channels, custom=custom.items()),
    st.lists(packages(), max_size=5, unique_by=lambda p: p.key),
    st.lists(texts, max_size=2),
    st.dictionaries(texts.filter(lambda k: k != "timeproof-base"), texts, max_size=2),
)


@patient
@given(locks)
def test_a_lock_is_read_back_as_it_was_written(lock: Lock) -> None:
    data = lock.to_bytes()
    again = read_lock(data, "conda-lock.yml")
    assert again == lock
    assert again.to_bytes() == data
    assert again.digest == lock.digest == Digest.of(data)


@patient
@given(st.lists(packages(), max_size=5, unique_by=lambda p: p.key), st.randoms())
def test_the_order_of_packages_does_not_change_a_byte(rows: list[Package], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Lock.make(shuffled).to_bytes() == Lock.make(rows).to_bytes()


@patient
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises((Malformed, Limit, NewerSchema)):
        read_lock(data, "conda-lock.yml")


def example() -> Lock:
    wheel = Digest.of(b"wheel")
    rows = [
        Package.stored(
            name="torch",
            version="2.13.0+cpu",
            manager="pip",
            platform="linux-64",
            sha256=wheel,
            file_name="torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            dependencies=[("numpy", ""), ("sympy", ">=1.13")],
        ),
        Package.stored(
            name="python",
            version="3.11.7",
            manager="conda",
            platform="linux-64",
            sha256=Digest.of(b"python"),
            file_name="python-3.11.7-timeproof_0.conda",
            md5="0" * 32,
        ),
    ]
    return Lock.make(rows)


def test_conda_locks_own_models_accept_it() -> None:
    check_schema(example().with_base(Digest.of(b"base"), "base.tar"))


def test_the_base_is_read_back() -> None:
    lock = example()
    assert lock.base is None
    with_base = lock.with_base(Digest.of(b"base"), "base-bookworm.tar")
    assert read_lock(with_base.to_bytes(), "x").base == (Digest.of(b"base"), "base-bookworm.tar")
    assert with_base.digest != lock.digest


def test_another_probe_makes_another_environment() -> None:
    lock = example()
    assert lock.probe is None
    with_probe = lock.with_probe(Digest.of(b"a probe"))
    assert read_lock(with_probe.to_bytes(), "x").probe == Digest.of(b"a probe")
    assert with_probe.digest not in {lock.digest, lock.with_probe(Digest.of(b"a newer one")).digest}
    check_schema(with_probe)


def test_the_stock_conda_lock_renders_it(tmp_path: Path) -> None:
    path = tmp_path / "conda-lock.yml"
    path.write_bytes(example().to_bytes())
    root = "file:///the/store"
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "conda_lock",
            "render",
            "--kind",
            "explicit",
            "-p",
            "linux-64",
            str(path),
        ],
        cwd=tmp_path,
        env=os.environ | {"TIMEPROOF_STORE": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "conda-linux-64.lock").read_text().splitlines()
    python, torch = (Digest.of(b"python").hex, Digest.of(b"wheel").hex)
    assert f"{root}/sha256/{python[:2]}/{python}/python-3.11.7-timeproof_0.conda#{'0' * 32}" in lines
    wheel = next(line for line in lines if line.startswith("# pip torch @ "))
    assert f"/sha256/{torch[:2]}/{torch}/torch-2.13.0+cpu-cp311" in wheel
    assert wheel.endswith(f"#sha256={torch}")


def altered(old: bytes, new: bytes) -> bytes:
    data = example().to_bytes()
    assert old in data
    return data.replace(old, new)


def test_a_lock_with_md5_only_is_refused() -> None:
    line = f'    sha256: "{Digest.of(b"python").hex}"\n'.encode()
    with pytest.raises(LockFailed, match="no SHA-256 for python"):
        read_lock(altered(line, b""), "x")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"  manager: pip\n", b"  manager: pip\n  manager: conda\n", "stands twice"),
        (b"package:\n", b"package: []\npackage:\n", "stands twice"),
        (b"version: 1\n", b"version: '1'\n", "version is '1'"),
        (b"version: 1\n", b"version: true\n", "version is True"),
        (b'  version: "3.11.7"', b"  version: 3.11", "float, not a string"),
        (b'name: "torch"', b'name: "torch --index-url=evil"', "name is"),
        (b'name: "torch"', b'name: "-r"', "name is"),
        (b'name: "torch"', b"name: !!python/name:os.system", "could not determine"),
        (b'version: "2.13.0+cpu"', rb'version: "2.13\n--pre"', "version is"),
        (b"  optional: false", b"  optional: 0", "not true or false"),
        (b"  optional: false", b"  surprise: 1\n  optional: false", "surprise is unknown"),
        (b'  platform: "linux-64"', b'  platform: "osx-64"', "osx-64, which"),
        (b'  url: "${TIMEPROOF_STORE}/sha256', b'  url: "${TIMEPROOF_STORE}/../sha256', "not a place"),
        (b'name: "torch"', b'name: &a "torch"', "aliases"),
        (b"package:\n", b"package: {}\nx:\n", "not a list"),
    ],
)
def test_doubtful_locks_are_refused_with_the_place(old: bytes, new: bytes, what: str) -> None:
    with pytest.raises(Malformed, match="malformed") as caught:
        read_lock(altered(old, new), "conda-lock.yml")
    assert any(what in issue for issue in caught.value.issues), caught.value.issues


def test_a_package_twice_is_refused() -> None:
    rows = example().packages
    twice = Lock(packages=(*rows, rows[0]), platforms=("linux-64",))
    with pytest.raises(Malformed, match="stands twice"):
        read_lock(twice.to_bytes(), "x")


def test_a_newer_schema_says_so() -> None:
    with pytest.raises(NewerSchema):
        read_lock(altered(b"version: 1\n", b"version: 2\n"), "x")


@pytest.mark.parametrize(
    "name", ["..", "../x.whl", "a/b.whl", "/x.whl", "a\\b.whl", "-r.whl", ".x.whl", "x\0.whl", ""]
)
def test_file_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        Package.stored(
            name="x", version="1", manager="pip", platform="linux-64", sha256=Digest.of(b""), file_name=name
        )


def test_a_foreign_url_with_a_traversing_name_is_refused() -> None:
    url = f'"{example().packages[1].url}"'.encode()
    with pytest.raises(UnsafePath):
        read_lock(altered(url, b'"https://example.invalid/a/..%2Fetc%2Fx.whl"'), "x")


def test_foreign_urls_are_read_with_their_file_name() -> None:
    url = f'"{example().packages[1].url}"'.encode()
    lock = read_lock(altered(url, b'"https://example.invalid/a/torch-2.13.0%2Bcpu-py3-none-any.whl"'), "x")
    assert lock.packages[1].file_name == "torch-2.13.0+cpu-py3-none-any.whl"


def test_a_huge_lock_is_refused_unread() -> None:
    with pytest.raises(Limit):
        read_lock(b"#" * (LIMITS.lock_bytes + 1), "x")


@pytest.mark.parametrize("data", [b"[" * 200_000, b"- " * 50_000, b"? " * 1_000])
def test_deep_nesting_is_refused(data: bytes) -> None:
    with pytest.raises((Limit, Malformed)):
        read_lock(data, "x")


def test_an_alias_bomb_is_refused() -> None:
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 118)
    )
    with pytest.raises(Malformed, match="aliases"):
        read_lock(bomb, "x")


def test_every_url_is_a_placeholder() -> None:
    assert all(p.url.startswith(STORE + "/sha256/") for p in example().packages)


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_of_thousands_of_digits_is_refused(sign: str) -> None:
    text = f"version: {sign}0x{'f' * 5000}\nmetadata: {{}}\npackage: []\n"
    with pytest.raises(Malformed, match="more than 40 digits"):
        read_lock(text.encode(), "conda-lock.yml")


@pytest.mark.parametrize(
    "value",
    [
        "0x" + "f" * 5000, "0b" + "1" * 5000, "1:" * 4000 + "1", "!!int ''", "!!int 0x", "!!bool x",
        "!!timestamp x", "!!float x", "!!binary x", "!!set {a}", "!!omap [a]", "!!python/name:x",
        "2001-99-99",
    ],
    ids=lambda value: value[:16],
)  # fmt: skip
def test_a_value_that_yaml_can_not_read_is_refused(value: str) -> None:
    with pytest.raises(Malformed):
        read_lock(f"version: {value}\nmetadata: {{}}\npackage: []\n".encode(), "conda-lock.yml")
