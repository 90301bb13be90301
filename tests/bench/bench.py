"""How fast timeproof is, as ratios in one run: `make bench`.

Each measure runs the toolkit and what it is held against in turn (A B A B …), and tells the median of the
pairs. It works in a folder of its own below build/, with an image that no one else has, and removes both;
the builder's cache keeps the layers. A first run builds that image, which takes a minute or two more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grid
import many
import report
import scale
import trees
from rich.console import Console
from timing import Case, Measure, alternate, command, peak_memory, repeat, seconds

import timeproof
from timeproof.base.digests import Digest
from timeproof.engines.docker import DockerEngine, connect
from timeproof.engines.protocol import ReadExactly, RunResult, RunSpec
from timeproof.environments.capture.selection import Graph
from timeproof.environments.interpreter.inspection import inspect
from timeproof.frameworks.pytorch import PyTorchOptions
from timeproof.replaying.flow import task_of
from timeproof.runs import image_provider
from timeproof.runs.container_run import run_probe
from timeproof.sealing.flow import Archived
from timeproof.store.layout import FIRST_TAGS, Archive, Ref
from timeproof.store.read import read_environment, read_metadata
from timeproof.store.schema.v1 import EnvironmentRecord, FileEntry, Metadata

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CLI = Path(sys.executable).with_name("timeproof")
# Left out of the bench's environment, so that its image is no one else's: dropping it takes it from nobody.
OWN = "onnxscript"


def beyond_the_demo() -> list[str]:
    """The distributions that are here, and not in an environment made of the demo's requirements."""
    asked = []
    for line in (ROOT / "docs/demo/requirements.txt").read_text().splitlines():
        if name := line.partition("#")[0].strip():
            asked.append(name.split(";")[0].split("=")[0].split(">")[0].strip())
    found = inspect(Path(sys.executable))
    graph = Graph(found.distributions, found.markers)
    wanted = graph.reach([(name, frozenset()) for name in [*asked, "timeproof"]])
    return [*sorted({d.key for d in found.distributions} - wanted), OWN]


class Recorder:
    """An engine that runs nothing: it keeps what it was asked to run, and copies of what is mounted."""

    name = "recorder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec: RunSpec | None = None

    def run(self, spec: RunSpec, consume: Callable[[ReadExactly], None]) -> RunResult:
        kept = []
        for mount in spec.mounts:
            target = self.folder / mount.target.strip("/").replace("/", "-")
            (shutil.copytree if mount.source.is_dir() else shutil.copy)(mount.source, target)
            kept.append(replace(mount, source=target))
        self.spec = replace(spec, mounts=tuple(kept))
        return RunResult(0, False, False, "", 0.0)


class Bench:
    def __init__(self, folder: Path, rounds: int, console: Console) -> None:
        self.folder, self.rounds, self.console = folder, rounds, console
        self.archive = Archive(folder / "archive")
        self.engine: DockerEngine = connect()
        self.without = beyond_the_demo()
        self.measures: list[Measure] = []
        self.record: EnvironmentRecord | None = None

    def tell(self, *measures: Measure) -> None:
        for one in measures:
            self.measures.append(one)
            self.console.print(
                f"[dim]{one.section}: {one.name}:[/dim] {one.spell(one.median)} {report.sides(one)}",
                highlight=False,
                soft_wrap=True,
            )

    def archive_one(self, model: Any, inputs: Any, **more: Any) -> Archived:
        return timeproof.archive(
            model, inputs, grid_size=8, root=self.archive.root, without=self.without, **more
        )

    def cli(self, *words: str | Path) -> list[str | Path]:
        return [CLI, *words, "--archive", self.archive.root]

    # --- what is needed first ------------------------------------------------------------------

    def prepare(self) -> None:
        """Capture and build the environment, and archive one artifact of each framework."""
        models = self.folder / "models"
        models.mkdir()
        os.environ["TIMEPROOF_BENCH_MODELS"] = str(models)
        trees.train(models)
        self.archive_one(*trees.leaves())
        (name,) = self.archive.environment_names()
        self.record = read_environment(self.archive, name)

    # --- the measures ----------------------------------------------------------------------------

    def archiving(self) -> None:
        import net  # torch is imported here, before any clock runs

        made = net.model_and_inputs()
        kinds: list[tuple[str, Any, Any, dict[str, Any], float]] = [
            ("tree model", *trees.model_and_inputs(), {}, 5.0),
            (
                "PyTorch model with its ONNX copy",
                made["model"],
                made["inputs"],
                {"options": PyTorchOptions(init_args=made["init_args"])},
                8.0,
            ),
        ]
        for name, model, inputs, more, target in kinds:

            def once(model: Any = model, inputs: Any = inputs, more: Any = more) -> float:
                return seconds(lambda: self.archive_one(model, inputs, **more))

            self.tell(
                repeat("archive a further", f"{name}, `timeproof.archive`", target, once, rounds=self.rounds)
            )
        words = [w for name in self.without for w in ("--without", name)]
        for name, file, target in (
            ("tree model", "trees.py", 5.0),
            ("PyTorch model with its ONNX copy", "net.py", 8.0),
        ):
            words_of = self.cli("archive", HERE / file, "--grid-size", "8", *words)

            def whole(words: Any = words_of) -> float:
                return seconds(lambda: command(words))

            self.tell(repeat("archive a further", f"{name}, the whole command", target, whole, rounds=3))
        onnx = self.archive.root / "grid-size-8/pytorch/model_pt_v1.onnx"
        self.archive_one(onnx, made["inputs"])

    def plain(
        self, ref: Ref, record: EnvironmentRecord | None = None, archive: Archive | None = None
    ) -> list[str | Path]:
        """`docker run` of the frozen probe with the job that a replay of `ref` would give it."""
        record, archive = record or self.record, archive or self.archive
        assert record is not None
        found = image_provider.locate(self.engine, record.image)
        assert found is not None
        metadata = read_metadata(archive, ref)
        folder = Path(tempfile.mkdtemp(prefix="plain-", dir=self.folder))
        folder.chmod(0o755)  # the container's user reads it
        recorder = Recorder(folder)
        run_probe(recorder, found, [task_of(archive, ref, metadata)], metadata.profile)  # type: ignore[arg-type]
        spec = recorder.spec
        assert spec is not None
        words: list[str | Path] = [
            "docker",
            "run",
            "--rm",
            "--pull",
            "never",
            "--network",
            "none",
            "--read-only",
        ]
        words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65534:65534"]
        words += ["--workdir", "/tmp", "--tmpfs", "/tmp:mode=1777,size=1g", "--ipc", "private"]
        words += ["--log-driver", "none", "--pids-limit", str(spec.pids), "--ulimit", "nofile=4096:4096"]
        words += ["--memory", str(spec.memory), "--memory-swap", str(spec.memory)]
        for key, value in spec.env.items():
            words += ["--env", f"{key}={value}"]
        for mount in spec.mounts:
            source = mount.source.resolve()
            words += ["--mount", f"type=bind,source={source},target={mount.target},readonly"]
        return [*words, spec.image, *spec.argv]

    def replaying(self) -> None:
        engine = {"DOCKER_HOST": self.engine.address}
        for framework, name in (("xgboost", "XGBoost"), ("pytorch", "PyTorch"), ("onnx", "ONNX")):
            ref = Ref(8, framework, 1)
            words, plain = self.cli("replay", str(ref)), self.plain(ref)

            def here(ref: Ref = ref) -> None:
                assert timeproof.replay(str(ref), root=self.archive.root).passes()

            cases = [
                Case(f"{name}, the whole command", "replay", lambda words=words: command(words), 1.25),
                Case(f"{name}, `timeproof.replay` in a running process", "replay", here, None),
            ]
            theirs = ("docker run", lambda plain=plain: command(plain, engine))
            self.tell(*alternate("warm replay against plain `docker run`", cases, theirs, rounds=self.rounds))

    def twenty(self) -> None:
        trees_only = self.clone("twenty-trees", [(Ref(8, "xgboost", 1), 20)])
        mixed = self.clone("twenty-mixed", [(Ref(8, f, 1), 5) for f in FIRST_TAGS])
        for name, root, one in (
            ("20 XGBoost against one of them", trees_only, "xgboost"),
            ("5 of each framework against one PyTorch", mixed, "pytorch"),
        ):
            several = [CLI, "replay", "--all", "--archive", root]
            single = [CLI, "replay", f"grid-size-8/{one}/v1", "--archive", root]
            cases = [Case(name, "20", lambda several=several: command(several), 2.0)]
            theirs = ("one", lambda single=single: command(single))
            self.tell(*alternate("20 artifacts against one", cases, theirs, rounds=self.rounds))

    def clone(
        self,
        name: str,
        wanted: Iterable[tuple[Ref, int]],
        parts: Iterable[str] = ("environments", "images", "packages"),
    ) -> Path:
        """Another archive with the same environment (by hard links) and copies of some artifacts."""
        root = self.folder / name
        for part in parts:
            shutil.copytree(self.archive.root / part, root / part, copy_function=os.link)
        for ref, count in wanted:
            source, target = self.archive.root / ref.folder, root / ref.folder
            target.mkdir(parents=True)
            metadata = read_metadata(self.archive, ref)
            for version in range(1, count + 1):
                new = Ref(ref.grid_size, ref.framework, version)
                text = metadata.model_dump_json(by_alias=True).replace(ref.tag, new.tag)
                copied = Metadata.model_validate_json(text).model_copy(update={"version": version})
                for file in metadata.files:
                    to = target / file.path.replace(ref.tag, new.tag)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    os.link(source / file.path, to)
                (root / new.metadata).write_bytes(copied.to_bytes())
        return root

    def verifying(self) -> None:
        files = self.folder / "files"
        listed = [
            p for p in sorted(self.archive.root.rglob("*")) if p.is_file() and not p.name.endswith(".lock")
        ]
        files.write_bytes(b"".join(os.fsencode(p) + b"\0" for p in listed))
        total = sum(p.stat().st_size for p in listed)
        ours = self.cli("verify")
        section = f"`verify` of {total / 1e6:.0f} MB"
        for name, more, target in (
            ("`sha256sum`", [], 0.7),
            ("`xargs -P 2 sha256sum`", ["-P", "2", "-n", "8"], None),
        ):
            plain = ["xargs", "-0", *more, "-a", files, "sha256sum"]
            cases = [Case(f"against {name}", "verify", lambda: command(ours), target)]
            theirs = ("sha256sum", lambda plain=plain: command(plain))
            self.tell(*alternate(section, cases, theirs, rounds=self.rounds))

    def memory(self) -> None:
        """Peak memory of `verify` where one file has 64 MB, and where it has 1 GB (sparse, of zeros)."""
        peaks = {}
        for size in (64 * 10**6, 10**9):
            ref = Ref(8, "lightgbm", 1)
            root = self.clone(f"one-file-{size}", [(ref, 1)], parts=["environments"])
            metadata = read_metadata(Archive(root), ref)
            large = root / ref.folder / f"model_{ref.tag}.json"
            with large.open("wb") as stream:
                stream.truncate(size)
            with large.open("rb", buffering=0) as stream:
                digest, _ = Digest.of_stream(stream)
            entry = FileEntry(path=large.name, role="optional", format="zeros", size=size, sha256=digest.hex)
            more = metadata.model_copy(update={"files": [*metadata.files, entry]})
            (root / ref.metadata).write_bytes(more.to_bytes())
            words = [CLI, "verify", str(ref), "--archive", root]
            peaks[size] = statistics.median(peak_memory(words) for _ in range(3))
        small, large_peak = peaks.values()
        big, little = large_peak / 2**20, small / 2**20
        note = f"peak memory, a file of 1 GB ({big:.0f} MiB) against 64 MB ({little:.0f} MiB)"
        self.tell(Measure("`verify`", note, "×", [large_peak / small], 1.2))

    def rebuilding(self) -> None:
        assert self.record is not None
        words = self.cli("build", self.record.folder)
        for name, dropped in (("the image dropped first", True), ("the image in place", False)):

            def once(dropped: bool = dropped) -> float:
                if dropped:
                    image_provider.drop(self.engine, self.record)  # type: ignore[arg-type]  # it is there by now
                return seconds(lambda: command(words))

            self.tell(repeat("cached rebuild of an environment", name, 8.0, once, rounds=self.rounds))

    def pages(self) -> None:
        """The HTML report in a browser; the tests' own venv holds what drives one."""
        python = ROOT / ".venv-dev/bin/python"
        if not python.exists() or not (shutil.which("chromium") or shutil.which("google-chrome")):
            self.console.print("[dim]no Chromium, or no .venv-dev: the HTML report is not measured[/dim]")
            return
        words = [python, HERE / "pages.py", "--rounds", str(self.rounds)]
        done = subprocess.run(words, capture_output=True, check=True)
        for cells, took in json.loads(done.stdout).items():
            section = f"report.html of {int(cells):,} cells, in Chromium"
            for step, name, target in (
                ("open", "opened and drawn", 1.0 if int(cells) < 10_000 else 2.0),
                ("filter", "filtered by a verdict", 0.1),
                ("search", "searched; 60 ms of it wait for the next key", 0.2),
                ("cell", "a cell opened", 0.1),
            ):
                self.tell(Measure(section, name, "ms", took[step], target))

    def many(self) -> None:
        self.tell(*many.marginal(self))
        self.tell(*many.corpus(self))

    def grid(self) -> None:
        self.tell(*grid.measures(self))

    def scale(self) -> None:
        self.tell(*scale.measures(self))

    def close(self) -> None:
        for name in self.archive.environment_names():
            image_provider.drop(self.engine, read_environment(self.archive, name))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder below build/ that goes in the end, and a cache of our own: no note stays behind."""
    (ROOT / "build").mkdir(exist_ok=True)
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False
    )
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build", ignore_cleanup_errors=True) as name:
        if asked.returncode == 0:
            os.environ.setdefault("PIP_CACHE_DIR", asked.stdout.strip())
        os.environ["XDG_CACHE_HOME"] = str(Path(name, "cache"))
        yield Path(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each measure (5)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        help="archiving, replaying, twenty, many, grid, scale, verifying, memory, rebuilding, pages",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the README's table")
    parser.add_argument("--write-readme", action="store_true", help="put that table into the README")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    warnings.filterwarnings("ignore")
    told = Console(stderr=True)
    where = report.machine()
    whole = 0.0
    with scratch() as folder:
        bench = Bench(folder, asked.rounds, told)
        where["engine"] = " ".join(
            [
                "Docker Engine" if bench.engine.version()["engine"] == "docker" else "podman",
                bench.engine.version()["version"],
            ]
        )
        try:
            told.print("[dim]capturing and building the environment[/dim]")
            whole += seconds(bench.prepare)
            for measure in (
                bench.archiving,
                bench.replaying,
                bench.twenty,
                bench.many,
                bench.grid,
                bench.scale,
                bench.verifying,
                bench.memory,
                bench.rebuilding,
                bench.pages,
            ):
                if not asked.only or measure.__name__ in asked.only or measure == bench.archiving:
                    whole += seconds(measure)
        finally:
            bench.close()
    found = {"machine": where, "seconds": round(whole, 1), "measures": [m.to_json() for m in bench.measures]}
    (ROOT / "build/bench.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    text = report.markdown(bench.measures, where)
    if asked.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif asked.markdown:
        print(text)
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 160), bench.measures)
        missed = [m for m in bench.measures if m.met is False]
        met = len(bench.measures) - len(missed)
        print(f"{met} of {len(bench.measures)} as wanted; {whole:.0f} s; all of it in build/bench.json")
    if asked.write_readme:
        report.write_readme(ROOT / "README.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
