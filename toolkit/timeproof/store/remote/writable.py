"""An archive in a bucket that is written to: made here in the mirror, uploaded when it is published."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from timeproof.base.progress import SILENT, Progress
from timeproof.errors import NotFound, StorageFailed
from timeproof.store import oci_layout
from timeproof.store.claims import Claim, check_claim
from timeproof.store.layout import Archive
from timeproof.store.remote.address import address_of
from timeproof.store.remote.bucket import Bucket, bucket_at, require_conditions
from timeproof.store.remote.bucket_storage import BucketStorage
from timeproof.store.remote.mirror import Mirror
from timeproof.store.remote.transfer import several
from timeproof.store.schema.v1 import ImageIdentity

_INDEX_TRIES = 100  # times that the list of images is written anew, because another writer was faster


def open_to_write(place: str | Path, *, progress: Progress = SILENT) -> Archive:
    """Open an archive to publish into it: a folder, or an address such as `s3://bucket/models`.

    Raises:
        BadRequest: nothing can be written safely to that kind of address.
        AccessDenied / RemoteFailed.
    """
    address = address_of(place)
    if address is None:
        return Archive(place)
    archive = WritableMirror(address, progress)
    archive.refresh(progress)
    return archive


class WritableMirror(Mirror):
    """A mirror whose archive can be published into. See `Archive` and `Mirror`."""

    def __init__(self, address: str, progress: Progress = SILENT) -> None:
        super().__init__(address)
        self._progress = progress
        self.bucket: Bucket = bucket_at(address, self._fs, self._base)
        self._tried = False  # whether its server keeps to conditions

    def refresh(self, progress: Progress = SILENT) -> None:
        with suppress(NotFound):  # the first artifact makes it an archive
            super().refresh(progress)

    def public_path(self, path: str) -> str:
        relative = Path(path)
        if relative.is_relative_to(self.root):
            return f"{self.address}/{relative.relative_to(self.root).as_posix()}"
        return path

    def storage(self, folder: str) -> BucketStorage:
        self._require_conditions()
        return BucketStorage(self.bucket, folder, self.root / folder)

    def _require_conditions(self) -> None:
        if not self._tried:
            require_conditions(self.bucket)
            self._tried = True

    def deposit(self, claims: Iterable[Claim], image: ImageIdentity | None = None) -> None:
        wanted = {claim.path: claim for claim in claims}
        if image is not None:
            wanted |= {claim.path: claim for claim in oci_layout.claims(self.images, image)}
        if wanted:
            self._require_conditions()
            self._progress.step(f"Uploading what {self.address} lacks of {len(wanted)} packages and blobs")
        several(self._upload, wanted.values())
        if image is not None:
            self.bucket.create("images/oci-layout", oci_layout.LAYOUT)
            self._list_image(image)

    def _upload(self, claim: Claim) -> None:
        """Upload a file that lies under its digest, unless it is there. One of another length is mended."""
        file = self.root / claim.path
        size = self.bucket.size(claim.path)
        if size is not None and size == (claim.size if claim.size is not None else file.stat().st_size):
            return
        finding = check_claim(self.root, claim)
        if finding is not None:
            raise finding
        if size is None:
            self.bucket.create(claim.path, file)
        else:
            self.bucket.overwrite(claim.path, file)
        self._progress.detail(claim.path.rpartition("/")[2])

    def _list_image(self, image: ImageIdentity) -> None:
        path = "images/index.json"
        for _ in range(_INDEX_TRIES):
            content = self.bucket.read(path)
            data, tell = content if content is not None else (None, "")
            index = oci_layout.with_image(data, self.images, image, f"{self.address}/{path}")
            if index == data:
                return
            if self.bucket.create(path, index) if data is None else self.bucket.replace(path, index, tell):
                return
        raise StorageFailed(f"{self.address}/{path}", "other writers change it all the time")
