"""The one call of `docker buildx bake`: a staged context in, an image out, without a network."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timeproof.base import proc, strictjson
from timeproof.base.clock import EPOCH
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import BuildFailed, EngineLost, StorageFailed, ToolFailed
from timeproof.images.resources import bake_file

_COMPRESSION = "compression=zstd,force-compression=true"
_ADVICE = "run 'make engine', or install Docker Engine 26 or newer with its buildx plugin"
_STEP = re.compile(r"#\d+ \[([^\]]+)\]")
_HOUR = 3600.0
# BuildKit gives its client five seconds to answer when it exports. A busy machine may miss them, with
# every step built and cached: the second time is short.
_OVERLOADED = "failed to solve: DeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Baked:
    """The digests that BuildKit reports."""

    manifest: str
    config: str


def to_engine(name: str) -> str:
    """The output that puts the image into the engine's own store, under `name`."""
    return f"type=image,name={name},oci-mediatypes=true,unpack=true,{_COMPRESSION}"


def to_layout(folder: Path) -> str:
    """The output that writes an OCI layout into `folder`."""
    return f"type=oci,tar=false,dest={folder},{_COMPRESSION}"


def bake(
    contexts: Path,
    environment: str,
    *,
    output: str,
    platform: str,
    no_cache: bool = False,
    progress: Progress = SILENT,
) -> Baked:
    """Build the image whose context is staged in `contexts/environment`.

    By this toolkit's own bake file: the one in a recipe is for docker alone. An archive may be anyone's,
    and a bake file can ask for networks, secrets and files; a change of ours that would change an image
    is found by its digest.

    Args:
        output: `to_engine(…)` or `to_layout(…)`.
        no_cache: run every step again, as on the first day.

    Raises:
        BuildFailed: a step failed; the error carries its last lines.
        StorageFailed: the engine's disk is full.
        EngineLost: the engine went away in the middle; nothing was recorded.
        ToolMissing: there is no docker command.
    """
    target = f"environment-{environment.replace('.', '_')}"
    with tempfile.TemporaryDirectory(prefix="timeproof-bake-") as scratch:
        metadata = Path(scratch) / "metadata.json"
        words = ["docker", "buildx", "bake", "--builder", "default", "--progress", "plain"]
        words += ["--file", str(bake_file()), "--metadata-file", str(metadata)]
        words += ["--set", f"{target}.output={output}", "--set", f"{target}.tags="]
        words += ["--no-cache"] if no_cache else []
        settings = {
            "CONTEXTS": str(contexts),
            "ENVIRONMENTS": environment,
            "PLATFORM": platform,
            "EPOCH": str(EPOCH),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        _run([*words, target], settings, progress)
        result = strictjson.loads(metadata.read_bytes(), metadata)
    try:
        entry = result[target]
        return Baked(str(entry["containerimage.digest"]), str(entry["containerimage.config.digest"]))
    except (KeyError, TypeError) as error:
        raise BuildFailed(
            f"the builder reports no image digests ({error})",
            advice="switch the engine's containerd image store on; 'timeproof doctor' says how",
        ) from error


def _run(words: Sequence[str], settings: Mapping[str, str], progress: Progress) -> None:
    """Run the builder, a second time where it was only too slow. Raises what `bake` does."""

    def show(line: str) -> None:
        if step := _STEP.match(line):
            progress.detail(step[1].replace("wheel-", "").split(" ")[0])
        elif "exporting" in line or "unpacking" in line:
            progress.detail("writing the image")

    for retry in (True, False):
        try:
            proc.run(words, env=os.environ | settings, timeout=_HOUR, on_line=show, advice=_ADVICE)
            return
        except ToolFailed as error:
            if not (retry and _OVERLOADED in error.tail):
                raise _build_error(error) from error


def _build_error(error: ToolFailed) -> Exception:
    """What a failed build means: a full disk, a lost engine, or a step that failed."""
    text = error.tail
    if "no space left on device" in text.lower():
        return StorageFailed("the engine's image store", "no space left on device")
    lost = (
        "cannot connect to the docker daemon",
        "error reading from server",
        "connection refused",
        "connection reset by peer",
        "dial unix ",
        "transport is closing",
    )
    if any(sign in text.lower() for sign in lost):
        return EngineLost(
            "the engine stopped answering in the middle of a build",
            advice="start it again, then run the same command again; nothing was recorded",
        )
    lines = [line for line in text.splitlines() if line.strip()]
    return BuildFailed("the image build failed:\n" + "\n".join(lines[-12:]))


def builder_versions() -> dict[str, str]:
    """What builds here: buildx's version, for the record."""
    completed = proc.run(["docker", "buildx", "version"], timeout=60.0, advice=_ADVICE)
    words = completed.stdout.decode("utf-8", "replace").split()
    return {"buildx": words[1] if len(words) > 1 else "?"}
