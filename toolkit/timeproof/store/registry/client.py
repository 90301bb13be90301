"""Images in an OCI registry: pushed out of the archive's layout, pulled by digest. No engine here.

Speaks the OCI distribution specification 1.1. What a registry sends is believed only once its digest
was checked, and no more of it is read than the manifest declares; tags are written, and never read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from timeproof.base import atomic
from timeproof.base.digests import Digest
from timeproof.base.limits import LIMITS
from timeproof.base.paths import open_regular
from timeproof.base.progress import SILENT, Progress
from timeproof.errors import (
    DigestMismatch,
    Limit,
    RemoteFailed,
    SizeMismatch,
    WrongImage,
    WrongPlatform,
)
from timeproof.store import oci_layout
from timeproof.store.registry import auth as login
from timeproof.store.registry.answers import Body, Cut, require, speaking
from timeproof.store.registry.reference import Repository
from timeproof.store.remote.transfer import several
from timeproof.store.schema.v1 import ImageIdentity

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did."""

    reference: str  # HOST/NAME@sha256:…
    tag: str
    sent: int  # blobs
    there: int  # blobs that the registry had already
    bytes: int  # that were sent


class Registry:
    """One repository of one registry, spoken to with the user's own credentials."""

    def __init__(self, repository: Repository) -> None:
        import requests  # heavy: only who pushes or pulls pays for it

        self.repository = repository
        self._authorization = ""
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"  # a digest is of the bytes as they are stored
        self._session.auth = self._sign
        self._session.max_redirects = 5  # to where a registry keeps its blobs

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def pull(self, image: ImageIdentity, layout: Path, *, progress: Progress = SILENT) -> None:
        """Bring an image into a fresh OCI layout folder, every blob checked.

        Raises:
            RemoteFailed: the registry has no such image, broke off, or does not answer.
            AccessDenied: it wants another name or password.
            DigestMismatch / SizeMismatch / Limit: what it sends is not what was asked for.
            WrongImage / WrongPlatform: the image under that digest is not the recorded one.
        """
        (layout / "blobs" / "sha256").mkdir(parents=True)
        progress.step(f"Pulling the image from {self.repository}")
        self._bring(f"manifests/{image.manifest}", image.manifest, None, LIMITS.json_bytes, layout)
        (config, size), *layers = oci_layout.descriptors(layout, image)
        self._bring(f"blobs/{config}", config, size, LIMITS.json_bytes, layout)
        _require_same(image, oci_layout.read_identity(layout, image.manifest))
        wanted = dict(layers)
        if sum(wanted.values()) > LIMITS.image_bytes:
            raise Limit(f"{self.repository}@{image.manifest}", f"more than {LIMITS.image_bytes} bytes")
        self.bring_blobs(wanted, layout, progress=progress)

    def bring_blobs(
        self,
        wanted: Mapping[str, int],
        layout: Path,
        *,
        limit: int = LIMITS.layer_bytes,
        progress: Progress = SILENT,
    ) -> None:
        """Read blobs, digest → size in bytes, into a layout's folder; each whole and checked, or not at all.

        Raises RemoteFailed, AccessDenied, DigestMismatch, SizeMismatch and Limit.
        """

        def bring(digest: str) -> None:
            self._bring(f"blobs/{digest}", digest, wanted[digest], limit, layout)
            progress.detail(digest[:19])

        several(bring, wanted)

    def read_manifest(self, name: str) -> bytes:
        """Read the manifest that a tag or a digest names. A digest is checked; a tag is whatever it is now.

        Raises RemoteFailed, AccessDenied, DigestMismatch and Limit.
        """
        where = f"{self.repository}{'@' if name.startswith('sha256:') else ':'}{name}"
        for attempt in range(1, LIMITS.remote_tries + 1):
            sink = io.BytesIO()
            try:
                digest, _ = self._read(f"manifests/{name}", where, LIMITS.manifest_bytes, sink)
                break
            except Cut as cut:
                if attempt == LIMITS.remote_tries:
                    raise RemoteFailed(where, f"the transfer was cut {attempt} times: {cut}") from cut
        if name.startswith("sha256:") and digest != Digest.parse(name):
            raise DigestMismatch(where, name, digest)
        return sink.getvalue()

    def _bring(self, path: str, digest: str, size: int | None, limit: int, layout: Path) -> None:
        """Read one blob or manifest into the layout; whole and checked, or not at all."""
        where = f"{self.repository}@{digest}"
        if size is not None and not 0 <= size <= limit:
            raise Limit(where, f"{size} bytes, at most {limit}")
        target = layout / oci_layout.blob(digest)
        beside = target.with_name(f"{atomic.STAGING}{target.name}")
        for attempt in range(1, LIMITS.remote_tries + 1):
            try:
                with atomic.storage(target), beside.open("wb") as sink:
                    actual, count = self._read(path, where, limit if size is None else size, sink)
                if size is not None and count != size:
                    raise SizeMismatch(where, size, count)
                if actual != Digest.parse(digest):
                    raise DigestMismatch(where, digest, actual)
                beside.rename(target)
                return
            except Cut as cut:
                if attempt == LIMITS.remote_tries:
                    raise RemoteFailed(where, f"the transfer was cut {attempt} times: {cut}") from cut
            finally:
                beside.unlink(missing_ok=True)

    def _read(self, path: str, where: str, limit: int, sink: BinaryIO) -> tuple[Digest, int]:
        accept = {"Accept": oci_layout.MANIFEST} if path.startswith("manifests/") else {}
        with self._ask("GET", f"{self.repository.url}/{path}", accept, stream=True) as answer:
            if answer.status_code == 404:
                raise RemoteFailed(
                    where,
                    "the registry holds no such image or artifact",
                    advice=f"put it there with 'timeproof push NAME --registry {self.repository}'",
                )
            if self.repository.scheme == "https" and not answer.url.startswith("https://"):
                raise RemoteFailed(where, f"the registry sends us on to {answer.url[:200]}, without TLS")
            require(answer, where, 200)
            return Digest.of_stream(Body(answer, where, limit), sink)  # type: ignore[arg-type]

    def push(self, layout: Path, image: ImageIdentity, tag: str, *, progress: Progress = SILENT) -> Pushed:
        """Send an image, every blob checked before it goes; what is there already is not sent again.

        Args:
            tag: a name for people; whoever pulls asks by digest.

        Raises BadArchive where the layout is damaged; RemoteFailed / AccessDenied.
        """
        progress.step(f"Pushing {tag} to {self.repository}")
        oci_layout.read_identity(layout, image.manifest)
        wanted = {digest: oci_layout.blob(digest) for digest, _ in oci_layout.descriptors(layout, image)}
        sent = self.send_blobs(wanted, layout, progress=progress)
        with open_regular(layout, oci_layout.blob(image.manifest)) as stream:
            self.send_manifest(tag, stream.read(LIMITS.json_bytes))
        reference = f"{self.repository}@{image.manifest}"
        return Pushed(reference, tag, len(sent), len(wanted) - len(sent), sum(sent))

    def send_blobs(self, wanted: Mapping[str, str], root: Path, *, progress: Progress = SILENT) -> list[int]:
        """Send the blobs that the registry lacks, digest → path below `root`; gives their sizes in bytes.

        Raises DigestMismatch where a file is not the one that its digest says; RemoteFailed / AccessDenied.
        """
        sent: list[int] = []

        def send(digest: str) -> None:
            blob = self._ask("HEAD", f"{self.repository.url}/blobs/{digest}", redirects=True)
            if blob.status_code == 200:
                return
            if blob.status_code != 404:
                require(blob, f"{self.repository}@{digest}", 200)
            with open_regular(root, wanted[digest]) as stream:
                actual, size = Digest.of_stream(stream)
                if actual != Digest.parse(digest):
                    raise DigestMismatch(root / wanted[digest], digest, actual)
                self._upload(digest, stream)
            sent.append(size)
            progress.detail(digest[:19])

        several(send, wanted)
        return sent

    def send_manifest(self, tag: str, data: bytes) -> str:
        """Put a manifest under a tag; gives its digest. Raises DigestMismatch, RemoteFailed, AccessDenied."""
        where, expected = f"{self.repository}:{tag}", str(Digest.of(data))
        kind = {"Content-Type": oci_layout.MANIFEST}
        reply = self._ask("PUT", f"{self.repository.url}/manifests/{tag}", kind, body=io.BytesIO(data))
        require(reply, where, 201)
        digest = reply.headers.get("Docker-Content-Digest", expected)
        if digest != expected:
            raise DigestMismatch(where, expected, digest)
        return expected

    def _upload(self, digest: str, stream: BinaryIO) -> None:
        where = f"{self.repository}@{digest}"
        begun = self._ask("POST", f"{self.repository.url}/blobs/uploads/")
        require(begun, where, 202)
        place = urljoin(begun.url, begun.headers.get("Location", ""))
        joined = f"{place}{'&' if urlsplit(place).query else '?'}digest={digest}"
        kind = {"Content-Type": "application/octet-stream"}
        require(self._ask("PUT", joined, kind, body=stream), where, 201)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: BinaryIO | None = None,
        stream: bool = False,
        redirects: bool | None = None,
    ) -> requests.Response:
        """Ask once, and once more with credentials where the registry wants them."""
        named: dict[str, Any] = {"headers": headers, "stream": stream, "timeout": LIMITS.remote_seconds}
        if redirects is not None:
            named["allow_redirects"] = redirects
        with speaking(str(self.repository)):
            for attempt in (1, 2):
                if body is not None:
                    body.seek(0)
                answer = self._session.request(method, url, data=body, **named)
                if answer.status_code != 401 or attempt == 2:
                    break
                challenge = answer.headers.get("WWW-Authenticate", "")
                answer.close()
                host, name = self.repository.host, self.repository.name
                plain = self.repository.scheme == "http"
                scope = f"repository:{name}:pull,push"
                self._authorization = login.authorization(host, challenge, scope, plain=plain)
        return answer


def _require_same(expected: ImageIdentity, actual: ImageIdentity) -> None:
    if actual.platform != expected.platform:
        raise WrongPlatform(expected.platform, actual.platform)
    if actual.diff_ids != expected.diff_ids:
        raise WrongImage("list of layers (diff_ids)", expected.diff_ids, actual.diff_ids)
