"""Which file of an MLflow folder is the model: each flavor that is read is one entry of a table.

Files are told by their bytes. Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timeproof.errors import NotArchivable, NotImportable
from timeproof.frameworks.choose import spec_for_file
from timeproof.frameworks.spec import FrameworkSpec
from timeproof.importing.mlflow.folder import MLMODEL, WHOLE, ModelFolder, quoted

LIVE = "timeproof.archive(model, inputs, grid_size=…)"


@dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor whose models are files that last.

    Args:
        name: what the MLmodel file calls it.
        module: MLflow's module of it; what serves the model otherwise is not what is archived.
        keys: the fields of its configuration that name the model's file or folder; the first that is there.
        files: in a folder, the names that the model's file may have; the first that is there.
        version: the field with the framework's version.
        kind: the field with the model's class.
        beside: folders whose files belong beside the model's, where they are there.
        lasting: how to log the model in MLflow so that its file lasts; empty where it always does.
    """

    name: str
    module: str
    keys: tuple[str, ...] = ("data",)
    files: tuple[str, ...] = ()
    version: str = ""
    kind: str = ""
    beside: tuple[str, ...] = ()
    lasting: str = ""


# In the order in which they are taken where a folder has several: the model's own framework first.
FLAVORS = (
    Flavor(
        "xgboost",
        "mlflow.xgboost",
        version="xgb_version",
        kind="model_class",
        lasting="model_format='ubj'",
    ),
    Flavor("lightgbm", "mlflow.lightgbm", version="lgb_version", lasting="the Booster (model.booster_)"),
    Flavor(
        "catboost", "mlflow.catboost", version="catboost_version", kind="model_type", lasting="format='cbm'"
    ),
    Flavor(
        "sklearn",
        "mlflow.sklearn",
        keys=("pickled_model",),
        version="sklearn_version",
        lasting="serialization_format='skops'",
    ),
    Flavor(
        "pytorch",
        "mlflow.pytorch",
        keys=("model_data",),
        files=("model.pt2", "model.pth"),
        version="pytorch_version",
        lasting="serialization_format='pt2'",
    ),
    Flavor("onnx", "mlflow.onnx", version="onnx_version"),
    Flavor("keras", "mlflow.keras", files=("model.keras", "model.h5"), version="keras_version"),
    Flavor(
        "tensorflow",
        "mlflow.tensorflow",
        keys=("data", "saved_model_dir"),
        files=("model.keras", "model.h5"),
        version="keras_version",
    ),
    Flavor(
        "transformers",
        "mlflow.transformers",
        keys=("model_binary",),
        version="transformers_version",
        kind="instance_type",
        beside=tuple(
            f"components/{name}"
            for name in ("tokenizer", "processor", "image_processor", "feature_extractor")
        ),
    ),
)
# Frameworks whose models may choose columns by their names.
_NAMED_TABLES = frozenset({"sklearn"})


@dataclass(frozen=True, slots=True)
class FlavoredModel:
    """The model of a folder: its flavor, its file (relative to the folder), what takes that file."""

    flavor: Flavor
    configuration: Mapping[str, Any]
    file: str
    spec: FrameworkSpec
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()  # folders whose files belong into the model's folder

    @property
    def frame(self) -> bool:
        """Whether the model is asked with a table and its names, not with an array of numbers."""
        return self.spec.name in _NAMED_TABLES


def model_of(folder: ModelFolder, name: str | None = None) -> FlavoredModel:
    """Find the model's file, and the framework that takes it; by its bytes, nothing is loaded.

    Args:
        name: the flavor that the user wants; None takes the first of the table that the folder has.

    Raises NotImportable.
    """
    flavor = _choose(folder, name)
    configuration = folder.flavors[flavor.name]
    path = _file(folder, flavor, configuration)
    notes, spec = _notes(folder, flavor), _spec(folder, flavor, path)
    beside = tuple(
        folder.check_file(name, f"flavors.{flavor.name}")
        for name in flavor.beside
        if (folder.root / name).is_dir()
    )
    return FlavoredModel(flavor, configuration, path, spec, notes, beside)


def _choose(folder: ModelFolder, name: str | None) -> Flavor:
    names = [quoted(flavor) for flavor in folder.flavors]
    if name is not None and name not in folder.flavors:
        raise NotImportable(
            folder.root,
            [f"it has no flavor {quoted(name)!r}, only {', '.join(names) or 'none'}"],
            advice="leave --flavor out, or name one that it has",
        )
    for flavor in FLAVORS:
        if flavor.name == name or (name is None and flavor.name in folder.flavors):
            return flavor
    users_code = "python_function" in (folder.flavors if name is None else [name])
    readable = ", ".join(flavor.name for flavor in FLAVORS)
    raise NotImportable(
        folder.root,
        [
            "it is a model of your own code (python_function alone), which is never run here"
            if users_code and set(names) <= {"python_function"}
            else f"its flavor is {', '.join(n for n in names if n != 'python_function')}; read are {readable}"
        ],
        advice=f"load it in your process, and archive the model that it holds: {LIVE}; or log that model with"
        " one of these flavors",
    )


def _file(folder: ModelFolder, flavor: Flavor, configuration: Mapping[str, Any]) -> str:
    """The path of the model's file, or of its folder where the flavor has one. Raises NotImportable."""
    for key in flavor.keys:
        if configuration.get(key) is not None:
            path = folder.check_file(configuration[key], f"flavors.{flavor.name}.{key}")
            break
    else:
        raise NotImportable(
            folder.root,
            [f"{MLMODEL}: flavors.{flavor.name} does not name the model's file ({' or '.join(flavor.keys)})"],
            advice="log the model again with MLflow, its weights included",
        )
    if not (folder.root / path).is_dir() or not flavor.files:
        return path
    for inner in flavor.files:
        if (folder.root / path / inner).is_file():
            return f"{path}/{inner}"
    if (folder.root / path / "model").is_dir():
        return f"{path}/model"
    raise NotImportable(
        folder.root,
        [f"{path}/ holds none of {', '.join(flavor.files)}"],
        advice=WHOLE,
    )


def _spec(folder: ModelFolder, flavor: Flavor, path: str) -> FrameworkSpec:
    """The framework that takes the file. Raises NotImportable where it is a pickle, or of none."""
    try:
        return spec_for_file(folder.root / path)
    except NotArchivable as error:
        pickled = flavor.lasting and "pickle" in error.message
        again = f"; or log it again with {flavor.lasting}, and import that" if pickled else ""
        load = f"{flavor.module}.load_model({str(folder.root)!r})"
        raise NotImportable(
            folder.root,
            [error.message],
            advice=f"if you trust its author, load it in your process and archive it: model = {load};"
            f" {LIVE}{again}",
        ) from error


def _notes(folder: ModelFolder, flavor: Flavor) -> tuple[str, ...]:
    """What MLflow does with the folder that is not done here."""
    notes = []
    loader = folder.python_function.get("loader_module")
    if loader is not None and loader != flavor.module:
        notes.append(
            f"MLflow serves it through the module {quoted(loader)}, which is not imported: the answers are"
            f" those of the {flavor.name} model alone"
        )
    kind = str(folder.flavors[flavor.name].get(flavor.kind) or "")
    if kind.endswith("Classifier"):
        notes.append(
            f"MLflow's predict gives the classes of a {quoted(kind.rpartition('.')[2])}; the artifact has the"
            " values that they are made of"
        )
    elif kind.endswith("Pipeline"):
        notes.append(
            f"MLflow serves it as a {quoted(kind)}; the artifact has the model's own outputs, of which that"
            " makes its answer"
        )
    code = [c.get("code") for c in (folder.flavors[flavor.name], folder.python_function) if c.get("code")]
    if code:
        notes.append(f"MLflow puts its folder {quoted(code[0])}/ on the path; nothing of it is imported here")
    return tuple(notes)
