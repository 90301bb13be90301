"""An ensemble of trees as a PMML document, and what of it answers which of the model's outputs. No IO here.

Each tree is a TreeModel whose thresholds and leaves are the library's own numbers. Sums are in the library's
order; where it adds up in float32, the models carry `x-mathContext="float"`, the extension that PMML engines
have for it, and their outputs are of the type float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from timeproof.base.strictjson import Json
from timeproof.frameworks.pmml.tree_writer import TreeWriter, treatment
from timeproof.frameworks.pmml.verification import Verification
from timeproof.frameworks.pmml.xml_lines import XmlLines, spell
from timeproof.frameworks.trees.ensemble import Ensemble, Feature, Tree
from timeproof.version import VERSION

NAMESPACE = "http://www.dmg.org/PMML-4_4"
_NORMALISATIONS = {
    "identity": "none",
    "exp": "exp",
    "logistic": "logit",
    "each": "logit",
    "softmax": "softmax",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A document, and the records of its outputs (see timeproof_probe.table_fields), by the model's names."""

    data: bytes
    outputs: list[Json]


def document_of(ensemble: Ensemble, verification: Verification | None = None) -> Written:
    """Write an ensemble."""
    return _Document(ensemble, verification).write()


@dataclass(slots=True)
class _Document:
    ensemble: Ensemble
    verification: Verification | None
    xml: XmlLines = field(default_factory=XmlLines)

    @property
    def _type(self) -> str:
        return "float" if self.ensemble.single else "double"

    @property
    def _context(self) -> str | None:
        return "float" if self.ensemble.single else None

    @property
    def _target(self) -> str:
        return self._free("y")

    def _free(self, name: str) -> str:
        """Give a field's name that no feature has."""
        names = {feature.name for feature in self.ensemble.features}
        while name in names:
            name += "_"
        return name

    @property
    def _classifies(self) -> bool:
        return bool(self.ensemble.classes)

    def write(self) -> Written:
        xml, ensemble = self.xml, self.ensemble
        with xml.element("PMML", xmlns=NAMESPACE, version="4.4"):
            with xml.element("Header", description=f"{ensemble.library} model, copied by timeproof"):
                xml.leaf("Application", name="timeproof", version=VERSION)
            self._dictionary()
            self._model()
        return Written(xml.to_bytes(), self._outputs())

    def _dictionary(self) -> None:
        features, xml = self.ensemble.features, self.xml
        with xml.element("DataDictionary", numberOfFields=str(len(features) + 1)):
            for feature in features:
                self._data_field(feature)
            if self._classifies:
                with xml.element("DataField", name=self._target, optype="categorical", dataType="string"):
                    for name in self.ensemble.classes:
                        xml.leaf("Value", value=name)
            else:
                xml.leaf("DataField", name=self._target, optype="continuous", dataType=self._type)

    def _data_field(self, feature: Feature) -> None:
        kind = "float" if feature.single else "double"
        if feature.coded:
            self.xml.leaf("DataField", name=feature.name, optype="categorical", dataType="integer")
        elif feature.categories is not None:
            with self.xml.element("DataField", name=feature.name, optype="categorical", dataType="string"):
                for name in feature.categories:
                    self.xml.leaf("Value", value=name)
        elif self.ensemble.missing_value is not None:
            with self.xml.element("DataField", name=feature.name, optype="continuous", dataType=kind):
                self.xml.leaf("Value", value=spell(self.ensemble.missing_value), property="missing")
        else:
            self.xml.leaf("DataField", name=feature.name, optype="continuous", dataType=kind)

    def _schema(self, *, target: bool = False) -> None:
        with self.xml.element("MiningSchema"):
            if target:
                self.xml.leaf("MiningField", name=self._target, usageType="target")
            for feature in self.ensemble.features:
                self.xml.leaf("MiningField", name=feature.name, **treatment(feature))

    # --- the model ------------------------------------------------------------------------------

    def _model(self) -> None:
        ensemble = self.ensemble
        if ensemble.link == "shares":
            self._forest(ensemble.groups[0])
        elif ensemble.link == "identity" and ensemble.scale == 1.0:
            names = [self._answer] if ensemble.answer else []
            self._sum(ensemble.groups[0], [*names, *([self._raw(0)] if ensemble.raw else [])], outermost=True)
        else:
            self._chain()

    def _forest(self, trees: Sequence[Tree]) -> None:
        """Trees whose leaves hold shares of classes: their mean."""
        with self.xml.element("MiningModel", functionName="classification"):
            self._schema(target=True)
            self._probabilities()
            self._segmentation("average", trees)
            self._verify()

    def _sum(self, trees: Sequence[Tree], names: Sequence[str], *, outermost: bool = False) -> None:
        with self.xml.element("MiningModel", functionName="regression", x_mathContext=self._context):
            self._schema(target=outermost)
            with self.xml.element("Output"):
                for name in names:
                    self.xml.leaf(
                        "OutputField",
                        name=name,
                        optype="continuous",
                        dataType=self._type,
                        feature="predictedValue",
                    )
            if outermost:  # it changes nothing, but there are readers that can't do without
                with self.xml.element("Targets"):
                    self.xml.leaf("Target", field=self._target, rescaleConstant="0.0")
            self._segmentation("average" if self.ensemble.average else "sum", trees)
            if outermost:
                self._verify()

    def _segmentation(self, method: str, trees: Sequence[Tree]) -> None:
        writer = TreeWriter(self.xml, self.ensemble)
        with self.xml.element("Segmentation", multipleModelMethod=method):
            for k, tree in enumerate(trees):
                with self.xml.element("Segment", id=str(k + 1)):
                    self.xml.leaf("True")
                    writer.tree(tree)

    def _chain(self) -> None:
        """The sums, one after the other, and then what becomes of them."""
        function = "classification" if self._classifies else "regression"
        groups = self.ensemble.groups
        with self.xml.element("MiningModel", functionName=function, x_mathContext=self._context):
            self._schema(target=True)
            with self.xml.element("Segmentation", multipleModelMethod="modelChain"):
                for k, trees in enumerate(groups):
                    with self.xml.element("Segment", id=str(k + 1)):
                        self.xml.leaf("True")
                        self._sum(trees, [self._raw(k)])
                with self.xml.element("Segment", id=str(len(groups) + 1)):
                    self.xml.leaf("True")
                    self._link(function)
            self._verify()

    def _raw(self, group: int) -> str:
        base = self.ensemble.raw or "raw"
        return self._free(base if len(self.ensemble.groups) == 1 else f"{base}_{group}")

    @property
    def _answer(self) -> str:
        return self._free(self.ensemble.answer)

    def _link(self, function: str) -> None:
        ensemble, xml = self.ensemble, self.xml
        method = _NORMALISATIONS[ensemble.link]
        raws = [self._raw(k) for k in range(len(ensemble.groups))]
        with xml.element(
            "RegressionModel", functionName=function, normalizationMethod=method, x_mathContext=self._context
        ):
            with xml.element("MiningSchema"):
                xml.leaf("MiningField", name=self._target, usageType="target")
                for raw in raws:
                    xml.leaf("MiningField", name=raw)
            if self._classifies:
                self._probabilities()
                # Of two classes, the second's is the value that there is; PMML's first table has it.
                classes = ensemble.classes if len(raws) > 1 else ensemble.classes[::-1]
                for k, name in enumerate(classes):
                    self._table(raws[k] if k < len(raws) else None, name)
            else:
                with xml.element("Output"):
                    self._output(self._answer, "predictedValue")
                self._table(raws[0], None)

    def _table(self, raw: str | None, category: str | None) -> None:
        if raw is None:
            self.xml.leaf("RegressionTable", intercept="0.0", targetCategory=category)
            return
        with self.xml.element("RegressionTable", intercept="0.0", targetCategory=category):
            self.xml.leaf("NumericPredictor", name=raw, coefficient=spell(self.ensemble.scale))

    def _probabilities(self) -> None:
        with self.xml.element("Output"):
            self.xml.leaf(
                "OutputField",
                name=self._label,
                optype="categorical",
                dataType="string",
                feature="predictedValue",
            )
            for name in self.ensemble.classes:
                self._output(self._share(name), "probability", name)

    @property
    def _label(self) -> str:
        return self._free(f"predicted_{self._target}")

    def _output(self, name: str, feature: str, value: str | None = None) -> None:
        self.xml.leaf(
            "OutputField",
            name=name,
            optype="continuous",
            dataType=self._type,
            feature=feature,
            value=value,
        )

    # --- what answers what ----------------------------------------------------------------------

    def _outputs(self) -> list[Json]:
        ensemble = self.ensemble
        dtype = "<f4" if ensemble.single else "<f8"
        records: list[Json] = []
        if ensemble.label:
            label: dict[str, Json] = {"name": ensemble.label, "fields": [self._label]}
            if ensemble.label_dtype not in {"", "U"}:
                label["dtype"] = ensemble.label_dtype
            records.append({**label, "table": True} if ensemble.label_table else label)
        if ensemble.answer:
            records.append({"name": ensemble.answer, "fields": [*self._answer_fields()], "dtype": dtype})
        if ensemble.raw:
            raws: list[Json] = [self._raw(k) for k in range(len(ensemble.groups))]
            records.append({"name": ensemble.raw, "fields": raws, "dtype": dtype})
        return records

    def _answer_fields(self) -> list[str]:
        if self.ensemble.shape == "label":
            return [self._label]
        if not self._classifies:
            return [self._answer]
        return [self._share(name) for name in self.ensemble.classes]

    def _share(self, name: str) -> str:
        return self._free(f"probability({name})")

    def _verify(self) -> None:
        if self.verification is None:
            return
        fields = {
            str(field_name): (str(record["name"]), k, len(record["fields"]))
            for record in self._outputs()
            if isinstance(record, dict) and isinstance(record["fields"], list)
            for k, field_name in enumerate(record["fields"])
        }
        self.verification.write(self.xml, self.ensemble, fields)
