"""What a regression will do, before anything runs: environments, packages, batches, what cells stand for."""

from __future__ import annotations

import dataclasses

import pytest
from support.archive_making import publish
from support.regress_making import years

from timeproof.base.digests import Digest
from timeproof.cli.render.plans import plan_json
from timeproof.environments.lock.document import Lock, Package
from timeproof.errors import NotFound
from timeproof.regression.plan import Plan, PlannedEnvironment, batches_of, cell_key, make_plan
from timeproof.runs.profiles import profile_named
from timeproof.store.index import contents
from timeproof.store.layout import Archive
from timeproof.store.packages import PackageStore
from timeproof.store.read import read_environment

XGB = "grid-size-8/xgboost/v1"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def archive(tmp_path) -> Archive:
    return years(tmp_path / "archive")


def test_two_locks_of_one_name_are_two_columns(archive, tmp_path):
    for where, version in (("a", "4.1.0"), ("b", "4.2.0")):
        folder = tmp_path / where / "lightgbm"
        folder.mkdir(parents=True)
        file = f"lightgbm-{version}-py3-none-any.whl"
        package = {"name": "lightgbm", "version": version, "manager": "pip", "platform": "linux-64"}
        wheel = Package.stored(**package, sha256=Digest.of(version.encode()), file_name=file)
        (folder / "conda-lock.yml").write_bytes(Lock.make([wheel]).to_bytes())
    plan = make_plan(archive, [str(tmp_path / "a/lightgbm"), str(tmp_path / "b/lightgbm")])
    assert [c.title for c in plan.environments] == [str(tmp_path / f"{w}/lightgbm") for w in ("a", "b")]
    assert [len(c.missing) for c in plan.environments] == [1, 1]


def test_what_two_environments_share_is_fetched_once_and_sizes_come_from_the_locks(archive, tmp_path):
    def package(name: str, version: str) -> Package:
        file = f"{name}-{version}-py3-none-any.whl"
        of = {"name": name, "version": version, "manager": "pip", "platform": "linux-64"}
        return Package.stored(**of, sha256=Digest.of(file.encode()), file_name=file)

    numpy, old, new = package("numpy", "2.0"), package("lightgbm", "4.1.0"), package("lightgbm", "4.2.0")
    for name, one, sizes in (("old", old, {}), ("new", new, {numpy.sha256: 300, new.sha256: 50})):
        (tmp_path / name).mkdir()
        lock = Lock.make([numpy, one]).with_sizes(sizes)
        (tmp_path / name / "conda-lock.yml").write_bytes(lock.to_bytes())
    plan = make_plan(archive, [str(tmp_path / "old"), str(tmp_path / "new")])
    assert plan.to_fetch() == {numpy.sha256: 300, old.sha256: None, new.sha256: 50}
    told = plan_json(plan)
    assert (told["packages_to_fetch"], told["bytes_to_fetch"]) == (3, None)
    assert [e["bytes_to_fetch"] for e in told["environments"]] == [None, 350]
    store = PackageStore(archive.packages)
    path = store.path(old.sha256, old.file_name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1234567")
    plan = make_plan(archive, [str(tmp_path / "old"), str(tmp_path / "new")])
    assert plan_json(plan)["bytes_to_fetch"] == 350
    assert [c.in_store for c in plan.environments] == [7, 0]


def test_what_is_not_there_is_said(archive):
    with pytest.raises(NotFound, match="no environment 'nothing'"):
        make_plan(archive, ["nothing"])
    with pytest.raises(NotFound, match="no artifact fits"):
        make_plan(archive, [], ["grid-size-9/*"])
    with pytest.raises(NotFound):
        make_plan(archive, [], ["grid-size-9/lightgbm"])


def test_what_runs_code_of_its_own_is_in_batches_apart_and_shared_out_from_the_second_on(small):
    for _ in range(2):
        publish(small, "pytorch", 12)
    record = read_environment(small, small.environment_names()[0])
    column = PlannedEnvironment("small", {"pytorch": "2.0", "xgboost": "3.0"}, None, record)
    plan = Plan(small, contents(small).artifacts, [column])
    batches = batches_of(plan, {"small": record}, lambda *_: True, 2)
    nets = [f"grid-size-12/pytorch/v{k}" for k in (1, 2, 3)]
    assert sorted(b.refs for b in batches) == [(nets[0], nets[2]), (nets[1],), (XGB,)]


def test_a_batch_has_one_profile(small):
    native = str(publish(small, "xgboost", profile=profile_named("native")))
    again = str(publish(small, "xgboost"))
    record = read_environment(small, small.environment_names()[0])
    environment = PlannedEnvironment("small", {"xgboost": "3.0"}, None, record)
    plan = Plan(small, contents(small).artifacts, [environment])
    batches = batches_of(plan, {"small": record}, lambda *_: True, 1)
    assert {b.profile.name: b.refs for b in batches} == {"portable": (XGB, again), "native": (native,)}


def test_only_what_is_pending_and_could_be_had_is_in_a_batch(small):
    again = publish(small, "xgboost")
    record = read_environment(small, small.environment_names()[0])
    environments = [PlannedEnvironment(t, {"xgboost": "3.0"}, None, record) for t in ("small", "failed")]
    plan = Plan(small, contents(small).artifacts, environments)
    batches = batches_of(plan, {"small": record}, lambda artifact, _: artifact.ref == again, 1)
    assert [b.refs for b in batches] == [(str(again),)]


def test_a_cell_stands_for_one_artifact_profile_lock_and_image(small):
    """So a finished cell is stale as soon as one of them is another."""
    record = read_environment(small, small.environment_names()[0])
    artifact = next(a for a in contents(small).artifacts if str(a.ref) == XGB)
    image = record.image
    other = "sha256:" + "1" * 64
    keys = [
        cell_key(artifact, record),
        cell_key(dataclasses.replace(artifact, checksum="1" * 64), record),
        cell_key(dataclasses.replace(artifact, profile_sha256="1" * 64), record),
        cell_key(dataclasses.replace(artifact, ref=publish(small, "xgboost")), record),
        cell_key(artifact, record.model_copy(update={"lock_sha256": "1" * 64})),
        cell_key(artifact, record.model_copy(update={"image": image.model_copy(update={"config": other})})),
        cell_key(artifact, record.model_copy(update={"image": image.model_copy(update={"manifest": other})})),
    ]
    assert len(set(keys)) == len(keys)
    assert cell_key(artifact, record.model_copy(update={"created": "2030-01-01T00:00:00Z"})) == keys[0]
