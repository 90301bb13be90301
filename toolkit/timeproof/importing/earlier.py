"""Which imports are the same: an archive's earlier imports, found again by what the same case would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from timeproof.errors import BadArchive
from timeproof.replaying.scores import scores_of
from timeproof.store.layout import Archive, Ref
from timeproof.store.read import read_metadata
from timeproof.store.schema.v1 import Metadata

_Key = tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]], str, str]


class EarlierImports:
    """The artifacts of one grid size and framework that were imported before."""

    def __init__(self, archive: Archive, grid_size: int, framework: str) -> None:
        """Read their metadata. One that can't be read is never the same as another."""
        self._by_key: dict[_Key, list[tuple[Ref, Metadata]]] = {}
        for ref, metadata in _imports(archive, grid_size, framework):
            self._by_key.setdefault(_key(metadata), []).append((ref, metadata))

    def locate(self, metadata: Metadata, scores: Sequence[str]) -> Ref | None:
        """Return the artifact that is the same and has at least these outputs marked as class scores."""
        for ref, earlier in self._by_key.get(_key(metadata), ()):
            marked = {name for name, is_scores in scores_of(earlier.outputs).items() if is_scores}
            if marked.issuperset(scores):
                return ref
        return None


def _imports(archive: Archive, grid_size: int, framework: str) -> Iterator[tuple[Ref, Metadata]]:
    for version, tag in archive.tags(grid_size, framework).items():
        ref = Ref(grid_size, framework, version, tag)
        try:
            metadata = read_metadata(archive, ref)
        except BadArchive:  # `verify` reports it
            continue
        if metadata.reference.origin == "imported":
            yield ref, metadata


def _key(metadata: Metadata) -> _Key:
    """What two imports of the same case share: the files' bytes, tags, environment, the loader's options."""
    return (
        frozenset((f.role, f.sha256) for f in metadata.files),
        frozenset(metadata.tags.items()),
        metadata.environment.lock_sha256,
        repr(dict(metadata.model.options)),
    )
