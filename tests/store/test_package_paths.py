"""Where packages lie in an archive, and what a path there promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timeproof.base.digests import Digest
from timeproof.errors import UnsafePath
from timeproof.store.package_paths import check_file_name, digest_in_path, package_path, path_in_archive

DIGESTS = st.binary(max_size=8).map(Digest.of)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._+!-]{0,20}[a-z0-9]", fullmatch=True)


@given(DIGESTS, NAMES)
def test_a_packages_place_promises_its_digest(digest: Digest, name: str) -> None:
    assert path_in_archive(digest, name) == f"packages/{package_path(digest, name)}"
    assert digest_in_path(path_in_archive(digest, name)) == digest


@given(DIGESTS, NAMES, st.sampled_from(["/x", "//", "\\", "\0"]))
def test_no_other_path_promises_one(digest: Digest, name: str, more: str) -> None:
    path = path_in_archive(digest, name)
    assert digest_in_path(path + more) is None
    assert digest_in_path(f"more/{path}") is None
    assert digest_in_path(path.replace(digest.hex, digest.hex.upper() + "x")) is None
    assert digest_in_path(path.removeprefix("packages/")) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-option", "a/b", "/a", "a\\b", "a\0", "CON", "x" * 300]
)
def test_a_name_that_is_no_plain_component_is_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        check_file_name(name)
    with pytest.raises(UnsafePath):
        package_path(Digest.of(b""), name)
