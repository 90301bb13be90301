"""The instants that files carry."""

from __future__ import annotations

import datetime
import re

from timeproof.base import clock


def test_the_three_spellings_of_the_fixed_instant_are_one_instant() -> None:
    instant = datetime.datetime.fromtimestamp(clock.EPOCH, datetime.UTC)
    assert instant.strftime("%Y-%m-%dT%H:%M:%SZ") == clock.EPOCH_INSTANT
    assert tuple(instant.timetuple())[:6] == clock.EPOCH_IN_ZIP


def test_now_is_spelled_in_utc_to_the_second() -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    text = clock.utc_now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert before <= datetime.datetime.fromisoformat(text) <= datetime.datetime.now(datetime.UTC)
