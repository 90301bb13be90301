"""pytest within pytest, over a small archive and an engine without containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.archive_making import Y

from timeproof.engines import docker
from timeproof.engines.protocol import ImageFacts
from timeproof.store.layout import Archive
from timeproof.testing.archives import IMAGE
from timeproof.testing.fake_engine import FakeEngine, answering

HELD = ImageFacts(IMAGE.manifest, tuple(IMAGE.diff_ids), IMAGE.platform)
A, B = "grid-size-8/xgboost/v1", "grid-size-12/pytorch/v1"


@pytest.fixture
def run(
    pytester: pytest.Pytester, small: Archive, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[pytest.RunResult, FakeEngine]]:
    """Run pytest over the small archive, with an engine that answers as `script` says."""

    def run(*words: str, script: Any = None) -> tuple[pytest.RunResult, FakeEngine]:
        fake = FakeEngine(script or answering({A: Y, B: Y}), [HELD])
        monkeypatch.setattr(docker, "connect", lambda: fake)
        for name in ("TIMEPROOF_ENGINE", "TIMEPROOF_REGISTRY"):
            monkeypatch.delenv(name, raising=False)
        result = pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "--timeproof-archive", str(small.root), *words
        )
        return result, fake

    return run
