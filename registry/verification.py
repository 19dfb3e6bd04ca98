"""Verify what a registry published, from files alone: ``python verification.py ARCHIVE [--key FILE] [--head FILE]``.

This file runs by itself, with Python 3.11 and the package ``cryptography``, and is copied into every archive. Exit
codes: 0 verified, 1 not, 2 wrong usage. docs/verification.md is the specification. Whatever is wrong raises
``Unverified``, whose message, in French, begins with the object's name; nothing here returns False.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as encoding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENTRY, KEYS = "application/vnd.socle.log-entry+json", "application/vnd.socle.keys+json"
FIRST = "0" * 64
LOG, SIGNATURES, CHECKPOINT = "log.jsonl", "signatures.jsonl", "checkpoint"
CANONICAL, SUMS = "nomenclature.nt", "SHA256SUMS"
LAYOUT = {LOG, SIGNATURES, CHECKPOINT, CANONICAL, SUMS, "LISEZMOI.txt", "verification.py"}
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)
_NOTE = re.compile(r"([^\n]+)\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n\n((?:\u2014 [^ \n]+ [A-Za-z0-9+/]+=*\n)+)")
_UNZIPPED = (zipfile.BadZipFile, EOFError)
_KINDS = ("release", "renditions", "withdrawal", "keys")
_CONCEPT = b" <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <http://www.w3.org/2004/02/skos/core#Concept> ."


class Unverified(Exception):
    """Something is not what was signed: the message, in French, begins with the object's name."""


class KeySet(NamedTuple):
    """The keys of a registry from some entry of its log on; ``signers`` are those who signed the set itself."""

    version: int
    registry: str
    keys: Mapping[str, Ed25519PublicKey]
    roles: Mapping[str, tuple[frozenset[str], int]]
    revoked: Mapping[str, int]
    previous: str
    sha256: str
    signers: frozenset[str] = frozenset()


class Checkpoint(NamedTuple):
    """The signed head of a log; ``signatures`` are pairs (short name of a key, signature)."""

    origin: str
    size: int
    root: bytes
    body: bytes
    signatures: list[tuple[bytes, bytes]]


class Trust(NamedTuple):
    """What a verifier knows beforehand: ids of public keys, key sets as they were signed, an earlier head."""

    keyids: frozenset[str] = frozenset()
    key_sets: tuple[bytes, ...] = ()
    head: bytes = b""


class Verified(NamedTuple):
    """What was found sound: the log's entries, its root, and the root keys on which all of it rests."""

    entries: Sequence[Mapping[str, Any]]
    root: str
    root_keys: tuple[str, ...]
    release: str = ""


class Tree:
    """The hash tree of RFC 6962 over a list of entries that grows."""

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, entry: bytes) -> None:
        """Append an entry."""
        size, node = 1, hashlib.sha256(b"\x00" + entry).digest()
        while self._peaks and self._peaks[-1][0] == size:
            size, node = 2 * size, hashlib.sha256(b"\x01" + self._peaks.pop()[1] + node).digest()
        self._peaks.append((size, node))

    def root(self) -> bytes:
        """The root over what was appended so far."""
        found = self._peaks[-1][1] if self._peaks else hashlib.sha256().digest()
        for _, node in reversed(self._peaks[:-1]):
            found = hashlib.sha256(b"\x01" + node + found).digest()
        return found


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785) of texts, integers, lists and objects with ASCII names."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def der_of(key: Ed25519PublicKey) -> bytes:
    """A public key as a SubjectPublicKeyInfo in DER, whose SHA-256 is the key's id."""
    return key.public_bytes(encoding.Encoding.DER, encoding.PublicFormat.SubjectPublicKeyInfo)


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def origin_of(registry: str) -> str:
    """The name of a registry's log in its checkpoints: the registry's IRI without its scheme, then ``log``."""
    return registry.partition("://")[2] + "log"


def note_key(origin: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signed note names an Ed25519 key."""
    raw = key.public_bytes(encoding.Encoding.Raw, encoding.PublicFormat.Raw)
    return hashlib.sha256(origin.encode() + b"\n\x01" + raw).digest()[:4]


_WRONG = (ValueError, LookupError, TypeError, AttributeError, RuntimeError)


@contextmanager
def _about(thing: str) -> Iterator[None]:
    """Whatever is found wrong inside is wrong with this thing."""
    try:
        yield
    except (InvalidSignature, UnsupportedAlgorithm, *_WRONG, *_UNZIPPED) as error:
        known = {ValueError: str(error), InvalidSignature: "signature fausse"}
        why = known.get(type(error), f"illisible ({type(error).__name__} {error})"[:300])
        raise Unverified(f"{thing} : {why}") from error


def _need(condition: object, why: str, thing: str = "") -> None:
    if not condition:
        raise Unverified(f"{thing} : {why}") if thing else ValueError(why)


def _json(data: bytes) -> Any:
    found = json.loads(data.decode())
    _need(canonical(found) == data, "n'est pas du JSON canonique (RFC 8785)")
    return found


def _base64(text: str) -> bytes:
    found = base64.b64decode(text, validate=True)
    _need(base64.b64encode(found).decode() == text, "base64 mal formé")
    return found


def open_envelope(data: bytes, kind: str, thing: str) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    """What a DSSE envelope holds: payload, signatures as (key id, bytes), not verified yet, and what they sign."""
    with _about(thing):
        found = _json(data)
        again = [{"keyid": one["keyid"], "sig": one["sig"]} for one in found["signatures"]]
        same = found == {"payload": found["payload"], "payloadType": kind, "signatures": again}
        _need(same, f"n'est pas une enveloppe de {kind}")
        payload, signatures = _base64(found["payload"]), [(one["keyid"], _base64(one["sig"])) for one in again]
        _need(len(dict(signatures)) == len(signatures), "une clé y signe deux fois")
        return payload, signatures, b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def key_sets(envelopes: Iterable[bytes]) -> list[KeySet]:
    """The chain of key sets, from the first: each signed by the root keys of the one before and by its own."""
    sets: list[KeySet] = []
    for version, envelope in enumerate(envelopes, start=1):
        payload, signatures, signed = open_envelope(envelope, KEYS, f"jeu de clés {version}")
        with _about(f"jeu de clés {version}"):
            found = key_set(payload, f"jeu de clés {version}")._replace(signers=frozenset(dict(signatures)))
            before = sets[-1] if sets else found._replace(sha256=FIRST, revoked={})
            _need(found.version == version, f"porte le numéro {found.version}")
            _need(found.previous == before.sha256, "ne suit pas le jeu précédent")
            _need(found.registry == before.registry, "d'un autre registre")
            _need(before.revoked.items() <= found.revoked.items(), "oublie une révocation")
            for keyid, signature in signatures:
                holders = [one for one in (before, found) if keyid in one.roles["root"][0]]
                _need(holders, f"signé par une clé qui n'est pas une clé racine, {keyid[:16]}")
                holders[0].keys[keyid].verify(signature, signed)
            for keyids, threshold in (before.roles["root"], found.roles["root"]):
                _need(len(found.signers & keyids) >= threshold, f"il y faut {threshold} signature(s) de clés racines")
            sets.append(found)
    _need(sets, "absent", "jeu de clés 1")
    return sets


def key_set(payload: bytes, thing: str = "jeu de clés") -> KeySet:
    """A key set from its payload; who signed it is not known here."""
    with _about(thing):
        found = _json(payload)
        _need((found.pop("type"), found.pop("form")) == ("keys", 1), "d'une forme inconnue de ce vérificateur")
        keys = {keyid: _key(keyid, item) for keyid, item in found.pop("keys").items()}
        roles = {name: _role(role, keys, found["revoked"]) for name, role in found.pop("roles").items()}
        _need(roles.keys() == {"root", "publication"}, "rôle inconnu ou absent")
        _need(all(type(seq) is int and seq >= 1 for seq in found["revoked"].values()), "révocation mal formée")
        return KeySet(**found, keys=keys, roles=roles, sha256=sha256(payload))


def _key(keyid: str, item: Mapping[str, str]) -> Ed25519PublicKey:
    key = encoding.load_der_public_key(_base64(item["public"]))
    known = item == {"keytype": "ed25519", "scheme": "ed25519", "public": item["public"]}
    if not known or not isinstance(key, Ed25519PublicKey):
        raise ValueError("algorithme que ce vérificateur ne connaît pas")
    _need(sha256(der_of(key)) == keyid, f"la clé {keyid[:16]} ne porte pas son empreinte")
    return key


def _role(role: Mapping[str, Any], keys: Iterable[str], revoked: Iterable[str]) -> tuple[frozenset[str], int]:
    keyids, threshold = frozenset(role["keyids"]), role["threshold"]
    _need(role == {"keyids": sorted(keyids), "threshold": threshold} and keyids.issubset(keys), "rôle mal formé")
    _need(type(threshold) is int and 1 <= threshold <= len(keyids), "seuil qui ne peut être atteint")
    _need(keyids.isdisjoint(revoked), "donne un rôle à une clé révoquée")
    return keyids, threshold


def _with_trusted(present: Sequence[bytes], trust: Trust) -> list[KeySet]:
    """The key sets that came with a log, compared with those that are trusted, and later ones of these."""
    known = dict(enumerate(present, start=1))
    for envelope in trust.key_sets:
        payload = open_envelope(envelope, KEYS, "jeu de clés de confiance")[0]
        version = key_set(payload, "jeu de clés de confiance").version
        same = open_envelope(known.setdefault(version, envelope), KEYS, f"jeu de clés {version}")[0] == payload
        _need(same, "n'est pas celui auquel vous faites confiance", f"jeu de clés {version}")
    for version in range(1, len(known) + 1):
        _need(version in known, "absent, il relie ceux du journal à celui de confiance", f"jeu de clés {version}")
    return key_sets(known[version] for version in sorted(known))


def verify_log(
    entries: Sequence[bytes], envelopes: Sequence[bytes], note: bytes, sets: Sequence[bytes], trust: Trust | None = None
) -> Verified:
    """Verify a log: its lines without LF, the envelope of each, its checkpoint, and the key sets that it names."""
    trust = trust or Trust()
    known = _with_trusted(sets, trust)
    head = read_checkpoint(note, "tête du journal")
    earlier = read_checkpoint(trust.head, "tête connue") if trust.head else None
    same = len(envelopes) == len(entries)
    _need(same, f"{len(entries)} entrées, {len(envelopes)} enveloppes", f"{LOG} et {SIGNATURES}")
    in_force, previous, tree, parsed, seen = [known[0]], FIRST, Tree(), [], dict[tuple[str, ...], int]()
    for seq, (entry, envelope) in enumerate(zip(entries, envelopes, strict=True), start=1):
        payload, signatures, signed = open_envelope(envelope, ENTRY, f"signature de l'entrée {seq}")
        with _about(f"entrée {seq} du journal"):
            _need(payload == entry, "n'est pas ce que sa signature enveloppe")
            found = _json(entry)
            _need(found["form"] == 1 and found["type"] in _KINDS, "d'une forme inconnue de ce vérificateur")
            _need(found["seq"] == seq, f"porte le numéro {found['seq']}")
            _need(found["previous"] == previous, "ne suit pas l'entrée précédente")
            if found["type"] == "keys":
                in_force.append(_next_set(found, known[len(in_force) : len(sets)]))
            else:
                _once(found, seen)
        with _about(f"signature de l'entrée {seq}"):
            _signed(signatures, signed, in_force[-1], seq, known[-1].revoked)
        tree.add(entry)
        if earlier and seq == earlier.size:
            verify_checkpoint("tête connue", earlier, in_force[-1], known[-1].revoked)
            same = earlier.root == tree.root()
            _need(same, "son début n'est pas celui de la tête connue : bifurcation", "journal")
        previous = sha256(entry)
        parsed.append(found)
    _need(len(in_force) == len(sets), "le journal ne le nomme pas", f"jeu de clés {len(in_force) + 1}")
    _need(head.size == len(entries), f"dit {head.size} entrées, le journal en a {len(entries)}", "tête du journal")
    _need(head.root == tree.root(), "sa racine n'est pas celle des entrées", "tête du journal")
    of_head = verify_checkpoint("tête du journal", head, in_force[-1], known[-1].revoked)
    _need(not earlier or earlier.size <= head.size, "plus court que la tête connue : retour en arrière", "journal")
    signers = of_head.union(*(one.signers for one in known))
    _need(trust.keyids <= signers, "n'a signé ni un jeu de clés ni la tête du journal", "clé donnée")
    return Verified(parsed, head.root.hex(), tuple(sorted(known[0].roles["root"][0])))


def _next_set(entry: Mapping[str, Any], following: Sequence[KeySet]) -> KeySet:
    version = entry["key_set_version"]
    same = following and (following[0].version, following[0].sha256) == (version, entry["sha256"])
    _need(same, "absent, ou n'est pas celui que le journal nomme", f"jeu de clés {version}")
    return following[0]


def _signed(
    signatures: Sequence[tuple[str, bytes]], data: bytes, keys: KeySet, seq: int, revoked: Mapping[str, int]
) -> None:
    """Every signature is of a key that may publish at this entry, and they are of enough different keys."""
    keyids, threshold = keys.roles["publication"]
    for keyid, signature in signatures:
        _need(keyid in keyids, f"la clé {keyid[:16]} ne publie pas selon le jeu de clés {keys.version}")
        since = revoked.get(keyid, seq + 1)
        _need(since > seq, f"clé {keyid[:16]} révoquée à partir de l'entrée {since}")
        keys.keys[keyid].verify(signature, data)
    _need(len(dict(signatures)) == len(signatures) >= threshold, f"il y faut {threshold} clé(s) différentes")


def read_checkpoint(note: bytes, thing: str) -> Checkpoint:
    """A C2SP checkpoint, its signatures not verified yet."""
    with _about(thing):
        if (found := _NOTE.fullmatch(note.decode())) is None:
            raise ValueError("n'est pas un checkpoint signé")
        origin, size, root, lines = found.groups()
        pairs = [line.split(" ")[1:] for line in lines.splitlines()]
        _need({name for name, _ in pairs} == {origin}, "signature d'un autre nom")
        signatures = [(data[:4], data[4:]) for data in (_base64(text) for _, text in pairs)]
        return Checkpoint(origin, int(size), _base64(root), f"{origin}\n{size}\n{root}\n".encode(), signatures)


def verify_checkpoint(thing: str, note: Checkpoint, keys: KeySet, revoked: Mapping[str, int]) -> frozenset[str]:
    """The publication keys of a key set signed this head; gives their ids."""
    with _about(thing):
        _need(note.origin == origin_of(keys.registry), f"d'un autre journal, {note.origin}")
        names = {note_key(note.origin, key): keyid for keyid, key in keys.keys.items()}
        signatures = [(names.get(short, short.hex()), signature) for short, signature in note.signatures]
        _signed(signatures, note.body, keys, note.size, revoked)
        return frozenset(dict(signatures))


def _once(entry: Mapping[str, Any], seen: dict[tuple[str, ...], int]) -> None:
    """No release comes twice, nor its withdrawal; renditions and withdrawals are of a release that is there."""
    kind, name = entry["type"], (entry["nomenclature"], entry["version"])
    _need(kind == "release" or ("release", *name) in seen, f"{'@'.join(name)} n'était pas publié")
    before = seen.setdefault((kind, *name), entry["seq"])
    _need(kind == "renditions" or before == entry["seq"], f"{'@'.join(name)} vient une seconde fois, après {before}")


def verify_archive(path: Path, trust: Trust | None = None) -> Verified:
    """Verify the archive of a release, a zip file or the folder that it was unpacked to."""
    if path.is_dir():
        names = {found.relative_to(path).as_posix() for found in path.rglob("*") if not found.is_dir()}
        return _archive(names, lambda name: (path / name).read_bytes(), trust)
    with _about(path.name), zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as again:
        stored = all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
        _need(stored, "n'est pas une archive écrite par Socle")
        found = _archive(set(archive.namelist()), archive.read, trust)
        write_zip(again, archive.namelist(), archive.read)
        again.seek(0)
        _need(again.read() == path.read_bytes(), "l'enveloppe zip n'est pas celle que Socle écrit")
        return found


def write_zip(out: IO[bytes], names: Iterable[str], read: Callable[[str], bytes]) -> None:
    """Write an archive: members in the order of their names, stored as they are, without a date of their own."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(names):
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, read(name))


def _archive(names: set[str], read: Callable[[str], bytes], trust: Trust | None) -> Verified:
    sets = [f"keys/{version}.json" for version in range(1, len(names)) if f"keys/{version}.json" in names]
    for name in sorted(LAYOUT):
        _need(name in names, "absent de l'archive", name)
    entries, envelopes = (_lines(read(name), name) for name in (LOG, SIGNATURES))
    log = verify_log(entries, envelopes, read(CHECKPOINT), [read(name) for name in sets], trust)
    with _about(LOG):
        _need(log.entries[-1]["type"] == "renditions", "ne finit pas par les fichiers d'une version")
        named = (log.entries[-1]["nomenclature"], log.entries[-1]["version"])
        own = [one for one in log.entries if (one.get("nomenclature"), one.get("version")) == named and "files" in one]
        files = {file["name"]: (file["size"], file["sha256"]) for one in own for file in one["files"]}
        _need(all(re.fullmatch(r"nomenclature\.[a-z0-9.-]+", name) for name in files), "nom de fichier refusé")
        _need(files[CANONICAL][1] == own[0]["content_sha256"], "le manifeste n'est pas celui du fichier canonique")
    for name in sorted(names ^ {*LAYOUT, *sets, *files}):
        _need(False, "absent de l'archive" if name in files else "ne fait pas partie de l'archive", name)
    for name, described in files.items():
        same = (len(data := read(name)), sha256(data)) == described
        _need(same, "n'a pas la taille et l'empreinte que le journal nomme", name)
    check_canonical(read(CANONICAL), own[0]["concepts"])
    with _about(SUMS):
        odd = set(read(SUMS).decode().split("\n")) ^ set(sums(names, read).decode().split("\n"))
        _need(not odd, f"{max(odd, default='')[66:]} n'a pas l'empreinte qui y est dite")
        _need(read(SUMS) == sums(names, read), "n'est pas dans l'ordre")
    return log._replace(release="@".join(named))


def sums(names: Iterable[str], read: Callable[[str], bytes]) -> bytes:
    """What ``sha256sum`` writes of an archive's members, but for the file that holds it."""
    return "".join(f"{sha256(read(name))}  {name}\n" for name in sorted(names) if name != SUMS).encode()


def check_canonical(data: bytes, concepts: int) -> None:
    """A canonical file: lines sorted by their bytes, each once, NFC, LF at the end, and as many concepts."""
    lines = _lines(data, CANONICAL)
    with _about(CANONICAL):
        for number, (before, line) in enumerate(zip([b"", *lines], lines, strict=False), start=1):
            _need(before < line, f"ligne {number}, pas dans l'ordre ou pour la seconde fois")
        _need(unicodedata.is_normalized("NFC", data.decode()), "n'est pas normalisé (NFC)")
        found = sum(line.endswith(_CONCEPT) for line in lines)
        _need(found == concepts, f"{found} concepts, le manifeste en signe {concepts}")


def _lines(data: bytes, thing: str) -> list[bytes]:
    _need(data.endswith(b"\n"), "la dernière ligne n'est pas entière", thing)
    return data[:-1].split(b"\n")


def read_trust(key: bytes = b"", head: bytes = b"") -> Trust:
    """What ``--key`` and ``--head`` give: public keys in PEM, or key sets in JSON (one, or as /keys lists them)."""
    with _about("clé donnée"):
        blocks = _PEM.findall(key)
        if key and not blocks:
            found = json.loads(key)
            return Trust(key_sets=tuple(canonical(one) for one in found.get("items", [found])), head=head)
        keys = [encoding.load_pem_public_key(block) for block in blocks]
        keyids = frozenset(sha256(der_of(one)) for one in keys if isinstance(one, Ed25519PublicKey))
        _need(len(keyids) == len(keys), "n'est pas une clé Ed25519")
        return Trust(keyids, (), head)


def stale(found: Verified, now: datetime) -> str:
    """That a log's head is older than 30 days, by its last entry, in French; empty if it is not. It is no refusal."""
    with _about("journal"):
        last = found.entries[-1]["issued"]
        old = now - datetime.fromisoformat(last) > timedelta(days=30)
        since = f"tête du journal : sa dernière entrée est du {last[:10]}, il y a plus de 30 jours"
        return f"{since} ; le registre en a peut-être de plus récentes" if old else ""


def summary(found: Verified, trust: Trust, now: datetime) -> list[str]:
    """What was verified, in French, a line each; and the root keys to compare, where nothing was given to trust."""
    lines = [f"vérifié : {found.release or 'journal'}, {len(found.entries)} entrées, racine {found.root}"]
    compare = [] if trust.keyids or trust.key_sets else found.root_keys
    lines += [warning] if (warning := stale(found, now)) else []
    return [*lines, *(f"clé racine, à comparer à celle que le registre annonce : {keyid}" for keyid in compare)]


def main() -> int:
    """Verify the archive that the command line names."""
    parser = argparse.ArgumentParser(description="Verify the archive of a release that Socle published.")
    parser.add_argument("archive", type=Path, help="a zip file, or the folder that it was unpacked to")
    parser.add_argument("--key", type=Path, help="trusted public keys (PEM), or trusted key sets (JSON)")
    parser.add_argument("--head", type=Path, help="a checkpoint known from before")
    given = parser.parse_args()
    try:
        key, head = (path.read_bytes() if path else b"" for path in (given.key, given.head))
        given.archive.stat()
    except OSError as error:
        parser.error(str(error))
    try:
        trust = read_trust(key, head)
        sys.stdout.write("\n".join(summary(verify_archive(given.archive, trust), trust, datetime.now(UTC))) + "\n")
    except (Unverified, OSError) as error:
        sys.stderr.write(f"NON VÉRIFIÉ : {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
