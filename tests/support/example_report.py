"""A report with every verdict, whose differences the one comparison made; large ones; and hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from timeproof.compare.compare import compare_outputs
from timeproof.compare.verdict import Verdict
from timeproof.regression.report import Breakage, Cell, Report, ReportedArtifact, ReportedEnvironment

# What a browser, an XML reader or a Markdown reader could take for something else than words.
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "line\u2028separator\u2029and\x00\x1b[31mcontrol\x85",
    "``` | a | b | ```",
    "![x](http://192.0.2.1/x.png) <https://192.0.2.1> @everyone #1",
    "]]> <!-- --> <![CDATA[",
    "[[ATTACHMENT|/etc/passwd]]",
    "\u202egnp.exe \ufffe\uffff",
    "' onmouseover='x",
)

_SITES = [
    # title, frameworks, python, dated
    ("torch-2.13.0", {"pytorch": "2.13.0"}, "3.11.7", "2026-09-02"),
    ("xgboost-1.7.6", {"xgboost": "1.7.6"}, "3.8.18", "2023-06-16"),
    ("xgboost-2.1.4", {"xgboost": "2.1.4"}, "3.10.13", "2025-02-06"),
    ("xgboost-3.0.5", {"xgboost": "3.0.5"}, "3.11.7", "2025-09-05"),
    ("xgboost-3.2.0", {"xgboost": "3.2.0"}, "3.11.7", "2026-02-10"),
    ("lightgbm-2.2.3", {"lightgbm": "2.2.3"}, "3.7.17", "2019-02-04"),
    ("lightgbm-3.3.5", {"lightgbm": "3.3.5"}, "3.8.18", "2023-01-27"),
    ("lightgbm-4.0.0", {"lightgbm": "4.0.0"}, "3.9.18", "2023-07-14"),
    ("lightgbm-4.7.0", {"lightgbm": "4.7.0"}, "3.11.7", "2026-03-01"),
    ("onnxruntime-1.16.3", {"onnx": "1.16.3"}, "3.8.18", "2023-11-20"),
    ("onnxruntime-1.20.1", {"onnx": "1.20.1"}, "3.10.13", "2024-11-21"),
    ("onnxruntime-1.32.0", {"onnx": "1.32.0"}, "3.11.7", "2026-08-14"),
    (
        "digits",
        {"pytorch": "2.13.0", "xgboost": "3.2.0", "lightgbm": "4.7.0", "onnx": "1.32.0"},
        "3.11.7",
        "2026-09-20",
    ),
]


def site(title: str, frameworks: dict[str, str], python: str, dated: str | None) -> ReportedEnvironment:
    packages = {"python": python, "numpy": "2.4.6" if python == "3.11.7" else "1.24.4", **frameworks}
    if "pytorch" in frameworks:
        packages |= {"sympy": "1.14.0", "networkx": "3.5"}
    return ReportedEnvironment(
        name=f"{title}-0123456789ab",
        title=title,
        frameworks=frameworks,
        packages=packages,
        dated=dated,
        created="2026-11-20T10:00:00Z",
        manifest="sha256:" + "ab" * 32,
        platform="linux/amd64",
        source="engine",
    )


def subject(ref: str, version: str, where: str, **more: Any) -> ReportedArtifact:
    return ReportedArtifact(
        ref=ref,
        framework=ref.split("/")[1],
        framework_version=version,
        python="3.11.7",
        environment=where,
        profile="portable",
        created="2026-11-20T10:05:00Z",
        **more,
    )


def probabilities(rows: int = 97, columns: int = 10) -> Any:
    raw = np.random.default_rng(8).random((rows, columns), dtype=np.float32) + np.float32(0.05)
    return raw / raw.sum(axis=1, keepdims=True)


def difference(kind: Verdict) -> dict[str, Any]:
    """What comparing gives where the verdict is `kind`, for two outputs."""
    expected = probabilities()
    random = np.random.default_rng(9)
    noise = random.normal(0, 1, expected.shape)
    actual = {
        Verdict.identical: expected,
        Verdict.rounding: expected * (1 + noise * 4e-8),
        Verdict.drift: expected * (1 + noise * 1e-5),
        Verdict.outliers: np.where(np.arange(len(expected))[:, None] == 40, expected * 0.9, expected),
        Verdict.broken: 1 / (1 + np.exp(-expected * 4)),
    }[kind].astype(np.float32)
    margin = np.log(expected)
    moved = margin if kind is Verdict.identical else np.log(actual)
    both = ({"predict_proba": expected, "margin": margin}, {"predict_proba": actual, "margin": moved})
    result = compare_outputs(*both)
    assert result.verdict is kind
    return dict(result.to_json())


_REASONS = {
    Verdict.refused: "LightGBMError: Model format error, expect a tree here. met tree_sizes=",
    Verdict.crashed: "signal 11: the child process ended while it loaded the model",
    Verdict.timeout: "no answer within 60 s",
    Verdict.out_of_memory: "it asked for more than 4096 MiB",
    Verdict.too_large: "output 'y' has 1,073,741,824 bytes; 4,096 were recorded",
    Verdict.nondeterministic: "two workers gave different answers for one cell",
    Verdict.altered: "model_lgb_v9.txt has SHA-256 11…, not 22…",
    Verdict.lost: "the worker was killed three times",
}
_LOG = """[LightGBM] [Warning] Unknown parameter: max_cat_to_onehot
Traceback (most recent call last):
  File "/opt/timeproof/probe/timeproof_probe/child.py", line 88, in run
    booster = lightgbm.Booster(model_file=path)
lightgbm.basic.LightGBMError: Model format error, expect a tree here. met tree_sizes=
"""


def cell(artifact: str, where: ReportedEnvironment, verdict: Verdict, **more: Any) -> Cell:
    """A cell as a run gives it: its difference made by the comparison, its log where there is one."""
    record = difference(verdict) if verdict.graded else None
    framework = artifact.split("/")[1]
    fields: dict[str, Any] = {
        "reason": record["summary"] if record else _REASONS[verdict],
        "profile": "portable",
        "versions": {framework: where.frameworks.get(framework, "?"), "python": where.packages["python"]},
        "difference": record,
        "signal": 11 if verdict is Verdict.crashed else None,
        "log": "" if verdict.graded else _LOG,
        "seconds": 0.04,
    }
    return Cell(artifact=artifact, environment=where.name, verdict=verdict, **(fields | more))


# Each artifact: ref, version it was made with, its environment, and its verdicts over the environments
# that hold its framework, in their order.
_ROWS = [
    ("grid-size-8/pytorch/v1", "2.13.0", "digits", "= ="),
    ("grid-size-8/pytorch/v2", "2.13.0", "digits", "≈ ="),
    ("grid-size-8/xgboost/v1", "3.2.0", "digits", "≠ ≠ = = ="),
    ("grid-size-8/xgboost/v2", "1.7.6", "xgboost-1.7.6", "= R = = ="),
    ("grid-size-8/xgboost/v3", "2.1.4", "xgboost-2.1.4", "= = = = ="),
    ("grid-size-16/xgboost/v1", "3.2.0", "digits", "L T = = M"),
    ("grid-size-8/lightgbm/v1", "4.7.0", "digits", "= = R = ="),
    ("grid-size-8/lightgbm/v2", "3.3.5", "lightgbm-3.3.5", "X = = = ="),
    ("grid-size-8/lightgbm/v3", "2.2.3", "lightgbm-2.2.3", "≠ ≠ R ≠ ≠"),
    ("grid-size-16/lightgbm/v1", "4.0.0", "lightgbm-4.0.0", "N A = = ?"),
    ("grid-size-8/onnx/v1", "1.32.0", "digits", "R = = ="),
    ("grid-size-8/onnx/v2", "1.16.3", "onnxruntime-1.16.3", "= ~ ≈ ≈"),
    ("grid-size-8/onnx/v3", "1.20.1", "onnxruntime-1.20.1", "∴ = ∴ ∴"),
]


def example() -> Report:
    """Thirteen artifacts in thirteen environments, with every verdict, a baseline and declared breakages."""
    from timeproof.regression.reports.labels import LOOKS

    by_glyph = {look.glyph: verdict for verdict, look in LOOKS.items()}
    sites = [site(*facts) for facts in _SITES]
    subjects, cells = [], []
    for ref, version, where, glyphs in _ROWS:
        framework = ref.split("/")[1]
        home = next(s for s in sites if s.title == where)
        more: dict[str, Any] = {"tags": {"run": "42"}}
        if ref == "grid-size-8/lightgbm/v1":
            more["history"] = "identical up to LightGBM 3.3.5, refused by 4.0.0, identical again from 4.7.0"
        if ref == "grid-size-8/lightgbm/v3":
            more = {"tags": {"name": "atpe_model_tpe_filter"}, "origin": "imported"}
        subjects.append(subject(ref, version, home.name, **more))
        holding = [s for s in sites if framework in s.frameworks]
        for place, glyph in zip(holding, glyphs.split(), strict=True):
            cells.append(_judge(cell(ref, place, by_glyph[glyph], own=place == home)))
    return Report(
        schema=1,
        toolkit="0.1.0",
        archive="logs/extensions/models",
        artifacts=subjects,
        environments=sites,
        cells=cells,
        machines=[{"cpu": "AMD EPYC", "kernel": "6.18", "arch": "x86_64"}],
        fail_on="worse than the baseline; without one, drift or worse",
        baseline="baseline.json",
        gone=[
            Breakage(
                artifact="grid-size-8/xgboost/v1",
                environment="xgboost-3.0.5",
                reason="base_score was a list there",
                found="identical",
            )
        ],
        absent=[["grid-size-4/onnx/v1", "onnxruntime-1.16.3-0123456789ab"]],
        passed=not any(c.fails for c in cells),
        notes=["xgboost-1.7.6: the stored copy of the image was loaded"],
        run={"started": "2026-11-24T09:12:44Z", "seconds": 74.2, "workers": 2},
    )


def _judge(cell: Cell) -> Cell:
    """Add the baseline, what was declared, and whether the cell fails by `--fail-on drift`."""
    title = cell.environment.rpartition("-")[0]
    more: dict[str, Any] = {"baseline": cell.verdict}
    if cell.key[0] == "grid-size-8/onnx/v2" and cell.verdict is Verdict.drift:
        more["baseline"] = Verdict.rounding
    if cell.artifact == "grid-size-8/lightgbm/v2" and cell.verdict is Verdict.crashed:
        more["baseline"] = Verdict.identical
    if cell.artifact == "grid-size-8/xgboost/v1" and title == "xgboost-3.0.5":
        more["baseline"] = Verdict.broken
    if title == "onnxruntime-1.32.0":
        more["baseline"] = None
    if cell.artifact == "grid-size-8/xgboost/v1" and cell.verdict is Verdict.broken:
        more["expected"] = "XGBoost before 3 reads base_score as a number, and it is a list"
        more["facts"] = {"resaved_bytes_equal": True, "witness": {"raw_margin": "broken"}}
        more["notes"] = ["loads without an error, and every output is wrong"]
    if cell.artifact == "grid-size-8/lightgbm/v1" and cell.verdict is Verdict.refused:
        more["expected"] = "LightGBM 4.0.0 reads no file of a later version (lightgbm#6082)"
    more["fails"] = cell.verdict >= Verdict.drift and "expected" not in more
    return cell.model_copy(update=more)


def large(artifacts: int, environments: int) -> Report:
    """A report of `artifacts` × `environments` cells of one framework, one in seven not identical."""
    sites = [
        site(f"onnxruntime-1.{k}.0", {"onnx": f"1.{k}.0"}, "3.11.7", f"20{10 + k:02}-01-01")
        for k in range(environments)
    ]
    subjects = [
        subject(f"grid-size-1/onnx/v{k + 1}", "1.16.3", sites[0].name, tags={"name": f"test_case_{k:05}"})
        for k in range(artifacts)
    ]
    base = example()
    samples = [c for c in base.cells if c.artifact.split("/")[1] == "onnx" or not c.verdict.graded]
    fine = next(c for c in samples if c.verdict is Verdict.identical)

    def cells() -> Iterator[Cell]:
        for row, artifact in enumerate(subjects):
            for column, where in enumerate(sites):
                number = row * environments + column
                source = samples[number // 7 % len(samples)] if number % 7 == 3 else fine
                update = {"artifact": artifact.ref, "environment": where.name, "own": column == 0}
                yield source.model_copy(update=update)

    update = {"artifacts": subjects, "environments": sites, "cells": list(cells())}
    return base.model_copy(update=update)


def hostile() -> Report:
    """The example, with hostile words wherever a report holds words."""
    base = example()
    words = "\n".join(HOSTILE)

    def odd(k: int) -> str:
        return HOSTILE[k % len(HOSTILE)]

    names = {s.name: f"{s.name}{HOSTILE[0]}{odd(k)}" for k, s in enumerate(base.environments)}
    refs = {s.ref: f"{s.ref}{HOSTILE[1]}{odd(k)}" for k, s in enumerate(base.artifacts)}
    sites = [
        s.model_copy(
            update={
                "name": names[s.name],
                "title": s.title + odd(k),
                "packages": {**s.packages, words: words},
                "failure": words,
                "manifest": words,
                "dated": words,
            }
        )
        for k, s in enumerate(base.environments)
    ]
    subjects = [
        s.model_copy(
            update={
                "ref": refs[s.ref],
                "environment": names[s.environment],
                "tags": {words: words},
                "history": words,
                "framework_version": words,
                "python": words,
            }
        )
        for s in base.artifacts
    ]
    cells = [
        c.model_copy(
            update={
                "artifact": refs[c.artifact],
                "environment": names[c.environment],
                "reason": words,
                "log": words,
                "versions": {words: words},
                "notes": [words],
                "facts": {words: [words, {words: None}]},
                "expected": words if c.expected else None,
                "difference": _hostile_difference(c, words),
            }
        )
        for c in base.cells
    ]
    update: dict[str, Any] = {"artifacts": subjects, "environments": sites, "cells": cells}
    update |= {"archive": words, "baseline": words, "fail_on": words, "toolkit": words, "notes": [words]}
    update |= {"machines": [{words: words}], "run": {words: words}, "absent": [[words, words]]}
    update["gone"] = [Breakage(artifact=words, environment=words, reason=words, found=words)]
    return base.model_copy(update=update)


def _hostile_difference(cell: Cell, words: str) -> Any:
    """Some with hostile names, some that no comparison ever wrote."""
    if cell.difference is None:
        return {"outputs": words, "summary": {"a": 1}, "missing": {words: 1}}
    outputs = {
        words + name: {**distance, "reason": words} for name, distance in cell.difference["outputs"].items()
    }
    odd = {"verdict": words, "histogram": [words, None, -1, 1e300], "sulp": words, "shape": words}
    return {**cell.difference, "summary": words, "missing": [words], "outputs": {**outputs, "odd": odd}}
