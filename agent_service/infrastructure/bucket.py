"""A bucket: a directory that holds whole releases of a site, addressed by content.

    objects/<sha256>     what was uploaded, once each
    versions/<n>.json    a release: path -> checksum, size, media type
    CURRENT              the number of the release that is served; replacing it is the only switch

A reader sees one release or the next, never a mixture. Uploading the same release again changes nothing; an object that
does not match its own name is written again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from agent_service.files import Fence, write_atomically

VERSIONS_KEPT_MAX = 5


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a release."""

    sha256: str
    size_bytes: int
    content_type: str


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a site serves at one moment, by path without a leading slash."""

    version: int
    objects: dict[str, StoredObject]


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be stored under one path."""

    content: bytes
    content_type: str


EMPTY = Release(version=0, objects={})


class Bucket:
    """One site's bucket. Blocking: callers on an event loop use a thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._objects = directory / "objects"
        self._versions = directory / "versions"
        self._current = directory / "CURRENT"
        self._fence = Fence(directory)
        self._seen: tuple[int, Release] | None = None

    def create(self, fencing_token: int) -> None:
        """Makes the bucket, or finds it there, and proves that it can be written to."""
        with self._fence.writing(fencing_token):
            for directory in (self._objects, self._versions):
                directory.mkdir(parents=True, exist_ok=True)
            for staged in self.directory.rglob(".*.staged"):  # left by an attempt that was killed while writing
                staged.unlink(missing_ok=True)

    def current(self) -> Release:
        """The release being served; version 0, empty, before the first."""
        try:
            stamp = self._current.stat().st_mtime_ns
        except FileNotFoundError:
            return EMPTY
        if self._seen is None or self._seen[0] != stamp:
            version = int(self._current.read_text())
            content = (self._versions / f"{version}.json").read_bytes()
            self._seen = (stamp, msgspec.json.decode(content, type=Release))
        return self._seen[1]

    def object_path(self, stored: StoredObject) -> Path:
        """Where the content of `stored` is."""
        return self._objects / stored.sha256

    def put(self, upload: Upload) -> StoredObject:
        """Stores one content and reads it back against its checksum. It is served once a release names it."""
        digest = hashlib.sha256(upload.content).hexdigest()
        path = self._objects / digest
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            write_atomically(path, upload.content)
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise OSError(f"the bucket did not keep what was written under {digest}")
        return StoredObject(sha256=digest, size_bytes=len(upload.content), content_type=upload.content_type)

    def release(self, objects: dict[str, StoredObject], fencing_token: int) -> Release:
        """Serves exactly `objects` from now on. Raises StaleFenceRefused."""
        with self._fence.writing(fencing_token):
            before = self.current()
            ordered = dict(sorted(objects.items()))
            if before.version and before.objects == ordered:
                return before
            release = Release(version=before.version + 1, objects=ordered)
            write_atomically(self._versions / f"{release.version}.json", msgspec.json.encode(release))
            write_atomically(self._current, str(release.version).encode())
            self._forget_old(release.version)
            return release

    def _forget_old(self, version: int) -> None:
        kept: set[str] = set()
        for path in self._versions.glob("[0-9]*.json"):
            if int(path.stem) <= version - VERSIONS_KEPT_MAX:
                path.unlink()
            else:
                release = msgspec.json.decode(path.read_bytes(), type=Release)
                kept.update(stored.sha256 for stored in release.objects.values())
        for path in self._objects.iterdir():
            if path.name not in kept and not path.name.startswith("."):
                path.unlink()
