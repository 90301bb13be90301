"""Documents: what is written reads back, and what was altered or is odd is named by its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.archive_making import X, Y, metadata_of, publish, spell
from support.laws import examples

from timeproof.base import strictjson
from timeproof.errors import BadArchive, DigestMismatch, Limit, Malformed, NewerSchema
from timeproof.store import publish as writer
from timeproof.store import reference
from timeproof.store.layout import Archive
from timeproof.store.schema.records import (
    ArrayDistance,
    Distance,
    Facts,
    Machine,
    SealFacts,
    WitnessFacts,
    WitnessOptions,
)
from timeproof.store.schema.v1 import (
    ArraySpec,
    Copy,
    EnvironmentRecord,
    EnvironmentRef,
    FileEntry,
    Framework,
    Metadata,
    Model,
    ProfileRecord,
    Threshold,
    Witness,
)
from timeproof.testing.archives import ENVIRONMENT, IMAGE, LOCK_SHA256, publish_environment

SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
PATHS = st.lists(st.from_regex(r"[a-z]{1,8}(_v[1-9])?\.[a-z]{2,4}", fullmatch=True), min_size=2, unique=True)


def dump(record: Facts) -> dict[str, Any]:
    return record.model_dump(mode="json")


def facts_of(kind: type[Facts], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Records of a kind, each of whose fields may be absent, and fields that this toolkit does not know."""
    unknown = OBJECT.map(lambda o: {k: v for k, v in o.items() if k not in kind.model_fields})
    known = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda a, b: kind.model_validate({**a, **b}), known, unknown)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(0, 1e9) | st.sampled_from(["NaN", "Infinity"])
FIGURES = st.none() | NUMBERS
ARRAY_DISTANCES = facts_of(
    ArrayDistance,
    verdict=TEXT,
    shape=st.lists(st.integers(0, 9)),
    sulp=FIGURES,
    histogram=st.none() | st.lists(NUMBERS),
)
DISTANCES = facts_of(
    Distance,
    verdict=TEXT,
    reason=TEXT,
    outputs=st.dictionaries(TEXT, ARRAY_DISTANCES.map(dump), max_size=2),
    compared=st.dictionaries(TEXT, TEXT, max_size=2),
)
MACHINES = facts_of(Machine, cpu=TEXT, flags=st.lists(TEXT, max_size=2), libc=TEXT)
SEALS = facts_of(SealFacts, runs=st.integers(0, 9), seconds=st.lists(st.floats(0, 9), max_size=2))
WITNESS_FACTS = facts_of(WitnessFacts, distance=DISTANCES.map(dump), seconds=FIGURES)


@st.composite
def documents(draw) -> Metadata:
    paths = draw(PATHS)
    roles = ["model", "reference", *("source" for _ in paths[2:-1]), *("witness" for _ in paths[2:][-1:])]
    files = [
        FileEntry(path=p, role=r, format=draw(NAME), size=draw(st.integers(0, 2**53)), sha256=draw(SHA))
        for p, r in zip(paths, roles, strict=True)
    ]
    specs = {
        kind: [
            ArraySpec(
                name=n, member=f"{kind}_{k}", dtype="<f4", shape=[draw(st.integers(0, 9))], sha256=draw(SHA)
            )
            for k, n in enumerate(draw(st.lists(TEXT, min_size=1, max_size=3, unique=True)))
        ]
        for kind in ("input", "output")
    }
    return Metadata(
        schema=1,
        created="2026-01-02T03:04:05Z",
        grid_size=draw(st.integers(1, 2**53)),
        version=draw(st.integers(1, 2**53)),
        framework=Framework(name="onnx", version=draw(st.none() | TEXT), python=draw(TEXT)),
        model=Model(
            file=paths[0],
            module=draw(st.none() | TEXT),
            qualname=draw(st.none() | TEXT),
            init_args=draw(OBJECT),
            options=draw(OBJECT),
            source=draw(st.lists(TEXT, max_size=2)),
        ),
        files=files,
        inputs=specs["input"],
        outputs=specs["output"],
        copies=[
            Copy(
                name="onnx",
                framework="onnx",
                file=paths[0],
                options={},
                facts=draw(OBJECT),
                distance=draw(DISTANCES),
            )
        ],
        environment=EnvironmentRef(name=ENVIRONMENT, lock_sha256=LOCK_SHA256, image=IMAGE),
        profile=ProfileRecord(name="portable", threads=draw(st.none() | st.integers(1, 64)), variables={}),
        training=draw(st.none() | DISTANCES),
        machine=draw(MACHINES),
        seal=draw(SEALS),
        tags=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
        notes=draw(st.lists(TEXT, max_size=3)),
        witnesses=[
            Witness(kind="margin", file=paths[1], outputs=specs["output"][:1], facts=draw(WITNESS_FACTS)),
            *(
                Witness(
                    kind="float64",
                    file=p,
                    outputs=specs["output"],
                    options=draw(facts_of(WitnessOptions, cpu=TEXT)),
                )
                for p in paths[2:][-1:]
            ),
        ],
        thresholds=draw(st.dictionaries(st.sampled_from(get_args(Threshold)), st.floats(0, 9), max_size=3)),
    )


@given(documents())
@examples(60)
def test_what_is_written_reads_back_equal(document):
    data = document.to_bytes()
    read = Metadata.parse(data, "m.json")
    assert read.to_bytes() == data
    assert read == document.model_copy(update={"checksum": read.checksum})
    assert Metadata.parse(read.to_bytes(), "m.json") == read


@given(
    OBJECT.filter(lambda o: not set(o) & set(Metadata.model_fields) and not {"schema", "checksum"} & set(o))
)
@examples(30)
def test_what_a_later_toolkit_adds_survives_a_round_trip(written, extra):
    value = copy.deepcopy(written) | extra
    value["framework"] = value["framework"] | {"later": [1, {"deep": None}]}
    data = spell(value)
    again = Metadata.parse(data, "m.json").to_bytes()
    told = json.loads(again)
    assert {k: told[k] for k in extra} == extra
    assert told["framework"]["later"] == [1, {"deep": None}]
    assert Metadata.parse(again, "m.json").to_bytes() == again


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> dict[str, tuple[type, bytes]]:
    archive = Archive(tmp_path_factory.mktemp("papers"))
    record = publish_environment(archive)
    ref = publish(
        archive,
        tags={"run": "42"},
        copies=[
            Copy(name="c", framework="onnx", file="model_xgb_v1.json", options={}, facts={}, distance={})
        ],
        training={"verdict": "identical"},
        witnesses=[
            Witness(kind="margin", file="reference_xgb_v1.npz", outputs=reference.specs_of("output", Y))
        ],
        thresholds={"rounding": 64.0},
    )
    return {
        "metadata": (Metadata, (archive.root / ref.metadata).read_bytes()),
        "image": (EnvironmentRecord, (archive.environments / record.folder / "image.json").read_bytes()),
    }


@pytest.fixture(scope="module")
def written(papers) -> dict[str, Any]:
    return strictjson.loads(papers["metadata"][1], "m.json")


@pytest.mark.parametrize("which", ["metadata", "image"])
def test_a_flipped_bit_anywhere_is_found(papers, which):
    kind, data = papers[which]
    kind.parse(data, "d.json")
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 1 << (place % 8)
        with pytest.raises(BadArchive) as caught:
            kind.parse(bytes(altered), "d.json")
        assert isinstance(caught.value, (DigestMismatch, Malformed)), (place, caught.value)
        assert caught.value.path == "d.json"


@pytest.mark.parametrize("which", ["metadata", "image"])
def test_a_cut_document_is_found_wherever_it_is_cut(papers, which):
    kind, data = papers[which]
    for length in range(0, len(data), 7):
        with pytest.raises(BadArchive):
            kind.parse(data[:length], "d.json")


@pytest.mark.parametrize("which", ["metadata", "image"])
def test_a_document_from_the_future_asks_for_a_newer_toolkit(papers, which):
    kind, data = papers[which]
    value = strictjson.loads(data, "d.json") | {"schema": 99, "framework": "of another shape"}
    with pytest.raises(NewerSchema, match="needs a newer toolkit") as caught:
        kind.parse(spell(value), "d.json")
    assert caught.value.version == 99


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, the objects themselves included."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from places(item, (*at, k))


DEEP: list[Any] = []
for _ in range(100):
    DEEP = [DEEP]

FREE = {
    "init_args",
    "options",
    "facts",
    "signature",
}  # the user's own objects
PARTIAL = {
    "distance",
    "training",
    "machine",
    "seal",
}  # their known fields may be absent, and unknown ones are kept
ODD = {
    "null": None,
    '"false"': "false",
    "true": True,
    "-1": -1,
    "5000 digits": "DIGITS",
    "2**63": 2**63,
    "nested": {"a": [{"b": 1}]},
    "1.5": 1.5,
    "list": [[]],
}
NULLABLE = {("framework", "version"), ("model", "module"), ("model", "qualname"), ("training",)}


def accepted(at: tuple[Any, ...], what: str) -> bool:
    """Whether that odd value is a good one at that place."""
    last = at[-1]
    if any(part in FREE for part in at[:-1]) or at[0] == "checksum":
        return True
    if at == ("seal", "runs"):
        return what == "-1"
    if at in {("training", "verdict"), ("machine", "cpu")}:
        return what == '"false"'
    if last in FREE | PARTIAL:
        return what == "nested" or (what == "null" and at in NULLABLE)
    if last == "scores":
        return what in {"null", "true"}
    if what == "null":
        return at in NULLABLE or at == ("profile", "threads")
    if what == '"false"':
        text = {"python", "version", "format", "role", "name", "module", "qualname", "file", "path", "from"}
        text |= {"element", "tag", "title"}
        text |= {"framework"} if at[0] == "copies" else set()
        inside = {"tags", "variables", "notes", "source", "builder", "left_out", "distributions"}
        return last in text | inside or any(part in inside for part in at) or last == "dtype"
    if at[0] == "thresholds":
        return what == "1.5"
    if what == "list":
        return last == "dtype" or last in {"left_out"}
    return False


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("which", ["metadata", "image"])
def test_a_wrong_value_in_any_field_is_named_by_its_place(papers, which, what):
    kind, data = papers[which]
    value = strictjson.loads(data, "d.json")
    refused = 0
    for at in places(value):
        if at == ("checksum",):
            continue
        altered = copy.deepcopy(value)
        holder = altered
        for part in at[:-1]:
            holder = holder[part]
        holder[at[-1]] = ODD[what]
        spelled = with_digits(spell(altered))
        try:
            kind.parse(spelled, "d.json")
        except Limit:
            told = what in {"5000 digits", "2**63"}
        except Malformed as error:
            named = " ".join(error.issues)
            told = str(at[0]) in named or str(at[-1]) in named or "files" in named
        except NewerSchema:
            told = at == ("schema",)
        else:
            assert accepted(at, what), (at, what)
            continue
        assert told, at
        refused += 1
    assert refused > 10


def with_digits(data: bytes) -> bytes:
    """Put 5000 digits where the document says so: json.dumps itself spells no such number."""
    from timeproof.base.digests import Digest

    data = data.replace(b'"DIGITS"', b"7" * 5000)
    at = data.index(b"sha256:") + 7
    blank = data[:at] + b"0" * 64 + data[at + 64 :]
    return blank[:at] + Digest.of(blank).hex.encode() + blank[at + 64 :]


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda m: m["files"][0].update(path="../x"), "component '..'"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "absolute"),
        (lambda m: m["files"][0].update(path="a/../../x"), "component '..'"),
        (lambda m: m["files"][0].update(path="a\\..\\x"), "holds"),
        (lambda m: m["files"][0].update(path="a//b"), "component ''"),
        (lambda m: m["files"][0].update(path="C:x"), "holds ':'"),
        (lambda m: m["files"][0].update(path="a\0b"), "holds"),
        (lambda m: m["files"][0].update(path=""), "empty"),
        (lambda m: m["files"].append(m["files"][0]), "listed twice"),
        (lambda m: m["files"].append(m["files"][0] | {"path": m["files"][0]["path"].upper()}), "same file"),
        (lambda m: m["model"].update(file="elsewhere.json"), "not among the files"),
        (lambda m: m["copies"][0].update(file="../model.onnx"), "not among the files"),
        (lambda m: m["inputs"][0].update(member="input_7"), "input 0 is member"),
        (lambda m: m["inputs"][0].update(member="../x"), "inputs[0].member"),
        (lambda m: m["witnesses"][0].update(file="model_xgb_v1.json"), "witnesses[0]: 'model_xgb_v1.json'"),
        (lambda m: m["witnesses"][0].update(file="elsewhere.npz"), "witnesses[0]: 'elsewhere.npz'"),
        (lambda m: m["witnesses"][0].update(outputs=[]), "witnesses[0]: its outputs"),
        (lambda m: m["witnesses"][0]["outputs"][0].update(name="z"), "witnesses[0]: its outputs"),
        (lambda m: m["witnesses"][0].update(kind="float64"), "is no witness of the files"),
        (lambda m: m["witnesses"][0].update(kind="a guess"), "witnesses[0].kind"),
        (lambda m: m["thresholds"].update(rounding=-1), "thresholds.rounding"),
        (lambda m: m["thresholds"].update(charity=1), "thresholds.charity"),
        (lambda m: m["environment"].update(name="../../etc-0123456789ab"), "environment.name"),
        (lambda m: m.pop("outputs"), "outputs"),
        (lambda m: m["environment"]["image"]["diff_ids"].append("sha256:"), "environment.image.diff_ids[2]"),
        (lambda m: m["environment"]["image"].update(manifest="sha512:" + "0" * 64), "image.manifest"),
    ],
)
def test_a_sealed_lie_in_metadata_is_refused_with_its_place(written, edit, place):
    value = copy.deepcopy(written)
    edit(value)
    with pytest.raises(Malformed) as caught:
        Metadata.parse(spell(value), "m.json")
    assert place in " ".join(caught.value.issues), caught.value.issues


def test_metadata_without_a_reference_is_malformed(written):
    """A replay would have nothing to compare with, and would not know."""
    value = copy.deepcopy(written)
    value["files"] = [f for f in value["files"] if f["role"] != "reference"]
    with pytest.raises(Malformed, match="reference"):
        Metadata.parse(spell(value), "m.json")


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_two_arrays_of_one_name_are_malformed(written, kind):
    """The second would silently take the first one's place, and half the answer go uncompared."""
    value = copy.deepcopy(written)
    first = value[kind][0]
    value[kind].append(first | {"member": first["member"][:-1] + "1"})
    with pytest.raises(Malformed, match="two have one name"):
        Metadata.parse(spell(value), "m.json")


@pytest.mark.parametrize("name", ["../x.whl", "/x.whl", "a/../../x.whl", "a\\b.whl", "", "x.whl\0"])
def test_a_package_that_lies_elsewhere_is_refused(papers, name):
    value = strictjson.loads(papers["image"][1], "image.json")
    value["packages"][0]["file"] = name
    with pytest.raises(Malformed):
        EnvironmentRecord.parse(spell(value), "image.json")


def test_all_issues_of_a_document_are_listed_at_once(written):
    value = copy.deepcopy(written)
    value["grid_size"], value["version"], value["created"] = True, "1", "yesterday"
    with pytest.raises(Malformed) as caught:
        Metadata.parse(spell(value), "m.json")
    for field in ("grid_size", "version", "created"):
        assert any(i.startswith(field) for i in caught.value.issues)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'"grid_size": NaN', Malformed),
        (b'"grid_size": Infinity', Malformed),
        (b'"grid_size": 1e999', Malformed),
        (b'"grid_size": 8, "grid_size": 8', Malformed),
        (b'"grid_size": "\\ud800"', Malformed),
        (b'"grid_size": ' + b"[" * 200_000, Limit),
        (b'"grid_size": ' + b"9" * 5000, Limit),
        (b'"grid_size": -9223372036854775809', Limit),
        (b'"grid_size": "\xff"', Malformed),
        (b'"grid_size": 8,', Malformed),
    ],
    ids=lambda v: v[:28].decode("latin-1") if isinstance(v, bytes) else "",
)
def test_json_that_is_doubtful_is_refused(papers, text, error):
    from timeproof.base.digests import Digest

    data = papers["metadata"][1].replace(b'"grid_size": 8', text, 1)
    at = data.index(b"sha256:") + 7
    blank = data[:at] + b"0" * 64 + data[at + 64 :]
    data = blank[:at] + Digest.of(blank).hex.encode() + blank[at + 64 :]
    with pytest.raises(error):
        Metadata.parse(data, "m.json")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xef\xbb\xbf{}", b"\0" * 100, b"PK\3\4"], ids=repr
)
def test_what_is_no_document_is_malformed(data):
    with pytest.raises(Malformed):
        Metadata.parse(data, "m.json")


@pytest.mark.parametrize(
    "machine",
    [{"ram": 2**60}, {"load": float("nan")}, {"name": "\ud800"}, {"deep": DEEP}],
    ids=["a big number", "NaN", "a lone surrogate", "deep nesting"],
)
def test_nothing_is_published_that_could_not_be_read_back(tmp_path, machine):
    """The container says what machine it is, and what it says is not to be believed."""
    archive = Archive(tmp_path)
    with pytest.raises(BadArchive):
        publish(archive, machine=machine)
    assert not list(archive.refs())
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]


def test_the_reference_of_a_document_describes_its_arrays(tmp_path):
    archive = Archive(tmp_path)
    with writer.draft(archive, 8, "xgboost") as draft:
        (draft.folder / "model_xgb_v1.json").write_bytes(b"")
        (draft.folder / "reference_xgb_v1.npz").write_bytes(b"")
        files = [
            writer.entry(draft.folder, "model_xgb_v1.json", "model", "json"),
            writer.entry(draft.folder, "reference_xgb_v1.npz", "reference", "npz"),
        ]
        told = metadata_of(draft, files)
    assert told.inputs == reference.specs_of("input", X)
    assert told.outputs == reference.specs_of("output", Y)
    assert told.file("model").path == "model_xgb_v1.json"


def test_two_references_are_malformed(written):
    """Which of them is compared would be chance."""
    value = copy.deepcopy(written)
    (entry,) = [f for f in value["files"] if f["role"] == "reference"]
    value["files"].append(entry | {"path": "another.npz"})
    with pytest.raises(Malformed, match="not one reference"):
        Metadata.parse(spell(value), "m.json")


@pytest.mark.parametrize("name", ["../qemu", "/usr/bin/qemu", "a/qemu", ".qemu", "-qemu", ""])
def test_an_emulator_that_lies_elsewhere_is_refused(written, name):
    value = copy.deepcopy(written)
    value["emulators"] = [
        {"file": name, "version": "10.0", "machine": "x86_64", "size": 1, "sha256": "0" * 64}
    ]
    with pytest.raises(Malformed):
        Metadata.parse(spell(value), "m.json")
    value["emulators"][0]["file"] = "qemu-x86_64"
    assert Metadata.parse(spell(value), "m.json").emulators[0].file == "qemu-x86_64"


@pytest.mark.parametrize("change", [{"shape": [7]}, {"dtype": "<f2"}, {"sha256": "1" * 64}])
def test_a_margin_whose_arrays_are_not_the_references_own_is_refused(written, change):
    """Its name alone is not enough: the margin is judged on the reference's own bytes."""
    value = copy.deepcopy(written)
    (reference,) = [f["path"] for f in value["files"] if f["role"] == "reference"]
    value["witnesses"] = [{"kind": "margin", "file": reference, "outputs": [value["outputs"][0]]}]
    assert Metadata.parse(spell(value), "m.json").witnesses[0].kind == "margin"
    value["witnesses"][0]["outputs"] = [value["outputs"][0] | change]
    with pytest.raises(Malformed, match="none of the reference's"):
        Metadata.parse(spell(value), "m.json")


@pytest.mark.parametrize("name", ["folder/x.whl", ".x.whl", "-x.whl"])
def test_a_package_whose_name_is_no_single_component_is_refused(papers, name):
    value = strictjson.loads(papers["image"][1], "image.json")
    value["packages"][0]["file"] = name
    with pytest.raises(Malformed):
        EnvironmentRecord.parse(spell(value), "image.json")
