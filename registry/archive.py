"""The archive of a release: its files and all that proves them, in one zip that is verified without the registry.

It holds the release log up to the release's last files, with signatures, signed head and key sets as they were then,
every file of the release, and the verifier itself: so it is the same bytes whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import IO, NamedTuple

import orjson

from registry import verification
from registry.errors import NotFound
from registry.model import preferred
from registry.publishing import file_name
from registry.store import Store
from registry.store.seals import Sealed


class Archive(NamedTuple):
    """What an archive is called where formats are: it is none of them, since it holds them all."""

    name: str = "archive"
    media_type: str = "application/zip"
    extension: str = "zip"


ARCHIVE = Archive()

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
