"""Reading the job file, which says what the host wants. What it does not know exactly, it refuses."""

import json
from typing import Any, Dict, List

from timeproof_probe import loaders, wire

JOB_LIMIT = 256 * 2**20  # bytes


class BadJob(Exception):
    """The job file is not one."""


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise BadJob(problem)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= wire.PAYLOAD_LIMIT


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e6


def _task(task: Any, where: str) -> None:
    _need(isinstance(task, dict), where + " is not an object")
    _need(loaders.is_name(task.get("framework")), where + ".framework is no framework's name")
    _need(isinstance(task.get("model"), str), where + ".model is not a path")
    _need(isinstance(task.get("options"), dict), where + ".options is not an object")
    witness = task.setdefault("witness", None)
    _need(witness is None or witness in wire.WITNESSES, where + ".witness is not known")
    framework = task["framework"]  # without a loader the artifact alone is refused, later
    offered = witness is None or not loaders.exists(framework) or loaders.offers(framework, witness)
    _need(offered, where + ".witness is not one of its framework")


def _artifact(artifact: Any, where: str) -> None:
    _task(artifact, where)
    for key in ("id", "directory"):
        _need(isinstance(artifact.get(key), str), "{}.{} is not a string".format(where, key))
    _need(isinstance(artifact.get("files"), list), where + ".files is not a list")
    for entry in artifact["files"]:
        _need(isinstance(entry, dict), where + ".files holds something else than objects")
        _need(isinstance(entry.get("path"), str), where + ".files: path is not a string")
        _need(_is_size(entry.get("size")), where + ".files: size is not a size")
        _need(isinstance(entry.get("sha256"), str), where + ".files: sha256 is not a string")
    inputs = artifact.get("inputs")
    _need(
        isinstance(inputs, dict) and isinstance(inputs.get("file"), str), where + ".inputs.file is not a path"
    )
    names = inputs.get("names")
    _need(
        isinstance(names, list) and all(isinstance(n, str) for n in names), where + ".inputs.names is no list"
    )
    recorded = artifact.setdefault("recorded", None)
    _need(
        recorded is None
        or (isinstance(recorded, dict) and all(isinstance(s, str) for s in recorded.values())),
        where + ".recorded holds something else than digests",
    )
    artifact.setdefault("copies", [])
    _need(isinstance(artifact["copies"], list), where + ".copies is not a list")
    for k, copy in enumerate(artifact["copies"]):
        _task(copy, "{}.copies[{}]".format(where, k))
        _need(isinstance(copy.get("name"), str), "{}.copies[{}].name is not a string".format(where, k))
        if "timeout" in copy:
            _need(_is_time(copy["timeout"]), "{}.copies[{}].timeout is not seconds".format(where, k))
    _need(_is_time(artifact.get("timeout")), where + ".timeout is not seconds")
    _need(_is_size(artifact.get("output_bytes")), where + ".output_bytes is not a size")


def read(path: str) -> Dict[str, Any]:
    """Read and check the job file. Raises BadJob and OSError."""
    with open(path, "rb") as stream:
        data = stream.read(JOB_LIMIT + 1)
    _need(len(data) <= JOB_LIMIT, "it has more than {} bytes".format(JOB_LIMIT))
    try:
        job = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadJob("it is not JSON: {}".format(error))
    return check(job)


def check(value: Any) -> Dict[str, Any]:
    """Return the job, its defaults filled in. Raises BadJob."""
    _need(isinstance(value, dict), "it is not an object")
    job = dict(value)
    contract = job.get("contract")
    _need(
        contract == wire.CONTRACT, "it has contract {!r}; this probe keeps {}".format(contract, wire.CONTRACT)
    )
    threads = job.setdefault("threads", None)
    _need(threads is None or (type(threads) is int and 0 < threads < 4096), "threads is no number of threads")
    _need(job.setdefault("seconds", None) is None or _is_time(job["seconds"]), "seconds is no time")
    _need(isinstance(job.get("artifacts"), list), "artifacts is not a list")
    ids: List[str] = []
    for k, artifact in enumerate(job["artifacts"]):
        _artifact(artifact, "artifacts[{}]".format(k))
        ids.append(artifact["id"])
    _need(len(set(ids)) == len(ids), "two artifacts have one id")
    return job
