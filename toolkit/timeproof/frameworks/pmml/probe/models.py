"""One PMML model, of whatever kind: its scope, its answer, and what its outputs are called."""

from typing import Any, Dict, List, Optional, Tuple

from timeproof_probe.file_checks import Refused

from . import outputs
from .columns import Column
from .elements import Element
from .ensembles import evaluate_ensemble
from .predictions import Prediction
from .regressions import evaluate_regression
from .scope import Scope, data_fields, inner_scope, target_of, top_scope
from .trees import evaluate_tree

KINDS = ("MiningModel", "TreeModel", "RegressionModel")
_FRAME = frozenset({"Header", "DataDictionary", "TransformationDictionary", "MiningBuildTask", "Extension"})
_DEPTH = 32  # models within one another


def model_of(root: Element) -> Element:
    """Give the document's model, the first that is to be used. Raises Refused where it is of no kind here."""
    kinds = [child.tag for child in root.children if child.tag not in _FRAME]
    for child in root.children:
        if child.tag in KINDS and child.get("isScorable", "true") != "false":
            return child
    raise Refused(
        "it holds {}; evaluated are {}".format(", ".join(sorted(set(kinds))) or "no model", ", ".join(KINDS))
    )


class Evaluation:
    """One document, asked for some rows. `outputs`: all that has a name, in the order of its making."""

    def __init__(self, root: Element, arrays: Dict[str, Any], rows: int) -> None:
        self._depth = 0
        self.model = model_of(root)
        self.outputs: List[Tuple[str, Column]] = []
        scope = top_scope(root, self.model, arrays, rows)
        target = target_of(self.model)
        fields = data_fields(root)
        kind = fields[target].get("dataType") if target is not None and target in fields else ""
        prediction = self._answer(self.model, scope, target)
        self._add_target(prediction, target, kind)

    def _evaluate(self, model: Element, parent: Scope) -> Prediction:
        return self._answer(model, inner_scope(model, parent), target_of(model), parent)

    def _answer(
        self, model: Element, scope: Scope, target: Optional[str], parent: Optional[Scope] = None
    ) -> Prediction:
        self._depth += 1
        if self._depth > _DEPTH:
            raise Refused("models are nested more than {} deep".format(_DEPTH))
        if model.tag == "MiningModel":
            prediction = evaluate_ensemble(model, scope, self._evaluate)
        elif model.tag == "TreeModel":
            prediction = evaluate_tree(model, scope)
        elif model.tag == "RegressionModel":
            prediction = evaluate_regression(model, scope)
        else:
            raise Refused("a {} is not evaluated".format(model.tag))
        self._depth -= 1
        prediction = outputs.adjusted(model, prediction)
        for name, column in outputs.named(model, prediction, scope, target):
            if parent is not None:
                parent.set(name, column)
            self.outputs.append((name, column))
        return prediction

    def _add_target(self, prediction: Prediction, target: Optional[str], kind: str) -> None:
        names = {name for name, _ in self.outputs}
        name = target or "predicted"
        if name not in names:
            self.outputs.insert(0, (name, prediction.column(kind or "")))
        if not any(f.get("feature") == "probability" for f in outputs.output_fields(self.model)):
            for label, share in (prediction.probabilities or {}).items():
                if "probability({})".format(label) not in names:
                    self.outputs.append(
                        ("probability({})".format(label), Column(share, prediction.missing, "double"))
                    )
