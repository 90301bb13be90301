"""How an environment may be called, and what its image is called then."""

from __future__ import annotations

import pytest

from timeproof.errors import BadRequest
from timeproof.images.tags import check_name, tag


@pytest.mark.parametrize("name", ["a", "digits", "a-b", "a.b_c-1", "0", "x" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "-a", "a-", "a--b", "a..b", "a/b", "ä", "a\n", "x" * 65, ".a"]
)
def test_every_other_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="can't be an environment's name"):
        check_name(name)


def test_an_image_is_called_by_name_and_lock() -> None:
    assert tag("my-digits-0123456789ab") == "timeproof/my-digits:0123456789ab"
