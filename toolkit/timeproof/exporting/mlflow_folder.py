"""The files of an MLflow model folder, as bytes: MLmodel, requirements, input example. No IO here.

The same artifact gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import yaml

from timeproof.base.digests import Digest
from timeproof.exporting.mlflow_flavors import Flavor
from timeproof.store.layout import Ref
from timeproof.store.reference import Array
from timeproof.store.schema.v1 import EnvironmentRecord, Metadata

FORMAT_OF = "3.17.2"  # the release of MLflow whose folders these are
_COLUMN_TYPES = {"f4": "float", "f2": "float", "f8": "double", "i4": "integer", "b1": "boolean"}


def folder_files(
    ref: Ref,
    metadata: Metadata,
    digest: Digest,
    flavor: Flavor,
    record: EnvironmentRecord,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> dict[str, bytes]:
    """Give every file of the folder but the model's own, by name.

    Args:
        digest: of the artifact's metadata file.
        outputs: the archived ones, in their order.
    """
    python = metadata.framework.python
    requirements = _requirements(record)
    example, kind = _example(flavor, inputs)
    serving = {"dataframe_split" if kind == "dataframe" else "inputs": example}
    info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": kind,
        **({"pandas_orient": "split"} if kind == "dataframe" else {}),
    }
    serving_as = {
        "data": flavor.file,
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": f"mlflow.{flavor.name}",
        "python_version": python,
        **flavor.serving,
    }
    mlmodel = {
        "flavors": {
            flavor.name: {"code": None, **flavor.configuration},
            "python_function": {name: value for name, value in serving_as.items() if value is not None},
        },
        "metadata": {
            "timeproof": {
                "artifact": str(ref),
                "metadata_sha256": digest.hex,
                "environment": metadata.environment.name,
                "lock_sha256": metadata.environment.lock_sha256,
            }
        },
        "mlflow_version": FORMAT_OF,
        "model_uuid": digest.hex[:32],
        "saved_input_example_info": info,
        "signature": {
            "inputs": json.dumps(_input_schema(flavor, inputs)),
            "outputs": json.dumps(_output_schema(flavor, outputs)),
            "params": json.dumps(_parameters(flavor)) if flavor.parameters else None,
        },
        "utc_time_created": _time(metadata.created),
    }
    pip: dict[str, Any] = {"pip": requirements}
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", pip],
    }
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "MLmodel": _yaml(mlmodel),
        "conda.yaml": _yaml(conda),
        "python_env.yaml": _yaml(environment),
        "requirements.txt": "".join(f"{line}\n" for line in requirements).encode(),
        "input_example.json": (json.dumps(example) + "\n").encode(),
        "serving_input_example.json": (json.dumps(serving, indent=2) + "\n").encode(),
    }


def _yaml(value: Any) -> bytes:
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return text.encode()


def _requirements(record: EnvironmentRecord) -> list[str]:
    """MLflow itself, and every wheel of the artifact's environment."""
    wheels = sorted({(p.name, p.version) for p in record.packages if p.kind == "wheel"})
    return ["mlflow>=3,<4", *(f"{name}=={version}" for name, version in wheels)]


def _time(created: str) -> str:
    return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M:%S.%f")


def _example(flavor: Flavor, inputs: Mapping[str, Array]) -> tuple[Any, str]:
    """The inputs as JSON has them, and what MLflow calls such an example."""
    if flavor.columns:
        series = [_plain(column) for column in _columns(flavor, inputs)]
        rows = [list(row) for row in zip(*series, strict=True)]
        return {"columns": list(flavor.columns), "data": rows}, "dataframe"
    if len(inputs) == 1:
        (array,) = inputs.values()
        return _plain(array), "ndarray"
    return {name: _plain(array) for name, array in inputs.items()}, "ndarray"


def _columns(flavor: Flavor, inputs: Mapping[str, Array]) -> list[Array]:
    """The columns of the one table that a model takes."""
    arrays = list(inputs.values())
    places = flavor.places or [(0, k) for k in range(len(flavor.columns))]
    return [arrays[index][:, k] for index, k in places]


def _column_type(array: Array) -> str:
    return "string" if array.dtype.kind == "U" else _COLUMN_TYPES.get(array.dtype.str[1:], "long")


def _plain(array: Array) -> Any:
    """Nested lists; NaN is null, as MLflow reads it."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        plain = array.astype(object)
        plain[np.isnan(array)] = None
        return plain.tolist()
    return array.tolist()


def _input_schema(flavor: Flavor, inputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    if flavor.columns:
        kinds = [_column_type(column) for column in _columns(flavor, inputs)]
        pairs = zip(flavor.columns, kinds, strict=True)
        return [{"type": kind, "name": name, "required": True} for name, kind in pairs]
    named = len(inputs) > 1
    return [_tensor(array, name if named else "") for name, array in inputs.items()]


def _output_schema(flavor: Flavor, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    if flavor.output:
        array = outputs[flavor.output]
        return [_tensor(array if flavor.column is None else array[:, flavor.column])]
    return [_tensor(array, name) for name, array in outputs.items()]


def _tensor(array: Array, name: str = "") -> dict[str, Any]:
    """A tensor's type; its first axis may have any length."""
    dtype = "str" if array.dtype.kind == "U" else array.dtype.name
    shape = [-1, *array.shape[1:]] if array.ndim else []
    specification = {"dtype": dtype, "shape": shape}
    return {"type": "tensor", "tensor-spec": specification, **({"name": name} if name else {})}


def _parameters(flavor: Flavor) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": "long", "default": value, "shape": [-1]}
        for name, value in flavor.parameters.items()
    ]
