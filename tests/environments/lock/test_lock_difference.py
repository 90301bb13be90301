"""What differs between two locks: every package that came, went or changed, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timeproof.base.digests import Digest
from timeproof.environments.lock.difference import differences
from timeproof.environments.lock.document import Lock, Package


def package(name: str, version: str, content: str = "", manager: str = "pip") -> Package:
    return Package.stored(
        name=name,
        version=version,
        manager=manager,  # type: ignore[arg-type]
        platform="linux-64",
        sha256=Digest.of(f"{name} {version} {content}".encode()),
        file_name=f"{name}-{version}{content}.whl",
    )


LOCKS = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(st.sampled_from("123"), st.sampled_from(["", "x"])), max_size=5
).map(lambda rows: Lock.make(package(name, *row) for name, row in rows.items()))


def test_each_kind_of_change_is_told_and_the_interpreter_comes_first() -> None:
    python = package("python", "3.11.7", manager="conda")
    before = Lock.make([python, package("gone", "1"), package("same", "1"), package("kept", "1")])
    other = package("python", "3.11.2", manager="conda")
    after = Lock.make([other, package("came", "2"), package("same", "1"), package("kept", "1", "-rebuilt")])
    changes = differences(before, after)
    assert [(c.package.name, c.kind, *c.labels()) for c in changes] == [
        ("python", "version", "3.11.7", "3.11.2"),
        ("came", "added", "", "2"),
        ("gone", "removed", "1", ""),
        ("kept", "file", "kept-1.whl", "kept-1-rebuilt.whl"),
    ]
    assert changes[0].to_json() == {
        "name": "python",
        "platform": "linux-64",
        "change": "version",
        "before": "3.11.7",
        "before_file": "python-3.11.7.whl",
        "before_sha256": python.sha256.hex,
        "after": "3.11.2",
        "after_file": "python-3.11.2.whl",
        "after_sha256": other.sha256.hex,
    }


@given(LOCKS, LOCKS)
def test_there_is_none_from_a_lock_to_itself_and_the_way_back_swaps_the_sides(a: Lock, b: Lock) -> None:
    assert differences(a, a) == ()
    there, back = differences(a, b), differences(b, a)
    assert [(c.before, c.after) for c in there] == [(c.after, c.before) for c in back]
    assert bool(there) == (a.packages != b.packages)
