"""A copy of a registry's releases in a folder, kept in step: verified, whole at every instant, read without Socle.

``DIR/current`` is a link to a folder that never changes: a new state is written beside it, synced, and the link is
renamed over the old one. So whoever follows the link once sees one state, never two mixed; the state before stays until
the next one comes. A file that two states have in common is one file (a hard link).

Everything in a state is what the registry's log signs, verified by ``registry.verification`` as any verifier would:
the log from its first entry, its head, and each file by its size and hash. What a copy trusts is what it holds already:
key sets and head. A log that does not grow from that head, or that other keys sign, is refused, and the copy stays as
it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from registry import errors, feed, remote, verification
from registry.durable import to_disk
from registry.errors import Busy, Conflict, Damaged, SocleError
from registry.formats import FORMATS, document
from registry.model import SLUG, Release, Version
from registry.sandbox import OPERATOR_LIMITS
from registry.verification import CHECKPOINT, LOG, SIGNATURES, Trust, Unverified, Verified, sha256

FILES = {"concepts.nt": "ntriples", "concepts.json": "json", "concepts.csv": "csv", "concepts.ttl": "turtle"}
"""The files of a release in a copy, each with its format; the first is what the manifest signs."""

CURRENT, STATES, INCOMING, LOCK, PROOF, INDEX = "current", "states", "incoming", "lock", "proof", "index.json"
IN_FORCE, LATEST, WITHDRAWN = "in-force", "latest", "RETIREE.txt"
_UNFINISHED = "unfinished"
_SPARE_BYTES = 16 << 20
_DELTA_BYTES = 64 << 20

_READ_ME = """Copie d'un registre de nomenclatures, vérifiée et tenue à jour par « socle sync ».

NOMENCLATURE/VERSION/   une version publiée : concepts.json, concepts.csv, concepts.ttl (SKOS), concepts.nt (signé)
NOMENCLATURE/in-force   la version en vigueur au jour que dit index.json ; absente s'il n'y en a pas
NOMENCLATURE/latest     la dernière publiée, parfois pas encore en vigueur
RETIREE.txt             dans le dossier d'une version retirée : pourquoi elle l'a été
index.json              tout ce que contient ce dossier
proof/                  le journal signé, sa tête et les clés publiques, qui prouvent tout le reste
SHA256SUMS              à vérifier par « sha256sum -c SHA256SUMS »

Rien ne change dans ce dossier : un état nouveau est un dossier nouveau, vers lequel « current » est alors renommé.
Un programme qui lit plusieurs fichiers suit ce lien une fois (realpath), et lit tout dans le dossier qu'il désigne.
"""


class File(NamedTuple):
    """A file as the log names it."""

    size: int
    sha256: str


@dataclass
class Copied:
    """A release as the log tells it; ``files`` by their names in a copy."""

    slug: str
    iri: str
    version: str
    seq: int
    issued: str
    valid_from: str
    corrects: str
    files: dict[str, File] = field(default_factory=dict)
    withdrawn: str | None = None

    @property
    def name(self) -> str:
        """What people call it, as ``types-aide@2.0``."""
        return f"{self.slug}@{self.version}"


class Synced(NamedTuple):
    """What a run did: the log that the copy holds now, the releases that came, and whether anything changed.

    ``root_keys`` are to be compared with what the registry makes known elsewhere: they are given where nothing was
    trusted before.
    """

    log: Verified
    came: tuple[str, ...]
    withdrawn: tuple[str, ...]
    changed: bool
    root_keys: tuple[str, ...]


@dataclass(frozen=True)
class _Proof:
    """The log of a registry with all that proves it, as a state holds it."""

    entries: tuple[bytes, ...] = ()
    envelopes: tuple[bytes, ...] = ()
    note: bytes = b""
    sets: tuple[bytes, ...] = ()

    def files(self) -> dict[str, bytes]:
        lines = {LOG: self.entries, SIGNATURES: self.envelopes}
        found = {f"{PROOF}/{name}": b"".join(line + b"\n" for line in one) for name, one in lines.items()}
        found[f"{PROOF}/{CHECKPOINT}"] = self.note
        return found | {f"{PROOF}/keys/{number}.json": one for number, one in enumerate(self.sets, start=1)}

    def verified(self, trust: Trust) -> Verified:
        return verification.verify_log(self.entries, self.envelopes, self.note, self.sets, trust)


def sync(
    url: str,
    folder: Path,
    *,
    today: date,
    trust: Trust | None = None,
    said: Callable[[str], None] = lambda _: None,
    token: str = "",
) -> Synced:
    """Bring the copy of a registry in a folder up to date, or make it.

    Killed at any instant it leaves the copy as it was or as it becomes, and the next run goes on from there.
    ``trust`` is what is known of the registry's keys from elsewhere; ``said`` is told what is going on.
    ``token`` tells the registry who asks, so that it can warn them; it is written nowhere.

    :raises Unverified: if what the registry shows is not what was signed, or not what the copy grew from.
    :raises Conflict: if another run is at work in the folder, or it holds something else.
    :raises Busy: if the registry does not answer, or the disk lacks room.
    :raises Damaged: if what the copy is to be trusted by cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _told():
        return _Copy(folder, remote.root_of(url), today, trust or Trust(), said, token).sync()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other run works in this folder meanwhile; a run that was killed holds nothing."""
    for name in (CURRENT, STATES, INCOMING):
        path = folder / name
        if path.is_symlink() != (name == CURRENT) and os.path.lexists(path):
            raise Conflict(f"{path} n'est pas d'une copie faite par socle sync")
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"un autre socle sync travaille dans {folder}") from error
        yield


@contextmanager
def _told() -> Iterator[None]:
    """What the verifier refuses, as an error of the registry."""
    try:
        yield
    except Unverified as error:
        raise errors.Unverified(str(error)) from error


class _Copy:
    """One run over a copy: what it holds, what it trusts, and where the registry is."""

    def __init__(
        self, folder: Path, root: str, today: date, trust: Trust, said: Callable[[str], None], token: str
    ) -> None:
        self.folder, self.root, self.today, self.trust, self.said = folder, root, today, trust, said
        self.token = token
        self.state = (folder / CURRENT).resolve() if os.path.lexists(folder / CURRENT) else None
        self.kept = self._kept()
        self.incoming = folder / INCOMING

    def sync(self) -> Synced:
        fresh = self._fetched_proof()
        trusted = Trust(self.trust.keyids, (*self.trust.key_sets, *self.kept.sets), self.trust.head or self.kept.note)
        proof, log = self._verified(fresh, trusted)
        try:
            releases = _releases(log)
        except (LookupError, TypeError, AttributeError) as error:
            raise Unverified(f"journal : une entrée n'a pas la forme attendue ({error})") from error
        new_to_trust = not (self.kept.sets or self.trust.keyids or self.trust.key_sets)
        compare = log.root_keys if new_to_trust else ()
        if self.state and proof == self.kept and self._is_whole(releases, self.state):
            return Synced(log, (), (), False, compare)
        before = {one.name: one for one in _releases_of(self.kept.entries)}
        self._write_state(proof, releases, log)
        came = tuple(one.name for one in releases if one.name not in before)
        gone = (one for one in releases if one.withdrawn is not None)
        withdrawn = tuple(one.name for one in gone if one.name not in before or before[one.name].withdrawn is None)
        return Synced(log, came, withdrawn, True, compare)

    # --- What is proved

    def _kept(self) -> _Proof:
        """The proof that the copy holds; that of a copy without a state is empty."""
        if self.state is None:
            return _Proof()
        proof = self.state / PROOF
        try:
            entries, envelopes = ((proof / name).read_bytes().splitlines() for name in (LOG, SIGNATURES))
            sets = sorted(proof.glob("keys/*.json"), key=lambda path: int(path.stem))
            note = (proof / CHECKPOINT).read_bytes()
            kept = _Proof(tuple(entries), tuple(envelopes), note, tuple(path.read_bytes() for path in sets))
        except (OSError, ValueError) as error:
            raise Damaged(
                f"{proof} : illisible ({error}) ; sans elle la copie ne sait plus à quelles clés se fier : "
                f"restaurez-la, ou supprimez {self.folder} pour repartir de zéro en comparant la clé racine"
            ) from error
        if not kept.sets or not kept.note:
            raise Damaged(f"{proof} : il y manque les clés ou la tête du journal")
        return kept

    def _fetched_proof(self) -> _Proof:
        """The registry's proof as it is now: what is not known yet is fetched, and nothing where the head is the same.

        Nothing of it is verified here.
        """
        known = self.kept.note
        try:
            tag = f'"{sha256(known)}"' if known else ""
            with remote.fetched(f"{self.root}/log/checkpoint", 1 << 16, known=tag, token=self.token) as answer:
                note = answer.read()
        except remote.NotModified:
            return self.kept
        if note == known:
            return self.kept
        size = verification.read_checkpoint(note, "tête du journal").size
        same = min(size, len(self.kept.entries))
        self.said(f"journal : {size - same} entrées de plus")
        return self._proof(note, size, same)

    def _proof(self, note: bytes, size: int, same: int) -> _Proof:
        """The proof under a head, of whose entries the first ``same`` are those that the copy holds."""
        entries, envelopes = remote.entries_since(self.root, same, size, token=self.token)
        entries = [*self.kept.entries[:same], *entries]
        sets = remote.key_sets(self.root, entries, token=self.token)
        return _Proof(tuple(entries), (*self.kept.envelopes[:same], *envelopes), note, tuple(sets))

    def _verified(self, fresh: _Proof, trusted: Trust) -> tuple[_Proof, Verified]:
        """The proof, once it is verified.

        Where it does not follow from what the copy holds, the whole log is fetched, so that the refusal says what it
        is: a fork, a way back, or other keys.
        """
        try:
            return fresh, fresh.verified(trusted)
        except Unverified:
            if fresh is self.kept or not self.kept.entries:
                raise
            size = verification.read_checkpoint(fresh.note, "tête du journal").size
            whole = self._proof(fresh.note, size, 0)
            return whole, whole.verified(trusted)

    # --- What is there

    def _is_whole(self, releases: Sequence[Copied], state: Path) -> bool:
        """Whether a state has all its files, of the right sizes, and its links say what is in force today."""
        for slug, links in _links(releases, self.today).items():
            for name in (IN_FORCE, LATEST):
                path = state / slug / name
                if (str(path.readlink()) if path.is_symlink() else None) != links.get(name):
                    return False
        wanted = ((state / one.slug / one.version / name, file) for one in releases for name, file in one.files.items())
        return all(path.is_file() and path.stat().st_size == file.size for path, file in wanted)

    def _write_state(self, proof: _Proof, releases: Sequence[Copied], log: Verified) -> None:
        """Write a new state beside the others, and make it the current one."""
        states = self.folder / STATES
        for path in (states, self.incoming):
            path.mkdir(exist_ok=True)
        made = states / _UNFINISHED
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        self._check_room(releases)
        for number, one in enumerate(releases, start=1):
            self.said(f"{one.name} ({number} sur {len(releases)})")
            self._place(one, releases[: number - 1], made)
        for slug, links in _links(releases, self.today).items():
            for name, version in links.items():
                (made / slug / name).symlink_to(version)
        written = proof.files() | {
            "LISEZMOI.txt": _READ_ME.encode(),
            INDEX: orjson.dumps(_index(proof, releases, log, self.today), option=orjson.OPT_INDENT_2) + b"\n",
        }
        written |= {
            f"{one.slug}/{one.version}/{WITHDRAWN}": f"{one.withdrawn}\n".encode() for one in releases if one.withdrawn
        }
        sums = {name: sha256(data) for name, data in written.items()}
        sums |= {
            f"{one.slug}/{one.version}/{name}": file.sha256 for one in releases for name, file in one.files.items()
        }
        written[verification.SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
        for name, data in written.items():
            _write(made / name, data)
        for path in (made, *(path for path in made.rglob("*") if path.is_dir() and not path.is_symlink())):
            to_disk(path)
        self._swap(made, len(proof.entries))

    def _swap(self, made: Path, size: int) -> None:
        """Give a finished state its name, and let the link lead to it; then throw away what nothing needs any more."""
        states = made.parent
        numbers = [int(path.name.split("-")[0]) for path in states.iterdir() if path.name[:1].isdigit()]
        state = states / f"{max(numbers, default=0) + 1:08d}-{size}"
        made.rename(state)
        to_disk(states)
        link = self.folder / f".{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(state.relative_to(self.folder))
        link.replace(self.folder / CURRENT)
        to_disk(self.folder)
        for path in states.iterdir():
            if path not in (state, self.state):
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.incoming, ignore_errors=True)

    # --- The files of a release

    def _place(self, one: Copied, before: Sequence[Copied], made: Path) -> None:
        """Put the files of a release into a state: those that the copy has, what a delta makes, and what is fetched."""
        target = made / one.slug / one.version
        target.mkdir(parents=True)
        missing = {}
        for name, file in one.files.items():
            held = [self.incoming / file.sha256]
            if self.state:
                held.append(self.state / one.slug / one.version / name)
            if not any(_taken(path, target / name, file) for path in held):
                missing[name] = file
        if missing:
            missing = self._made_by_delta(one, before, missing, made)
        for name in missing:
            self._fetch(one, name)
        for name, file in one.files.items():
            if not (target / name).exists() and not _taken(self.incoming / file.sha256, target / name, file):
                raise Busy(f"{self.incoming / file.sha256}: gone while it was needed")

    def _made_by_delta(
        self, one: Copied, before: Sequence[Copied], missing: dict[str, File], made: Path
    ) -> dict[str, File]:
        """Make a release's files from an earlier release that is there and what leads from it; give those that differ.

        A registry whose Socle is another may write some of them otherwise: those are fetched, as all are where the
        delta cannot be had.
        """
        own = [base for base in before if base.slug == one.slug]
        base = next((base for base in own if base.version == one.corrects), own[-1] if own else None)
        if base is None:
            return missing
        try:
            release = self._release_after(base, one, made / base.slug / base.version / "concepts.json")
            canonical = next(iter(FILES))
            left = dict(missing)
            for name in (canonical, *(name for name in missing if name != canonical)):
                same = self._rendered(release, one.files[name], FILES[name])
                if name == canonical and not same:
                    return missing
                if same:
                    left.pop(name, None)
        except (SocleError, FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return missing
        return left

    def _rendered(self, release: Release, file: File, format: str) -> bool:
        """Write a release in a format to where files wait; whether that is the file that the log names."""
        waiting = self.incoming / file.sha256
        arriving = waiting.with_suffix(".part")
        with arriving.open("wb") as stream:
            stream.writelines(FORMATS[format].write(release))
            stream.flush()
            os.fsync(stream.fileno())
        if _digest(arriving) != file:
            return False
        arriving.replace(waiting)
        return True

    def _release_after(self, base: Copied, one: Copied, path: Path) -> Release:
        """A release, from the file of another that was verified, and the delta between both."""
        url = f"{self.root}/nomenclatures/{one.slug}/diff?from={base.version}&to={one.version}&format=ndjson"
        with remote.fetched(url, _DELTA_BYTES, token=self.token) as answer:
            told = orjson.loads(answer.readline())
            changes = [orjson.loads(line) for line in answer]
        empty = feed.beginning(told)
        content = document.read(path.read_bytes(), empty.nomenclature, OPERATOR_LIMITS)
        held = empty.with_heading(
            version=base.version, concepts=content.concepts, links=content.links or frozenset(), groups=content.groups
        )
        return feed.applied(held, told, changes)

    def _fetch(self, one: Copied, name: str) -> None:
        """Fetch a file of a release to where it waits under its hash.

        :raises Unverified: if it is not what the log names.
        """
        file = one.files[name]
        url = f"{self.root}/nomenclatures/{one.slug}/releases/{one.version}?format={FILES[name]}"
        waiting = self.incoming / file.sha256
        arriving = waiting.with_suffix(".part")
        try:
            with remote.fetched(url, file.size, token=self.token) as answer, arriving.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except SocleError as error:
            if isinstance(error, Busy):
                raise
            raise Unverified(f"{one.name}, {name} : n'est pas servi tel que le journal le nomme ({error})") from error
        if _digest(arriving) != file:
            raise Unverified(f"{one.name}, {name} : n'a pas la taille et l'empreinte que le journal nomme")
        arriving.replace(waiting)

    def _check_room(self, releases: Sequence[Copied]) -> None:
        """Nothing is begun that the disk can't hold."""
        held = {
            file
            for one in releases
            for name, file in one.files.items()
            if (self.incoming / file.sha256).exists()
            or (self.state and (self.state / one.slug / one.version / name).exists())
        }
        needed = sum(file.size for one in releases for file in set(one.files.values()) - held) + _SPARE_BYTES
        if shutil.disk_usage(self.folder).free < needed:
            raise Busy(f"{self.folder} : il y faut {needed >> 20} Mio libres")


# --- What a log says ------------------------------------------------------------------------------------------------


def _releases_of(entries: Sequence[bytes]) -> list[Copied]:
    return _releases(Verified([orjson.loads(entry) for entry in entries], "", ()))


def _releases(log: Verified) -> list[Copied]:
    """The releases of a log in its order; those are left out whose canonical file is not named as it must be.

    What is signed is still looked at before it becomes a path.
    """
    names = {f"nomenclature.{FORMATS[format].extension}": name for name, format in FILES.items()}
    found: dict[tuple[str, str], Copied] = {}
    iris: dict[str, str] = {}
    for entry in log.entries:
        if entry["type"] == "keys":
            continue
        iri, version = str(entry["nomenclature"]), str(entry["version"])
        slug = iri.rpartition("/")[2]
        _check(SLUG.fullmatch(slug) and iris.setdefault(slug, iri) == iri, iri)
        if entry["type"] == "release":
            try:
                Version(version)
                day = date.fromisoformat(entry["valid_from"]).isoformat()
            except ValueError as error:
                raise Unverified(f"{iri} : version ou date refusée") from error
            issued, corrects = (str(entry[name]) for name in ("issued", "corrects"))
            found[iri, version] = Copied(slug, iri, version, entry["seq"], issued, day, corrects)
        one = found[iri, version]
        if entry["type"] == "withdrawal":
            one.withdrawn = str(entry["why"])
        for file in entry.get("files", ()):
            if name := names.get(file["name"]):
                _check(re.fullmatch("[0-9a-f]{64}", file["sha256"]) and 0 <= file["size"] < 2**40, file["name"])
                one.files.setdefault(name, File(file["size"], file["sha256"]))
    return list(found.values())


def _check(sound: object, thing: str) -> None:
    if not sound:
        raise Unverified(f"{thing[:200]} : nom, empreinte ou taille refusés")


def _links(releases: Sequence[Copied], today: date) -> dict[str, dict[str, str]]:
    """By nomenclature, the version in force on a day and the last one, as the registry itself says them."""
    found: dict[str, dict[str, str]] = {one.slug: {} for one in releases}
    for slug, links in found.items():
        own = [one for one in releases if one.slug == slug and one.withdrawn is None]
        valid = [one for one in own if one.valid_from <= today.isoformat()]
        if valid:
            links[IN_FORCE] = max(valid, key=lambda one: (one.valid_from, one.seq)).version
        if own:
            links[LATEST] = max(own, key=lambda one: Version(one.version)).version
    return found


def _index(proof: _Proof, releases: Sequence[Copied], log: Verified, today: date) -> dict[str, Any]:
    """What a state holds, as JSON."""
    links = _links(releases, today)
    return {
        "registry": verification.key_sets(proof.sets)[-1].registry,
        "log": {"entries": len(log.entries), "root": log.root},
        "on": today.isoformat(),
        "nomenclatures": [
            {
                "slug": slug,
                "iri": next(one.iri for one in releases if one.slug == slug),
                "inForce": links[slug].get(IN_FORCE),
                "latest": links[slug].get(LATEST),
                "releases": [_described(one) for one in releases if one.slug == slug],
            }
            for slug in sorted(links)
        ],
    }


def _described(one: Copied) -> dict[str, Any]:
    return {
        "version": one.version,
        "validFrom": one.valid_from,
        "issued": one.issued,
        "seq": one.seq,
        "corrects": one.corrects or None,
        "withdrawn": one.withdrawn,
        "files": [{"name": name, "size": file.size, "sha256": file.sha256} for name, file in one.files.items()],
    }


# --- Files ----------------------------------------------------------------------------------------------------------


def _digest(path: Path) -> File:
    with path.open("rb") as stream:
        return File(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def _taken(path: Path, target: Path, file: File) -> bool:
    """Let a state have a file that is there already, if it is still what the log names."""
    try:
        if not path.is_file() or _digest(path) != file:
            return False
        os.link(path, target)
    except OSError:
        # Some file systems know no hard links; whatever else is wrong with the disk, the copy will say.
        shutil.copyfile(path, target)
        to_disk(target)
    return True


def _write(path: Path, data: bytes) -> None:
    """Write a file whole: until it has its name it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(data)
    to_disk(unfinished)
    unfinished.replace(path)
