"""How MLflow is told of each framework's model, so that it answers as the artifact does. No IO here.

A framework whose models are exported is one function of the table. What MLflow can't be told is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from timeproof.errors import NotArchivable
from timeproof.store.schema.v1 import Metadata


class NotExportable(NotArchivable):
    """MLflow can't be made to give an artifact's answer."""


@dataclass(frozen=True, slots=True)
class Flavor:
    """What the MLmodel file says of one model.

    Args:
        name: the flavor, and of MLflow's module the last part.
        file: what the model's file is called in the folder.
        configuration: the flavor's own fields.
        serving: fields of python_function, beside or instead of `data`, the file.
        output: the archived output that MLflow's predict gives; empty where it gives all, by name.
        column: of that output, the column that it gives; None for all of it.
        columns: the names of the table that the model takes; empty where it takes an array.
        places: for each of these, which input holds it, and where in that; empty where one input holds all.
        parameters: what predict is called with, by name: MLflow takes a default for each from the signature.
    """

    name: str
    file: str
    configuration: Mapping[str, Any]
    serving: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    column: int | None = None
    columns: tuple[str, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exported:
    """The model of an artifact, or a copy of it, that is to be exported.

    Args:
        framework: whose loader runs it.
        file: its file, relative to the artifact's folder.
        options: what the loader is told.
        versions: of the packages in the artifact's environment, by name.
        feature_names: those that the file itself names; empty where it names none, or is not asked.
    """

    metadata: Metadata
    framework: str
    file: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    feature_names: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return self.file.rpartition(".")[2]

    def refuse(self, problem: str, advice: str) -> NotExportable:
        ref = f"grid-size-{self.metadata.grid_size}/{self.metadata.framework.name}/v{self.metadata.version}"
        return NotExportable(f"{ref} can't be exported to MLflow: {problem}", advice=advice)


_OTHER = "replay it with timeproof, or export an ONNX copy of it where it has one (--copy onnx)"


def flavor_of(exported: Exported) -> Flavor:
    """Say how MLflow is told of a model. Raises NotExportable."""
    writer = _FLAVORS.get(exported.framework)
    if writer is None:
        raise exported.refuse(_REASONS.get(exported.framework, "it has no flavor for such models"), _OTHER)
    if exported.options.get("sparse"):
        raise exported.refuse("its inputs are a sparse matrix, which MLflow does not serve", _OTHER)
    return writer(exported)


def _xgboost(exported: Exported) -> Flavor:
    options = exported.options
    if options.get("missing") is not None:
        raise exported.refuse(
            f"its missing values are {options['missing']}, and MLflow asks the Booster with NaN alone",
            "train it with NaN for missing values, and archive that",
        )
    if options.get("probability"):
        raise exported.refuse(
            "its probabilities are made of the margins, and MLflow's predict gives classes",
            "train it with the objective multi:softprob, and archive that",
        )
    if options.get("in_place") and exported.metadata.model.init_args.get("booster") == "dart":
        raise exported.refuse(
            "a dart model that is asked in place differs from MLflow's answer in the last bit",
            "archive its Booster (model.get_booster()) with the same inputs",
        )
    if "c" in (options.get("feature_types") or ()):
        raise exported.refuse("it has categorical features, which MLflow asks as plain numbers", _OTHER)
    rounds = options.get("iteration_range")
    output, column = _tree_output(exported)
    return Flavor(
        "xgboost",
        f"model.{exported.suffix}",
        {
            "data": f"model.{exported.suffix}",
            "model_class": "xgboost.core.Booster",
            "model_format": exported.suffix,
            "xgb_version": exported.metadata.framework.version,
        },
        output=output,
        column=column,
        columns=_names(exported),
        parameters={"iteration_range": [int(n) for n in rounds]} if rounds is not None else {},
    )


def _lightgbm(exported: Exported) -> Flavor:
    options = exported.options
    trees = options.get("trees") or {}
    if options.get("num_iteration") is not None and trees.get("used") != trees.get("of"):
        raise exported.refuse(
            f"it answers with {trees.get('used')} of its {trees.get('of')} rounds, and MLflow with all",
            "save the Booster with those alone (save_model(…, num_iteration=…)), and archive that file",
        )
    if options.get("predict_parameters"):
        raise exported.refuse("its predict takes parameters, which MLflow does not pass on", _OTHER)
    output, column = _tree_output(exported)
    configuration = {
        "data": "model.lgb",
        "model_class": "lightgbm.basic.Booster",
        "lgb_version": exported.metadata.framework.version,
    }
    return Flavor("lightgbm", "model.lgb", configuration, output=output, column=column)


def _tree_output(exported: Exported) -> tuple[str, int | None]:
    """The archived output that a Booster's predict is, and its column. Raises NotExportable."""
    outputs = {spec.name: spec for spec in exported.metadata.outputs}
    if "predict" in outputs:
        return "predict", None
    if "predict_proba" in outputs:
        shape = outputs["predict_proba"].shape
        return "predict_proba", 1 if len(shape) == 2 and shape[1] == 2 else None
    raise exported.refuse(
        f"MLflow's predict is none of its outputs ({', '.join(outputs)})",
        "archive the model itself, with the answer of its predict",
    )


def _names(exported: Exported) -> tuple[str, ...]:
    """The names that the model holds the table's columns against."""
    options = exported.options
    return tuple(options.get("columns") or options.get("feature_names") or exported.feature_names)


def _catboost(exported: Exported) -> Flavor:
    options = exported.options
    classes = {"Class": "CatBoostClassifier", "RawFormulaVal": "CatBoost"}
    kind = options.get("predict", "RawFormulaVal")
    if exported.suffix != "cbm" or kind not in classes or options.get("layout") or options.get("ntree_end"):
        raise exported.refuse(
            "MLflow asks a .cbm with all of its trees, a table of numbers, and for classes or raw values",
            _OTHER,
        )
    configuration = {
        "data": "model.cb",
        "model_type": classes[kind],
        "save_format": "cbm",
        "catboost_version": exported.metadata.framework.version,
    }
    columns = tuple(options.get("columns") or ())
    return Flavor("catboost", "model.cb", configuration, output="predict", columns=columns)


def _onnx(exported: Exported) -> Flavor:
    options = exported.options
    levels = {"basic": 1, "extended": 2, "all": 99}
    level = options.get("graph_optimization", "basic")
    if level not in levels:
        raise exported.refuse(
            f"its graph optimisation is {level!r}, which MLflow can't be told",
            "archive it with --graph-optimization basic, extended or all",
        )
    if options.get("feeds") is not None or any(spec.element for spec in exported.metadata.inputs):
        raise exported.refuse("it takes sequences, optionals or types that NumPy lacks", _OTHER)
    threads = exported.metadata.profile.threads
    session: dict[str, Any] = {"graph_optimization_level": levels[level], "execution_mode": "sequential"}
    if threads is not None:
        session |= {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
    file = exported.file.rpartition("/")[2]
    return Flavor(
        "onnx",
        file,
        {
            "data": file,
            "onnx_version": exported.versions.get("onnx") or exported.versions.get("onnxruntime"),
            "onnx_session_options": session,
            "providers": ["CPUExecutionProvider"],
        },
    )


def _sklearn(exported: Exported) -> Flavor:
    outputs = [spec.name for spec in exported.metadata.outputs]
    output = next((name for name in ("predict", "predict_proba") if name in outputs), "")
    if not output:
        raise exported.refuse(
            f"MLflow's predict is none of its outputs ({', '.join(outputs)})",
            "archive it with the answer of predict: SklearnOptions(methods=('predict',))",
        )
    columns, places = _frame(exported)
    configuration = {
        "pickled_model": "model.skops",
        "serialization_format": "skops",
        "skops_trusted_types": [str(name) for name in exported.options.get("types") or ()],
        "sklearn_version": exported.metadata.framework.version,
    }
    serving = {"data": None, "model_path": "model.skops", "predict_fn": output}
    return Flavor("sklearn", "model.skops", configuration, serving, output, columns=columns, places=places)


def _frame(exported: Exported) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The columns of a recorded DataFrame, and where each lies. Raises NotExportable."""
    form: Any = exported.options.get("form")
    if form is None:
        return (), ()
    parts, labels = form.get("parts") or (), form.get("columns") or ()
    odd = [
        part
        for part in parts
        if part.get("missing")
        or part.get("kind") not in {"numbers", "text"}
        or str(part.get("dtype")).startswith(("datetime", "timedelta"))
    ]
    if form.get("kind") != "frame" or odd or not all(isinstance(label, str) for label in labels):
        raise exported.refuse(
            "its table has categories, dates, missing text, or columns without names", _OTHER
        )
    places = {
        place: (index, k) for index, part in enumerate(parts) for k, place in enumerate(part["columns"])
    }
    return tuple(labels), tuple(places[place] for place in range(len(labels)))


def _torch_export(exported: Exported) -> Flavor:
    metadata = exported.metadata
    if len(metadata.inputs) != 1 or len(metadata.outputs) != 1:
        raise exported.refuse("MLflow asks a network with one tensor, for one tensor", _OTHER)
    configuration = {"model_data": "data", "pytorch_version": metadata.framework.version}
    serving = {
        "data": "data",
        "config": {"device": None},
        "pickle_module_name": "mlflow.pytorch.pickle_module",
    }
    return Flavor("pytorch", "data/model.pt2", configuration, serving, metadata.outputs[0].name)


_FLAVORS: Mapping[str, Callable[[Exported], Flavor]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "onnx": _onnx,
    "sklearn": _sklearn,
    "torch_export": _torch_export,
}
_REASONS = {
    "pytorch": "MLflow's pytorch flavor holds a pickle or an exported program (.pt2), and the artifact holds"
    " weights and source",
}
