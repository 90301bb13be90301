"""One artifact, in a process of its own: check the files, load the model, run it, end.

It writes frames to a pipe: the outputs, and an `end`. If it dies before, there is no `end`, and the
supervisor says why. An `end` may announce one more frame (`more`), which adds facts and changes nothing.
"""

import faulthandler
import hashlib
import os
import resource
import sys
import traceback
from typing import Any, Dict, List, Tuple

from timeproof_probe import file_checks, loaders, round_trip, wire

OUTPUTS_LIMIT = 4096  # outputs of one artifact

# What the frameworks say where the C++ side could not allocate.
_NO_MEMORY = (
    "bad_alloc",
    "can't allocate memory",
    "not enough memory",
    "Failed to allocate memory",
    "Cannot allocate memory",
    "Unable to allocate",
)


def lacks_memory(text: str) -> bool:
    return any(words in text for words in _NO_MEMORY)


def versions(modules: Tuple[str, ...]) -> Dict[str, str]:
    """Give the versions of those of `modules` that are loaded."""
    numbers = {}
    for name in modules:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            numbers[name] = wire.plain(version, 100)
    return numbers


def warm() -> None:
    """Read an .npz once, so that NumPy imports what it needs for that: half of a small artifact's time."""
    import io

    import numpy

    stream = io.BytesIO()
    numpy.savez(stream, input_0=numpy.zeros(1))
    stream.seek(0)
    with numpy.load(stream, allow_pickle=False) as store:
        numpy.array(store["input_0"])


def read_inputs(path: str, names: List[str]) -> List[Tuple[str, Any]]:
    """Read `input_0`, `input_1`, … of an .npz (or the one array of an .npy), in the order of `names`."""
    import numpy

    if path.endswith(".npy"):
        if len(names) != 1:
            raise file_checks.Refused("an .npy file holds one input, not {}".format(len(names)))
        return [(names[0], numpy.load(path, allow_pickle=False))]
    arrays = []
    with numpy.load(path, allow_pickle=False) as store:
        for k, name in enumerate(names):
            key = "input_{}".format(k)
            if key not in store.files:
                raise file_checks.Refused("{} holds no {}".format(os.path.basename(path), key))
            arrays.append((name, numpy.array(store[key], order="C", copy=True)))
    return arrays


def _descr(dtype: Any) -> Any:
    """Spell a dtype as .npy headers do; JSON turns the tuples into lists."""
    import numpy

    return numpy.lib.format.dtype_to_descr(dtype) if dtype.names is not None else dtype.str


def _plan(outputs: List[Tuple[str, Any, str]]) -> List[Tuple[Dict[str, Any], Any]]:
    import numpy

    if len(outputs) > OUTPUTS_LIMIT:
        raise file_checks.Refused("{} outputs, at most {}".format(len(outputs), OUTPUTS_LIMIT))
    planned = []
    for index, (name, value, made_from) in enumerate(outputs):
        array = numpy.asarray(value)
        if array.dtype.hasobject:
            raise file_checks.Refused(
                "the output {!r} holds Python objects, which have no bytes to compare".format(name)
            )
        if not array.flags.c_contiguous:
            array = numpy.array(array, order="C", copy=True)
        header = {
            "kind": "output",
            "name": wire.plain(name, 200),
            "index": index,
            "dtype": _descr(array.dtype),
            "shape": list(array.shape),
        }
        if made_from:
            header["from"] = made_from
        planned.append((header, array))
    return planned


def _bytes_of(array: Any) -> Any:
    """Give the array's bytes without a copy; datetimes and strings export no buffer themselves."""
    import numpy

    return memoryview(array.reshape(-1).view(numpy.uint8)) if array.size and array.dtype.itemsize else b""


def _answers_otherwise(planned: List[Tuple[Dict[str, Any], Any]], recorded: Any) -> bool:
    """Whether the outputs differ from those `recorded`, name → SHA-256; False where none are recorded."""
    if recorded is None:
        return False
    digests = {header["name"]: hashlib.sha256(_bytes_of(array)).hexdigest() for header, array in planned}
    return bool(digests != recorded)


def work(framework: str, artifact: Dict[str, Any], task: Dict[str, Any], threads: Any, stream: Any) -> None:
    """Run one model of `artifact`, and write its outputs and its end to `stream`.

    Args:
        task: `model`, `options` and `witness`: the artifact's own, or one of its copies'.
    """
    loader = loaders.load(framework, task.get("witness"))
    end: Dict[str, Any] = {"kind": "end", "status": "ok", "reason": ""}
    resave = False
    try:
        directory = artifact["directory"]
        sizes = file_checks.check(directory, artifact["files"])
        for needed in (task["model"], artifact["inputs"]["file"]):
            if needed not in sizes:
                raise file_checks.Refused("{} is not among the artifact's files".format(needed))
        inputs = read_inputs(os.path.join(directory, artifact["inputs"]["file"]), artifact["inputs"]["names"])
        outputs = loader.run(directory, task["model"], inputs, task["options"], threads, sizes)
        planned = _plan(outputs)
        total = sum(array.nbytes for _, array in planned)
        if total > artifact["output_bytes"]:
            end["status"] = "too_large"
            end["reason"] = "the outputs have {} bytes, at most {}".format(total, artifact["output_bytes"])
        else:
            for header, array in planned:
                wire.write_frame(stream, header, _bytes_of(array))
            resave = hasattr(loader, "resave") and _answers_otherwise(planned, task.get("recorded"))
    except file_checks.Altered as error:
        end.update(status="altered", reason=wire.plain(error), path=wire.plain(error.path))
    except file_checks.Refused as error:
        end.update(status="refused", reason=wire.plain(error))
    except MemoryError as error:
        end.update(status="out_of_memory", reason=wire.plain("MemoryError: {}".format(error)))
    except BaseException as error:  # whatever a loader raises is a result
        message = "{}: {}".format(type(error).__name__, error)
        end.update(status="out_of_memory" if lacks_memory(message) else "refused", reason=wire.plain(message))
    end["versions"] = versions(loader.MODULES)
    wire.write_frame(stream, dict(end, more=resave))
    if resave:
        facts = round_trip.ask(loader.resave, os.path.join(directory, task["model"]))
        wire.write_frame(stream, {"kind": "facts", "round_trip": facts})


def leave_no_core() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        pass


def main(framework: str, artifact: Dict[str, Any], task: Dict[str, Any], threads: Any, data_fd: int) -> None:
    """Do the work and end without teardown (torch takes over a second for it). Never returns."""
    code = 70
    try:
        leave_no_core()
        sys.dont_write_bytecode = True
        faulthandler.enable(2)
        with os.fdopen(data_fd, "wb") as stream:
            work(framework, artifact, task, threads, stream)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
