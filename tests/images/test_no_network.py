"""A rebuild needs no network: neither its engine nor its client has one, and the image is the same.

The engine is a private one in a network namespace of its own, with nothing in it but a loopback that is down;
so is the client, which reaches the engine by its socket's path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.private_engine import PrivateEngine

from timeproof.images import recipe
from timeproof.images.ingredients import Ingredients
from timeproof.images.probe_files import gather_probe, pack_probe
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment

pytestmark = [pytest.mark.container, pytest.mark.slow]

BAKE = """
import json, sys
from pathlib import Path
from timeproof.images import buildx
contexts, name, output = sys.argv[1:]
interfaces = [line.split(":")[0].strip() for line in open("/proc/self/net/dev") if ":" in line]
baked = buildx.bake(Path(contexts), name, output=output, platform="linux/amd64", no_cache=True)
print(json.dumps({"interfaces": interfaces, "config": baked.config, "manifest": baked.manifest}))
"""


@pytest.fixture
def lonely_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of one's own needs root, and dockerd on this machine")
    # The paths of its sockets must stay below 108 bytes.
    with tempfile.TemporaryDirectory(prefix="tp-", ignore_cleanup_errors=True) as folder:
        engine = PrivateEngine(Path(folder))
        engine.start()
        yield engine
        engine.kill()
        engine.unmount()


def bake(contexts: Path, output: str, *prefix: str, host: str = "") -> dict[str, Any]:
    """Bake in a child process, with every step run anew."""
    words = [*prefix, sys.executable, "-c", BAKE, contexts, "small", output]
    env = {name: value for name, value in os.environ.items() if name not in {"DOCKER_HOST", "DOCKER_CONTEXT"}}
    env |= {"DOCKER_HOST": host} if host else {}
    done = subprocess.run(words, capture_output=True, check=False, env=env)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    return dict(json.loads(done.stdout))


def test_engine_and_client_without_a_network_build_the_same_image(
    sealed: Any, lonely_engine: PrivateEngine, tmp_path: Path
) -> None:
    record = read_environment(sealed.archive, sealed.environment)
    base, part = sorted(
        (p for p in record.packages if p.kind in {"base", "conda-part"}), key=lambda p: p.kind
    )
    wheel = min((p for p in record.packages if p.kind == "wheel"), key=lambda p: p.size)
    recipe.write(tmp_path / "recipe", Ingredients(base, part, (wheel,), pack_probe(gather_probe({}))))
    contexts = tmp_path / "contexts"
    store = PackageStore(sealed.archive.packages)
    recipe.stage(tmp_path / "recipe", [base, part, wheel], store, contexts / "small")

    output = f"type=oci,dest={tmp_path}/%s.tar,compression=zstd,force-compression=true"
    usual = bake(contexts, output % "usual", host=os.environ.get("DOCKER_HOST", ""))
    lonely = bake(contexts, output % "lonely", "unshare", "--net", host=f"unix://{lonely_engine.socket}")
    assert lonely["interfaces"] == ["lo"]
    assert usual["interfaces"] != ["lo"]
    assert (lonely["config"], lonely["manifest"]) == (usual["config"], usual["manifest"])
