"""PMML files, looked at on the host: what they say, and what in them is refused before it is used."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from support.field_documents import SCHEMA, STUMP, pmml, tree, verified

from timeproof.errors import BadRequest, NotArchivable, NotFound, NotImportable
from timeproof.frameworks.file_bytes import ModelFile
from timeproof.frameworks.pmml import documents
from timeproof.frameworks.pmml.importing import IMPORTER
from timeproof.frameworks.pmml.probe import elements
from timeproof.frameworks.pmml.probe.elements import BadPmml

_BODY = "<PMML version='4.4'><Header/></PMML>"
_HOSTILE = {
    "entities": f"<!DOCTYPE PMML [<!ENTITY a '{'b' * 100}'><!ENTITY c '{'&a;' * 100}'>]>{_BODY}",
    "a grammar": f"<!DOCTYPE PMML SYSTEM 'http://nowhere.example/pmml.dtd'>{_BODY}",
    "an external entity": f"<!DOCTYPE PMML [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>{_BODY}",
    "an unknown entity": "<PMML version='4.4'>&later;</PMML>",
    "a cut file": _BODY[:-4],
    "nothing": "",
    "another element": "<html></html>",
    "two elements": _BODY + _BODY,
    "a control character": "<PMML version='4.4'>\x00</PMML>",
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_hostile_xml_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadPmml) as caught:
        elements.parse(io.BytesIO(text.encode()))
    assert len(str(caught.value)) < 200


def test_depth_and_number_of_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "<PMML>" + "<Node>" * 6000 + "</Node>" * 6000 + "</PMML>"
    with pytest.raises(BadPmml, match="5000 deep"):
        elements.parse(io.BytesIO(deep.encode()))
    hidden = "<PMML><Extension>" + "<a>" * 6000 + "</a>" * 6000 + "</Extension></PMML>"
    with pytest.raises(BadPmml, match="5000 deep"):
        elements.parse(io.BytesIO(hidden.encode()))
    monkeypatch.setattr(elements, "COUNT", 10)
    with pytest.raises(BadPmml, match="more than 10 elements"):
        elements.parse(io.BytesIO(("<PMML>" + "<a/>" * 10 + "</PMML>").encode()))
    monkeypatch.setattr(elements, "BYTES", 100)
    with pytest.raises(BadPmml, match="more than 100 bytes"):
        elements.parse(io.BytesIO(b"<PMML>" + b" " * 100 + b"</PMML>"))


def test_a_prefix_and_another_encoding_change_nothing() -> None:
    text = pmml(tree()).decode().replace('"1.0"?', '"1.0" encoding="UTF-16"?')
    assert elements.parse(io.BytesIO(text.encode("utf-16"))).first("TreeModel") is not None
    prefixed = "<p:PMML xmlns:p='http://www.dmg.org/PMML-4_4'><p:Header/></p:PMML>"
    assert [child.tag for child in elements.parse(io.BytesIO(prefixed.encode())).children] == ["Header"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pmml(tree()), True),
        (b"\xef\xbb\xbf" + pmml(tree()), True),
        (b"<!-- words -->\n<PMML version='4.2'>", True),
        (pmml(tree()).decode().encode("utf-16"), True),
        (b"<html>PMML</html>", False),
        (b'{"PMML": 1}', False),
        (b"", False),
    ],
)
def test_a_document_is_known_by_its_bytes(data: bytes, expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert documents.sniff(ModelFile.at(path)) is expected


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "model.pmml"
    path.write_bytes(data)
    return path


def test_a_document_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    output = (
        '<Output><OutputField name="p" feature="predictedValue"/>'
        '<OutputField name="node" feature="entityId"/></Output>'
    )
    document = documents.read(_file(tmp_path, pmml(tree(output=output))))
    assert document.fields == {"x": "double", "c": "string"}
    assert document.outputs == ("p",)
    assert document.left_out == ("node",)
    assert (document.version, document.kind, document.target) == ("4.4", "TreeModel", "y")


def test_what_cant_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        documents.read(tmp_path / "absent.pmml")
    with pytest.raises(NotArchivable, match="no field 'x'"):
        documents.read(_file(tmp_path, pmml(tree(), fields="")))
    dated = '<DataField name="x" dataType="dateTime"/><DataField name="c" dataType="string"/>'
    with pytest.raises(NotArchivable, match="x: dateTime"):
        documents.read(_file(tmp_path, pmml(tree(), fields=dated)))
    with pytest.raises(NotArchivable, match="Scorecard"):
        documents.read(_file(tmp_path, pmml("<Scorecard/>")))


def test_a_files_own_verification_is_its_reference(tmp_path: Path) -> None:
    answers = IMPORTER.read_own_answers(_file(tmp_path, verified()))
    assert {name: array.tolist() for name, array in answers.inputs.arrays.items()} == {
        "x": [-1.0, 2.0],
        "c": ["red", ""],
    }
    assert answers.outputs.arrays["y"].tolist() == [1.5, 2.5]
    assert answers.outputs.arrays["y"].dtype == np.float64
    assert answers.notes == (
        "the answers are the file's own ModelVerification, 2 rows; it states a precision of 1e-6",
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pmml(tree()), "no ModelVerification"),
        (verified("word"), "'word' is no value"),
        (pmml(tree(STUMP + "<ModelVerification/>")), "0 rows"),
        (
            verified().replace(b'field="x" column="a"', b'field="w" column="a"'),
            "no field 'x'",
        ),
        (verified()[:-60], "no XML"),
    ],
)
def test_a_verification_that_cant_be_read_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match=words):
        IMPORTER.read_own_answers(_file(tmp_path, data))


def test_arrays_beside_a_file_are_taken_by_their_names(tmp_path: Path) -> None:
    numbers = SCHEMA.replace('<MiningField name="c"/>', "")
    path = _file(tmp_path, pmml(tree(schema=numbers)))
    (tmp_path / "x.csv").write_text("other,x\n1,-1\n2,3\n")
    np.savez(tmp_path / "y.npz", y=np.array([1.5, 2.5]))
    answers = IMPORTER.read_answers(path, tmp_path / "x.csv", tmp_path / "y.npz", None)
    assert answers.inputs.arrays["x"].tolist() == [-1.0, 3.0]
    assert answers.options == {"outputs": ["y"]}
    with pytest.raises(BadRequest, match="--trees 3"):
        IMPORTER.read_answers(path, tmp_path / "x.csv", tmp_path / "y.npz", 3)
    (tmp_path / "x.csv").write_text("other\n1\n")
    with pytest.raises(NotImportable, match="no column 'x'"):
        IMPORTER.read_table(path, tmp_path / "x.csv")
