"""The whole chain on a real engine: sealed once, replayed in every way, refused where bytes differ."""

from __future__ import annotations

import pytest

from timeproof.archive.verify import verify
from timeproof.replay.replaying import replay
from timeproof.replay.verdict import Verdict

pytestmark = pytest.mark.container


def test_every_artifact_replays_identical(sealed, real_engine):
    result = replay(sealed.archive, list(sealed.archive.refs()), real_engine)
    assert [str(r.verdict) for r in result.replayed] == ["identical"] * 4, result.to_json()
    assert result.passes()
    assert result.environments == {sealed.environment: "engine"}
    assert all(r.diff.verdict is Verdict.identical for r in result.replayed)


def test_a_fresh_archive_verifies_without_a_finding(sealed):
    report = verify(sealed.archive)
    assert report.ok, [f.message for f in report.findings]
    assert (report.artifacts, report.environments, report.leftovers) == (4, 1, [])
