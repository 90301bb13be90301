"""Run a Keras file or a SavedModel: load it, and ask it in evaluation mode."""

import importlib
import inspect
import os
from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

from . import asking

MODULES = ("tensorflow", "keras", "numpy")


def warm() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # No accelerator: what is replayed on a CPU must not look for another one.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    importlib.import_module("tensorflow")


def prepare(threads: Optional[int], options: Dict[str, Any]) -> Any:
    """Import TensorFlow, and set what must be set before it computes."""
    warm()
    tf: Any = importlib.import_module("tensorflow")
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    # A graph runs as it was saved: Grappler would fuse its operators, and fused ones round otherwise.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # A model that draws random numbers gets the same ones at every replay; sealing asks with two seeds.
    importlib.import_module("random").seed(options.get("seed", 0))
    importlib.import_module("numpy").random.seed(options.get("seed", 0))
    tf.random.set_seed(options.get("seed", 0))
    return tf


def callee(directory: str, model: str, options: Dict[str, Any]) -> Tuple[Any, Dict[str, Any]]:
    """Load the model; give what is called, and what goes along with the inputs. Raises Refused."""
    path = os.path.join(os.path.abspath(directory), model)
    if options["kind"] == "keras":
        return _keras(path), {"training": False}
    tf: Any = importlib.import_module("tensorflow")
    loaded = tf.saved_model.load(os.path.dirname(path), tags=["serve"])
    if options["signature"] not in loaded.signatures:
        raise Refused("it has no signature {!r}".format(options["signature"]))
    signature = loaded.signatures[options["signature"]]
    signature.keep_alive = loaded  # its variables live as long as what was loaded
    return signature, {}


def _keras(path: str) -> Any:
    try:
        keras: Any = importlib.import_module("keras")
    except ImportError:
        raise Refused("the environment holds no Keras, which reads .keras files")
    backend = getattr(keras.config, "backend", None) if hasattr(keras, "config") else None
    if backend is not None and backend() != "tensorflow":
        raise Refused("Keras runs on {} here, not on TensorFlow".format(backend()))
    load_model = keras.models.load_model
    extra = {"safe_mode": True} if "safe_mode" in inspect.signature(load_model).parameters else {}
    try:
        return load_model(path, compile=False, **extra)
    except (TypeError, ValueError) as error:
        raise Refused("Keras {} can't read the file: {}".format(keras.__version__, _innermost(str(error))))


def _innermost(text: str) -> str:
    """The last of the exceptions that Keras nests in a message: it names the layer and what is strange."""
    last = text.strip().split("Exception encountered: ")[-1]
    return (last.strip().splitlines() or ["no reason"])[0][:300]


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],  # noqa: ARG001 - every loader is called alike
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    prepare(threads, options)
    target, more = callee(directory, model, options)
    call = options["asked"]
    answer = asking.ask(target, asking.tensors_of(dict(inputs), call), call, **more)
    return in_order(asking.arrays_of(answer), options)


def in_order(outputs: List[Tuple[str, Any, str]], options: Dict[str, Any]) -> List[Tuple[str, Any, str]]:
    """Put a signature's outputs, which are sorted by name, into the model's own order. Raises Refused."""
    order = options.get("outputs")
    if order is None:
        return outputs
    by_name = {output[0]: output for output in outputs}
    if sorted(by_name) != sorted(order):
        raise Refused("its outputs are {}, not {}".format(", ".join(sorted(by_name)), ", ".join(order)))
    return [by_name[name] for name in order]
