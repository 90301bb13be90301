"""Explaining a difference: the further ways that are tried, and what they say."""

from __future__ import annotations

from typing import Any

from support.witness_making import LAST_BIT, NATIVE, publish, replay_one, saying

from timeproof.compare.verdict import Verdict
from timeproof.runs.profiles import profile_named
from timeproof.store.layout import Archive
from timeproof.testing.fake_engine import answer, ended, stream


def test_explaining_tries_the_other_ways_and_says_which_one_restores_it(small: Archive, monkeypatch):
    monkeypatch.setenv("TIMEPROOF_QEMU", "/nowhere/qemu-x86_64")
    ref = publish(small)

    def script(job: dict[str, Any], spec: Any) -> tuple[bytes, Any]:
        return stream(answer(str(ref), NATIVE if "MKL_CBWR" in spec.env else LAST_BIT)), ended()

    found, result, engine = replay_one(small, ref, script, profile=profile_named("native"), tries=True)
    assert found.verdict is Verdict.rounding
    assert found.tried[0].way == "as recorded: portable"
    assert found.tried[0].verdict is Verdict.identical
    assert "native" not in [t.way for t in found.tried], "that is how it was run"
    assert [t.way for t in found.tried if t.verdict is None] == ["emulated: Nehalem"]
    assert "qemu" in found.tried[-1].summary
    assert found.notes[-1] == "identical again: as recorded: portable"
    assert result.to_json()["replayed"][0]["tried"][0]["restores"] is True
    assert not result.passes(), "an explanation is no excuse"
    assert len(engine.specs) == len(found.tried), "one was not tried"


def test_explaining_what_is_identical_runs_nothing_more(small: Archive):
    _, _, engine = replay_one(small, publish(small), saying(NATIVE), tries=True)
    assert len(engine.specs) == 1
