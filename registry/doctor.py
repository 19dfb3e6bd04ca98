"""Checks everything that is stored and everything that is derived; mends what can be made again.

What is stored is compared with what was sealed: the chain of the log, the manifests in it, the files and rows that
they name. What is derived, the search index and the count of what crosswalks point at, and what dead processes left
behind, is brought level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import orjson

from registry import access, archive, finding, signing, verification
from registry.crosswalks import CrosswalkEdition, LocalCode, crosswalk_csv, list_csv
from registry.errors import SocleError
from registry.formats import FORMATS
from registry.model import Edition
from registry.store import Store
from registry.store.crosswalks import ListEdition
from registry.store.releases import Rendition
from registry.store.seals import Sealed
from registry.verification import Trust, Unverified, Verified

State = Literal["ok", "mended", "damaged"]
_PAGE = 1000
_UNREADABLE = (SocleError, ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What reading a row that somebody altered may raise: all of it means that the row is not what was published."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and how it was found; ``message`` is French."""

    object: str
    state: State
    message: str


def examine(store: Store, index: Path, today: date) -> Iterator[Finding]:
    """Look at the whole registry, one finding for each thing looked at; ``index`` is the folder of search indexes.

    What is derived is checked only if the rest is sound: made from damaged rows, it would be wrong too.
    """
    sound = True
    for found in stored(store):
        sound = sound and found.state != "damaged"
        yield found
    if sound:
        yield _uses(store)
        yield _swept(store)
        yield _index(store, index, today)


def entries(store: Store) -> list[bytes]:
    """All entries of the release log, as they were sealed."""
    return [one.entry for one in _sealed(store)]


def verified_log(store: Store, trust: Trust) -> Verified:
    """Verify the whole release log of a registry with its signatures, as anybody would who fetched it.

    :raises Unverified: of ``registry.verification``, naming what is not what was signed.
    """
    sealed = list(_sealed(store))
    return verification.verify_log(
        [one.entry for one in sealed],
        [one.envelope for one in sealed],
        store.checkpoint() if sealed else b"",
        store.key_sets(),
        trust,
    )


def stored(store: Store) -> Iterator[Finding]:
    """Look at what is stored, and change nothing: rows and files are made anew and compared with what was signed."""
    try:
        store.check_schema()
        entries = [one.entry for one in _sealed(store)]
        editions = [one for scheme in store.nomenclatures() for one in store.editions(scheme.slug)]
        lists, crosswalks = store.list_editions(), store.crosswalk_editions()
    except _UNREADABLE as error:
        yield Finding("base de données", "damaged", f"illisible : {error}")
        return
    yield _journal(store)
    yield _log(entries, editions)
    if entries:
        yield _signatures(store)
    for edition in editions:
        yield from _files(store, edition, entries)
        yield _rows(store, edition)
    for code_list in lists:
        yield _list(store, code_list)
    for crosswalk in crosswalks:
        yield _crosswalk(store, crosswalk)


def _journal(store: Store) -> Finding:
    """The journal is one chain, entry by entry."""
    try:
        count, _ = access.check_journal(store)
    except _UNREADABLE as error:
        return Finding("journal des actions", "damaged", str(error))
    return Finding("journal des actions", "ok", f"{count} entrées, chaînées sans rupture")


def _sealed(store: Store) -> Iterator[Sealed]:
    after = 0
    while page := store.sealed_entries(after, _PAGE):
        yield from page
        after += len(page)


def _signatures(store: Store) -> Finding:
    """Every entry of the log, its head and the key sets are signed by those who may."""
    try:
        found = verified_log(store, Trust())
    except (Unverified, *_UNREADABLE) as error:
        return Finding("signatures du journal", "damaged", str(error))
    return Finding("signatures du journal", "ok", f"racine {found.root}")


def _log(entries: list[bytes], editions: list[Edition]) -> Finding:
    """The chain holds, and releases and manifests are one to one."""
    try:
        signing.check_chain(entries)
        content = [orjson.loads(entry) for entry in entries]
        manifests = {entry["seq"] for entry in content if entry["type"] == "release"}
        said = {
            (entry["nomenclature"], entry["version"], entry["issued"], entry["why"])
            for entry in content
            if entry["type"] == "withdrawal"
        }
        withdrawn = {
            (content[one.seq - 1]["nomenclature"], one.version, signing.instant(one.withdrawn_at), one.withdrawn_why)
            for one in editions
            if one.withdrawn_at
        }
    except _UNREADABLE as error:
        return Finding("journal des versions", "damaged", f"chaîne rompue : {error}")
    if manifests != {edition.seq for edition in editions}:
        return Finding("journal des versions", "damaged", "les versions publiées ne sont pas celles du journal")
    if said != withdrawn:
        return Finding("journal des versions", "damaged", "les versions retirées ne sont pas celles du journal")
    return Finding("journal des versions", "ok", f"{len(entries)} entrées, chaîne intacte")


def _files(store: Store, edition: Edition, entries: list[bytes]) -> Iterator[Finding]:
    """Every file that the log names for a release is there, with the bytes that it names."""
    name = f"{edition.nomenclature}@{edition.version}"
    try:
        manifest = orjson.loads(entries[edition.seq - 1])
        sealed = {
            (file["sha256"], file["size"])
            for entry in map(orjson.loads, entries[edition.seq - 1 :])
            if (entry.get("nomenclature"), entry.get("version")) == (manifest["nomenclature"], edition.version)
            for file in entry.get("files", ())
        }
        kept = {
            (file.blob.sha256, file.blob.size): file for file in store.renditions(edition.nomenclature, edition.version)
        }
    except _UNREADABLE as error:
        yield Finding(name, "damaged", f"manifeste ou liste de fichiers illisible : {error}")
        return
    damaged = list(_damaged(store, name, kept.values()))
    if sealed != kept.keys():
        damaged.append(Finding(name, "damaged", "les fichiers de la base ne sont pas ceux du journal"))
    missing = [format for format in FORMATS if format not in {file.format for file in kept.values()}]
    told = f"; formats plus récents qu'elle : {', '.join(missing)} (socle renditions)" if missing else ""
    yield from damaged or [Finding(f"{name} fichiers", "ok", f"{len(kept)} fichiers, conformes au journal{told}")]


def _damaged(store: Store, name: str, files: Iterable[Rendition]) -> Iterator[Finding]:
    for file in files:
        try:
            store.blobs.path(file.blob)
        except SocleError as error:
            yield Finding(f"{name} {file.format}", "damaged", f"fichier manquant ou altéré : {error}")
        except OSError as error:
            yield Finding(f"{name} {file.format}", "damaged", f"fichier illisible : {error.strerror}")


def _rows(store: Store, edition: Edition) -> Finding:
    """The rows of a release give the bytes that its manifest signs."""
    name = f"{edition.nomenclature}@{edition.version}"
    try:
        sealed = orjson.loads(store.manifest(edition.nomenclature, edition.version))
        decision = signing.decision_document(store.decision(edition.nomenclature, edition.version))
        digest = hashlib.sha256()
        for line in signing.canonical_lines(store.release(edition.nomenclature, edition.version)):
            digest.update(line)
    except _UNREADABLE as error:
        return Finding(name, "damaged", f"contenu illisible : {error}")
    if not sealed["content_sha256"] == digest.hexdigest() == edition.content_sha256:
        return Finding(name, "damaged", "le contenu de la base n'est pas celui qui a été publié")
    row = (
        edition.valid_from.isoformat(),
        signing.instant(edition.issued),
        edition.corrects,
        edition.concepts,
        decision,
    )
    if row != tuple(sealed[member] for member in ("valid_from", "issued", "corrects", "concepts", "decision")):
        return Finding(name, "damaged", "la base ne dit pas de cette version ce que dit son manifeste")
    return Finding(name, "ok", f"{edition.concepts} concepts, conformes au manifeste")


def _list(store: Store, edition: ListEdition) -> Finding:
    name = f"{edition.code_list.organisation}/{edition.code_list.slug}, édition {edition.edition}"
    codes: list[LocalCode] = []
    try:
        while page := store.local_codes(
            edition.code_list.organisation,
            edition.code_list.slug,
            edition.edition,
            after=codes[-1].code if codes else "",
            limit=_PAGE,
        ):
            codes += page
    except _UNREADABLE as error:
        return Finding(name, "damaged", f"liste illisible : {error}")
    return _compared(name, signing.sha256(list_csv(codes)), edition.sha256, f"{len(codes)} codes")


def _crosswalk(store: Store, edition: CrosswalkEdition) -> Finding:
    name = f"{edition.organisation}/{edition.code_list}@{edition.edition} → {edition.nomenclature}@{edition.release}"
    try:
        mappings = [mapping for mapping, _ in store.mappings(edition)]
    except _UNREADABLE as error:
        return Finding(name, "damaged", f"correspondances illisibles : {error}")
    return _compared(name, signing.sha256(crosswalk_csv(mappings)), edition.sha256, f"{len(mappings)} correspondances")


def _compared(name: str, found: str, sealed: str, size: str) -> Finding:
    if found != sealed:
        return Finding(name, "damaged", "le contenu de la base n'est pas celui qui a été publié")
    return Finding(name, "ok", size)


def _uses(store: Store) -> Finding:
    """What crosswalks point at, as it is kept for the impact of drafts, follows from their mappings."""
    name = "décompte des correspondances"
    try:
        # A crosswalk published between two reads looks like a fault: whoever writes alone looks again.
        mended = not store.uses_are_counted_right() and store.count_uses_again()
    except SocleError as error:
        return Finding(name, "damaged", f"ne peut pas être refait : {error}")
    return Finding(name, "mended", "refait") if mended else Finding(name, "ok", "conforme aux correspondances")


def _swept(store: Store) -> Finding:
    try:
        count = store.blobs.sweep(store.named_files()) + archive.sweep(store)
    except OSError as error:
        return Finding("fichiers abandonnés", "damaged", f"balayage impossible : {error.strerror}")
    if count:
        return Finding("fichiers abandonnés", "mended", f"{count} enlevés")
    return Finding("fichiers abandonnés", "ok", "aucun")


def _index(store: Store, folder: Path, today: date) -> Finding:
    try:
        built = finding.make_level(store, folder, today)
    except OSError as error:
        return Finding("index de recherche", "damaged", f"ne peut pas être reconstruit : {error.strerror}")
    except SocleError as error:
        return Finding("index de recherche", "damaged", f"ne peut pas être reconstruit : {error}")
    return (
        Finding("index de recherche", "mended", "reconstruit")
        if built
        else Finding("index de recherche", "ok", "à jour")
    )
