"""Release files under the SHA-256 of their bytes: written once, synced before anything names them, never altered."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from registry.durable import to_disk
from registry.errors import Busy, Damaged

_CHUNK = 1 << 20


class Blob(NamedTuple):
    """What identifies a stored file: SHA-256 in lower-case hexadecimal, size in bytes."""

    sha256: str
    size: int


class Blobs:
    """A folder of files named by their content: ``sha256/ab/abcd…``; what is being written stands in ``tmp``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[str, tuple[int, int, int]] = {}
        self._on_disk: set[Path] = set()

    def write(self, pieces: Iterable[bytes]) -> Blob:
        """Store the bytes and return once they, their name and its folder are on disk.

        :raises Busy: if there is no room.
        """
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(dir=temporary, prefix=f"{os.getpid()}-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                for chunk in _chunks(pieces):
                    digest.update(chunk)
                    size += len(chunk)
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            path = self._path(digest.hexdigest())
            path.parent.mkdir(parents=True, exist_ok=True)
            Path(name).replace(path)
            to_disk(path.parent)
            self._see_on_disk(path.parent)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise Busy(f"release files: {error.strerror}") from error
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Blob(digest.hexdigest(), size)

    def _see_on_disk(self, folder: Path) -> None:
        """Sync the name of a folder, and of those above it up to the one that was given, unless this was done before.

        A folder that is there already may be the work of a writer that died before it synced its name.
        """
        while folder != self.folder.parent and folder not in self._on_disk:
            to_disk(folder.parent)
            self._on_disk.add(folder)
            folder = folder.parent

    def path(self, blob: Blob) -> Path:
        """Where the file stands, its bytes checked: once for as long as the file is not touched.

        :raises Damaged: if it is missing or its bytes are not those that were stored.
        """
        path = self._path(blob.sha256)
        try:
            found = path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_size)
            if self._checked.get(blob.sha256) != mark:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                if digest != blob.sha256 or found.st_size != blob.size:
                    raise Damaged(f"file {blob.sha256} is altered")
                self._checked[blob.sha256] = mark
        except FileNotFoundError as error:
            raise Damaged(f"file {blob.sha256} is missing") from error
        return path

    def remove(self, blob: Blob) -> None:
        """Remove a file that nothing names; whoever reads it reads it to its end."""
        self._path(blob.sha256).unlink(missing_ok=True)

    def sweep(self, named: Iterable[str]) -> int:
        """Remove what no release names and what dead writers left; return how many files went.

        Files of a publication under way are younger than an hour and stay.
        """
        keep = set(named)
        newest = _now(self.folder) - 3600
        candidates = [
            path
            for pattern in ("tmp/*", "sha256/*/*")
            for path in self.folder.glob(pattern)
            if path.name not in keep and (path.stat().st_mtime < newest or not _alive(path))
        ]
        for path in candidates:
            path.unlink(missing_ok=True)
        return len(candidates)

    def free_bytes(self) -> int:
        """Room left on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def _path(self, sha256: str) -> Path:
        return self.folder / "sha256" / sha256[:2] / sha256


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a megabyte or so: a release comes in a million lines, each too small to hash."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)


def _now(folder: Path) -> float:
    """The file system's own clock, which the times of files are told by."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        return os.fstat(stream.fileno()).st_mtime


def _alive(path: Path) -> bool:
    """Whether the process that writes a temporary file still runs; a finished file has no such process."""
    if path.parent.name != "tmp":
        return True
    process = path.name.partition("-")[0]
    return process.isdecimal() and Path(f"/proc/{process}").exists()
