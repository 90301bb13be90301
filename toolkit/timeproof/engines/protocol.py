"""What the toolkit asks of a container engine: the values, and the protocol. No IO here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from timeproof.base.limits import LIMITS

USER = 65534  # user and group inside, which owns nothing
OPEN_FILES = 4096
NOT_STARTED = 126  # the exit code where the image's program can't be started
NOT_STARTED_CODES = frozenset({NOT_STARTED, 127})  # 127: there is no such program
# Named, so that no engine falls back on a default that its host refuses. No POSIX message queue can be made:
# it would outlive its maker, and /dev/mqueue would hold it.
ULIMITS = {"nofile": OPEN_FILES, "msgqueue": 0}
TMP_BYTES = 2**30  # of /tmp; beside it, only /dev/shm can be written

Network = Literal["none", "bridge", "host"]
"""What a container reaches: nothing; what lies beyond this machine; or all that this machine reaches."""

ReadExactly = Callable[[int], bytes]
"""Gives exactly that many bytes of the container's stdout; raises EOFError where it ends before."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One host folder or file, always read-only inside."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One locked-down container: no capabilities, read-only root, user 65534, and unless it says otherwise
    no network."""

    image: str  # an id that the engine holds already: nothing is ever pulled
    argv: tuple[str, ...] = ()  # after the image's entry point
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    memory: int = LIMITS.container_memory  # bytes; swap is not added
    pids: int = LIMITS.container_pids
    timeout: float = LIMITS.container_seconds  # seconds, then it is killed by its id
    entrypoint: tuple[str, ...] | None = None
    tmp_bytes: int = TMP_BYTES  # of /tmp; they count as memory, too
    tmp_programs: bool = False  # whether programs that lie in /tmp can be run
    network: Network = "none"

    @property
    def tmp_options(self) -> str:
        """How /tmp is mounted, in the words that Docker and podman share."""
        # Said either way: podman lets programs run there by default, Docker doesn't.
        return f"mode=1777,size={self.tmp_bytes},{'exec' if self.tmp_programs else 'noexec'}"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a container ended. `exit_code` may be 0 although `oom_killed` is true: read both."""

    exit_code: int | None
    oom_killed: bool
    timed_out: bool
    log: str  # the tail of its stderr
    seconds: float


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image that the engine holds."""

    id: str  # `sha256:…`, what `RunSpec.image` takes
    diff_ids: tuple[str, ...]
    platform: str


class Engine(Protocol):
    """A container engine.

    Every method raises EngineLost where the engine stops answering.
    """

    name: str

    @property
    def builds(self) -> bool:
        """Whether what BuildKit builds is then in this engine."""

    def caveats(self) -> tuple[str, ...]:
        """In which respects it confines less than the others, for people; empty where it doesn't."""

    def version(self) -> dict[str, str]:
        """`engine`, `version`, and `arch`: the architecture that it runs without emulation."""

    def inspect(self, image: str) -> ImageFacts | None:
        """What it knows of the image with that id, digest or name; None where it has none."""

    def load(self, archive: Iterable[bytes]) -> None:
        """Take in an OCI archive.

        Raises BadArchive where it is not an image that can be unpacked: the image's fault, not the engine's.
        """

    def drop(self, image: str) -> None:
        """Forget an image, with all its names. No error where it isn't there."""

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        """Run a container to its end, giving its stdout to `consume`; then it is gone.

        An image whose program can't be started gives a result with an exit code of 126 or 127. Where
        `consume` raises, the container is killed and removed, and the exception goes on.
        """

    def reap(self) -> int:
        """Remove the containers whose owner is gone (`engines.ownership_labels`). Returns how many.

        Each engine's first `run` does so too.
        """
