"""Run a PyTorch model: rebuild its class from the archived source, load the state, answer."""

import importlib
import importlib.machinery
import inspect
import os
import random
import sys
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from timeproof_probe import output_names
from timeproof_probe.file_checks import Refused

from . import safetensors_file, tensors

MODULES = ("torch", "numpy")


def warm() -> None:
    importlib.import_module("torch")


def _serve_source(root: str, listed: Set[str]) -> None:
    """Let `import` find what lies below `root`, and there only the listed files.

    The files are compiled from their checked source: a stray .pyc is neither read nor written.
    """

    class Source(importlib.machinery.SourceFileLoader):
        def get_code(self, fullname: str) -> Any:
            path = self.get_filename(fullname)
            if path not in listed:
                raise ImportError("{} is not among the artifact's files".format(path))
            return self.source_to_code(self.get_data(path), path)

    def hook(path: str) -> Any:
        if path != root and not path.startswith(root + os.sep):
            raise ImportError("not the artifact's source")
        return importlib.machinery.FileFinder(path, (Source, [".py"]))

    sys.path.insert(0, root)
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True


def _maker(options: Dict[str, Any], directory: str, sizes: Dict[str, int]) -> Callable[[], Any]:
    """Say how the model is made: by its class, archived or installed, or layer by layer."""
    if options.get("source") is not None:
        root = os.path.join(os.path.abspath(directory), options["source"])
        listed = {os.path.join(os.path.abspath(directory), path) for path in sizes}
        _serve_source(root, listed)
    tree = options.get("layers")
    if tree is not None:
        return lambda: build_layers(tree)
    kind = _attribute(options["module"], options["qualname"])
    return lambda: kind(**options.get("init_args", {}))


def _attribute(module: str, qualname: str) -> Any:
    attribute: Any = importlib.import_module(module)
    for part in qualname.split("."):
        attribute = getattr(attribute, part)
    return attribute


def build_layers(tree: Any) -> Any:
    """Build a torch.nn.Sequential, or one layer, from the artifact's description of it."""
    if "layers" not in tree:
        arguments = tupled(tree["init_args"]) if tree["module"].startswith("torch.") else tree["init_args"]
        return _attribute(tree["module"], tree["qualname"])(**arguments)
    module = importlib.import_module("torch").nn.Sequential()
    for name, below in tree["layers"]:
        module.add_module(name, build_layers(below))
    return module


def tupled(value: Any) -> Any:
    """Give JSON's lists as tuples, which torch's own layers take for sizes."""
    if isinstance(value, list):
        return tuple(tupled(item) for item in value)
    if isinstance(value, dict):
        return {key: tupled(item) for key, item in value.items()}
    return value


def _load(path: str) -> Any:
    torch: Any = importlib.import_module("torch")

    # Old releases lack weights_only; there as everywhere the container is the boundary.
    extra = {"weights_only": True} if "weights_only" in inspect.signature(torch.load).parameters else {}
    return torch.load(path, map_location="cpu", **extra)


def resave(source: str, target: str) -> None:
    """Load one file's tensors and save them as another."""
    if source.endswith(safetensors_file.SUFFIX):
        raise Refused("torch does not write .safetensors files")
    importlib.import_module("torch").save(_load(source), target)


def set_threads(threads: Optional[int]) -> None:
    """Let torch use that many threads; None: as many as it takes itself."""
    torch: Any = importlib.import_module("torch")
    if threads is not None:
        torch.set_num_threads(threads)
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:  # it can be set only once
            pass


def prepare(
    directory: str, model: str, options: Dict[str, Any], threads: Optional[int], sizes: Dict[str, int]
) -> Callable[[], Any]:
    """Read the state and find the class; what comes back builds the module, each time anew."""
    torch: Any = importlib.import_module("torch")

    set_threads(threads)
    state = _state(os.path.join(directory, model))
    make = _maker(options, directory, sizes)

    if options.get("default_dtype"):  # of the process that archived it: what the code makes is of this type
        torch.set_default_dtype(getattr(torch, options["default_dtype"]))

    def build() -> Any:
        module = make()
        _restore_types(module, state, options.get("dtypes") or {})
        module.load_state_dict(_with_tied(module, state), strict=True)
        module.eval()
        return module

    return build


def _state(path: str) -> Dict[str, Any]:
    """Read the model's state from either kind of file. Raises Refused."""
    name = os.path.basename(path)
    if path.endswith(safetensors_file.SUFFIX):
        try:
            return safetensors_file.read_tensors(path)
        except safetensors_file.BadSafetensors as error:
            raise Refused("{} is not a .safetensors file that can be read: {}".format(name, error))
    contents = _load(path)
    if not isinstance(contents, dict) or "model_state" not in contents:
        raise Refused("{} holds no 'model_state'".format(name))
    state: Dict[str, Any] = contents["model_state"]
    return state


def _with_tied(module: Any, state: Dict[str, Any]) -> Dict[str, Any]:
    """Add what a file leaves out because the module ties it to something that the file holds."""
    absent = [name for name in module.state_dict() if name not in state]
    if not absent:
        return state
    built = {name: item for name, item in module.state_dict().items() if hasattr(item, "data_ptr")}
    places = {(built[n].data_ptr(), built[n].shape): n for n in built if n in state and built[n].numel()}
    tied = {n: places.get((built[n].data_ptr(), built[n].shape)) for n in absent if n in built}
    return dict(state, **{name: state[same] for name, same in tied.items() if same is not None})


def _restore_types(module: Any, state: Dict[str, Any], more: Dict[str, str]) -> None:
    """Give parameters and buffers the types of the saved state: loading would cast the state to theirs.

    Args:
        others: the types of the buffers that are not part of the state.
    """
    torch: Any = importlib.import_module("torch")
    wanted = {name: value.dtype for name, value in state.items() if torch.is_tensor(value)}
    wanted.update({name: getattr(torch, kind) for name, kind in more.items()})
    for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
        kind = wanted.get(name, tensor.dtype)
        if kind == tensor.dtype or tensor.is_quantized:
            continue
        if tensor.requires_grad and not (kind.is_floating_point or kind.is_complex):
            tensor.requires_grad_(False)
        tensor.data = tensor.data.to(kind)


def tensors_of(inputs: List[Tuple[str, Any]], options: Dict[str, Any]) -> List[Any]:
    """Give the recorded arrays as tensors, in the types that the model was called with."""
    torch: Any = importlib.import_module("torch")
    # clone: torch's own allocator aligns to 64 bytes, and kernels choose their path by alignment.
    tensors_ = [torch.from_numpy(array.astype(array.dtype.newbyteorder("="))).clone() for _, array in inputs]
    for k, argument in enumerate(options.get("call") or ()):
        if argument.get("dtype"):
            tensors_[k] = tensors_[k].to(getattr(torch, argument["dtype"]))
    return tensors_


def ask(module: Any, arguments: List[Any], options: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """Give the module's outputs as (name, tensor); the caller has switched gradients off.

    Each input goes to the parameter that the artifact's `call` names, or, without one, to its place.
    """
    torch: Any = importlib.import_module("torch")
    seed = options.get("seed", 0)
    # A model that draws random numbers gets the same ones at every replay; sealing asks with two seeds.
    random.seed(seed)
    importlib.import_module("numpy").random.seed(seed)
    torch.manual_seed(seed)
    call = options.get("call") or [{}] * len(arguments)
    if len(call) != len(arguments):
        raise Refused("the artifact's call names {} inputs, not {}".format(len(call), len(arguments)))
    named = [argument.get("parameter") for argument in call]
    positional = [tensor for name, tensor in zip(named, arguments) if name is None]  # noqa: B905 - Python 3.6
    by_name = {name: tensor for name, tensor in zip(named, arguments) if name is not None}  # noqa: B905
    return output_names.flatten(module(*positional, **by_name), torch.is_tensor)


def run(
    directory: str,
    model: str,
    inputs: List[Tuple[str, Any]],
    options: Dict[str, Any],
    threads: Optional[int],
    sizes: Dict[str, int],
) -> List[Tuple[str, Any, str]]:
    """Give the model's outputs as (name, array, the type it was made from or "")."""
    return answers(prepare(directory, model, options, threads, sizes)(), inputs, options)


def answers(
    module: Any, inputs: List[Tuple[str, Any]], options: Dict[str, Any]
) -> List[Tuple[str, Any, str]]:
    """Ask a module that is built, without gradients; what comes back is what `run` gives."""
    torch: Any = importlib.import_module("torch")

    with getattr(torch, "inference_mode", torch.no_grad)():
        answer = ask(module, tensors_of(inputs, options), options)
    return [(name, *tensors.to_array(tensor)) for name, tensor in answer]


def register_operators(options: Dict[str, Any]) -> None:
    """Import the libraries whose operators a program calls: torchvision and its like register theirs so."""
    for library in options.get("libraries") or ():
        try:
            importlib.import_module(library)
        except ImportError:
            pass  # torch names the operator that it lacks
