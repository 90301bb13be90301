"""What an environment holds: frameworks by the names that their packages go by."""

from __future__ import annotations

from typing import Any

import pytest

from timeproof.frameworks.registry import frameworks_of
from timeproof.store.environment_contents import versions_of
from timeproof.store.layout import Archive
from timeproof.store.schema.v1 import EnvironmentRecord, PackageEntry
from timeproof.testing.archives import publish_environment


@pytest.fixture
def record(tmp_path: Any) -> EnvironmentRecord:
    return publish_environment(Archive(tmp_path / "archive"))


def holding(record: EnvironmentRecord, *packages: tuple[str, str, str]) -> EnvironmentRecord:
    entries = [
        PackageEntry(kind=kind, name=name, version=version, file="f", size=0, sha256="0" * 64)  # type: ignore[arg-type]
        for kind, name, version in packages
    ]
    return record.model_copy(update={"packages": entries})


def test_each_framework_is_known_by_its_wheel(record: EnvironmentRecord) -> None:
    there = holding(
        record,
        ("base", "base-bookworm", "12"),
        ("conda-part", "conda-part", ""),
        ("conda", "python", "3.11.7"),
        ("wheel", "torch", "2.13.0+cpu"),
        ("wheel", "xgboost-cpu", "3.2.0"),
        ("wheel", "lightgbm", "4.7.0"),
        ("wheel", "onnxruntime", "1.32.0"),
        ("wheel", "numpy", "2.4.6"),
    )
    assert frameworks_of(there) == {
        "pytorch": "2.13.0+cpu",
        "xgboost": "3.2.0",
        "lightgbm": "4.7.0",
        "onnx": "1.32.0",
        "torch_export": "2.13.0+cpu",
        "torchscript": "2.13.0+cpu",
        "pmml": "2.4.6",
        "pfa": "2.4.6",
    }
    held = versions_of(there)
    assert (held["python"], held["numpy"], held["xgboost-cpu"]) == ("3.11.7", "2.4.6", "3.2.0")
    assert "base-bookworm" not in held
    assert "conda-part" not in held


def test_a_package_for_onnx_files_alone_runs_none(record: EnvironmentRecord) -> None:
    assert frameworks_of(holding(record, ("wheel", "onnx", "1.22.0"), ("wheel", "torchmetrics", "1"))) == {}


@pytest.mark.parametrize(
    ("name", "frameworks"),
    [
        ("pytorch", {"pytorch", "torch_export", "torchscript"}),
        ("py-xgboost", {"xgboost"}),
        ("onnxruntime", {"onnx"}),
        ("lightgbm", {"lightgbm"}),
        ("catboost", {"catboost"}),
    ],
)
def test_conda_packages_count_by_the_names_that_they_have_there(
    record: EnvironmentRecord, name: str, frameworks: set[str]
) -> None:
    assert frameworks_of(holding(record, ("conda", name, "1.2.3"))) == dict.fromkeys(frameworks, "1.2.3")


def test_a_framework_counts_only_with_what_it_needs_beside_it(record: EnvironmentRecord) -> None:
    learn, skops = ("wheel", "scikit-learn", "1.9.1"), ("wheel", "skops", "0.16.0")
    assert frameworks_of(holding(record, learn)) == {}
    assert frameworks_of(holding(record, learn, skops)) == {"sklearn": "1.9.1"}


def test_a_wheel_lies_over_the_conda_package_of_the_same_name(record: EnvironmentRecord) -> None:
    there = holding(record, ("wheel", "LightGBM", "4.0.0"), ("conda", "lightgbm", "4.7.0"))
    assert frameworks_of(there) == {"lightgbm": "4.0.0"}
    assert versions_of(there)["lightgbm"] == "4.0.0"
