"""The archive of a release: its files and all that proves them, in one zip that is verified without the registry.

It holds the release log up to the release's last files, with signatures, signed head and key sets as they were then,
every file of the release, and the verifier itself: so it is the same bytes whenever it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import resources
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import orjson

from registry import verification
from registry.errors import Busy, Damaged, NotFound
from registry.model import preferred
from registry.publishing import file_name
from registry.store import Store
from registry.store.blobs import Blob, Blobs
from registry.store.seals import Sealed


class Archive(NamedTuple):
    """What an archive is called where formats are: it is none of them, since it holds them all."""

    name: str = "archive"
    media_type: str = "application/zip"
    extension: str = "zip"


ARCHIVE = Archive()

KEPT_BYTES = 1 << 30
"""How much disk the archives take that are kept."""

_NAME, _NAMED = re.compile("[0-9a-f]{64}"), re.compile(r"([0-9a-f]{64}) ([0-9]{1,18})\n")
_NOTHING = Blob("0" * 64, 0)

_READ_ME = """{title}, version {version}
{iri}

Version en vigueur à partir du {valid_from}, publiée le {issued}.
Licence des données : {license}

Cette archive se suffit à elle-même : elle contient la version dans tous ses formats, le journal des versions jusqu'à
elle (log.jsonl), les signatures de chaque entrée (signatures.jsonl), la tête signée du journal (checkpoint), les clés
publiques (keys/) et un vérificateur. nomenclature.nt est le contenu signé ; les autres fichiers en sont des rendus.

Pour vérifier, sans réseau ni base de données (Python 3.11 et le paquet cryptography) :

    python verification.py . --key CLE.pem

CLE.pem est une clé racine du registre, obtenue par une autre voie que cette archive. Sans --key, le vérificateur dit
l'empreinte de la clé racine : comparez-la. Ce vérificateur n'est pas signé : qui doute de l'archive prend le sien
ailleurs, ou l'écrit d'après docs/verification.md de Socle.
"""


def write(store: Store, slug: str, version: str, out: IO[bytes]) -> None:
    """Write the archive of a release to a file that can be sought.

    :raises NotFound: if there is no such release, or its log was never signed.
    :raises Damaged: if the bytes of a file are not those that were published.
    """
    members = _members(store, slug, version)
    sums = verification.sums(members, lambda name: members[name]())
    members[verification.SUMS] = lambda: sums
    verification.write_zip(out, members, lambda name: members[name]())


def kept(store: Store, slug: str, version: str) -> tuple[Blob, IO[bytes]]:
    """The archive of a release, to be read and closed: written when it is first asked for, then kept on disk.

    Those that were not asked for the longest go where they are more than ``KEPT_BYTES`` together. Where there is no
    room, or nothing may be written, it is made for this time alone.

    :raises NotFound: if there is no such release, or its log was never signed.
    :raises Damaged: if the bytes of a file are not those that were published.
    """
    archives = _archives(store)
    name = archives.folder / _identity(store, slug, version)
    with suppress(OSError, Damaged):
        blob = _named(name)
        stream = archives.path(blob).open("rb")
        with suppress(OSError):
            os.utime(name)
        return blob, stream
    made = TemporaryFile()  # noqa: SIM115 -- whoever asked closes it.
    try:
        write(store, slug, version, made)
    except BaseException:
        made.close()
        raise
    size = made.tell()
    made.seek(0)
    blob = Blob(hashlib.file_digest(made, "sha256").hexdigest(), size)
    made.seek(0)
    with suppress(OSError, Busy):
        if size <= KEPT_BYTES:
            archives.write(iter(partial(made.read, 1 << 20), b""))
            # Where what is being written stands, so that it is swept away if this process dies now.
            unfinished = archives.folder / "tmp" / f"{os.getpid()}-{threading.get_ident()}-name"
            unfinished.write_text(f"{blob.sha256} {blob.size}\n")
            unfinished.replace(name)
            _forget_oldest(archives)
    made.seek(0)
    return blob, made


def _identity(store: Store, slug: str, version: str) -> str:
    """What an archive follows from: the log as far as its release, whose entry stands for it, the files, and ours."""
    edition = store.edition(slug, version)
    entry = store.sealed_entries(edition.seq - 1, limit=1)[0]
    files = [(one.format, one.blob.sha256) for one in store.renditions(slug, version)]
    own = (_READ_ME.encode(), resources.files("registry").joinpath("verification.py").read_bytes())
    parts = [entry.entry, entry.envelope, orjson.dumps(sorted(files)), *own]
    return verification.sha256(b"".join(verification.sha256(part).encode() for part in parts))


def sweep(store: Store) -> int:
    """Remove the archives that nobody finds any more, and what killed writers left of some; say how many files went.

    :raises OSError: if their folder can't be read.
    """
    archives = _archives(store)
    if not archives.folder.is_dir():
        return 0
    return archives.sweep(blob.sha256 for _, blob in _forget_oldest(archives))


def _archives(store: Store) -> Blobs:
    return Blobs(store.blobs.folder / "archives")


def _forget_oldest(archives: Blobs) -> list[tuple[Path, Blob]]:
    """Remove the archives beyond those that were asked for last and fit; give the others."""
    by_age: list[tuple[float, Path, Blob]] = []
    for name in archives.folder.iterdir():
        with suppress(FileNotFoundError):  # Another process forgets some at the same time.
            if _NAME.fullmatch(name.name):
                by_age.append((name.stat().st_mtime, name, _named(name)))
    found = []
    room = KEPT_BYTES
    for _, name, blob in sorted(by_age, reverse=True):
        if blob.size > room:
            name.unlink(missing_ok=True)
            archives.remove(blob)
        else:
            room -= blob.size
            found.append((name, blob))
    return found


def _named(name: Path) -> Blob:
    """The archive of a name, one without bytes where the name says nothing that was written here."""
    match = _NAMED.fullmatch(name.read_text(errors="replace"))
    return Blob(match[1], int(match[2])) if match else _NOTHING


def _members(store: Store, slug: str, version: str) -> dict[str, Callable[[], bytes]]:
    edition, heading = store.edition(slug, version), store.heading(slug, version)
    log = _log(store, heading.iri, version)
    read_me = _READ_ME.format(
        title=preferred(heading.title),
        version=version,
        iri=heading.iri,
        valid_from=edition.valid_from.isoformat(),
        issued=edition.issued.date().isoformat(),
        license=heading.license,
    )
    named = sum(orjson.loads(one.entry)["type"] == "keys" for one in log)
    found = {
        verification.LOG: b"".join(one.entry + b"\n" for one in log),
        verification.SIGNATURES: b"".join(one.envelope + b"\n" for one in log),
        verification.CHECKPOINT: store.checkpoint(len(log)),
        "LISEZMOI.txt": read_me.encode(),
        "verification.py": resources.files("registry").joinpath("verification.py").read_bytes(),
        **{f"keys/{number}.json": one for number, one in enumerate(store.key_sets()[: named + 1], start=1)},
    }
    members = {name: _given(data) for name, data in found.items()}
    for rendition in store.renditions(slug, version):
        _, path = store.rendition(slug, version, rendition.format)
        members[file_name(rendition)] = path.read_bytes
    return members


def _given(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def _log(store: Store, iri: str, version: str) -> list[Sealed]:
    """The release log up to the last entry that names files of a release."""
    found: list[Sealed] = []
    last = 0
    while page := store.sealed_entries(len(found)):
        for one in page:
            found.append(one)
            if _names_files(orjson.loads(one.entry), iri, version):
                last = len(found)
    if not all(one.envelope for one in found[:last]):
        raise NotFound("checkpoint", str(last))
    return found[:last]


def _names_files(entry: Mapping[str, object], iri: str, version: str) -> bool:
    return "files" in entry and (entry.get("nomenclature"), entry.get("version")) == (iri, version)
