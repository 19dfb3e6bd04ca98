"""The keys that sign what is published: private ones in files of this machine, public ones in signed key sets.

A key folder holds the registry's key sets, ``1.json``, ``2.json``…, which are public, and ``private/``, with one file
``<key id>.pem`` (PKCS#8) for each private key that is on this machine. The folder ``private`` is for its owner alone
(0700), and so is each file in it (0600): anything else is refused before something is signed. Private keys never leave
these files: not to the database, not to logs, not into messages.

A key set names the keys of two roles. The publication keys sign each entry of the release log and its head; the root
keys sign key sets, and nothing else, so they can be kept offline. A set is signed by the root keys of the one before
it and by its own; the first is what verifiers trust to begin with. docs/verification.md specifies all of it.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from registry import verification
from registry.access import Actor, acting
from registry.durable import to_disk
from registry.errors import KeyRefused
from registry.verification import KeySet, Unverified

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from registry.store import Store

PRIVATE = "private"
_SET = re.compile(r"([1-9][0-9]{0,5})\.json\Z")


@dataclass(frozen=True)
class Role:
    """How many keys a role has, and how many of them must sign."""

    keys: int = 1
    threshold: int = 1


ONE = Role()


@dataclass(frozen=True)
class Seal:
    """What signs entries and heads of the log: the key set in force, and its publication keys that are here."""

    key_set: KeySet
    signers: tuple[CryptoSigner, ...]

    def envelope(self, entry: bytes) -> bytes:
        """The signed envelope of a log entry: canonical JSON, to stand beside it."""
        return _envelope(entry, verification.ENTRY, self.signers)

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """The signed head of a log of so many entries with this root: a C2SP checkpoint."""
        origin = verification.origin_of(self.key_set.registry)
        body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()
        lines = []
        for signer in self.signers:
            short = verification.note_key(origin, self.key_set.keys[signer.public_key.keyid])
            signature = bytes.fromhex(signer.sign(body).signature)
            lines.append(f"\u2014 {origin} {base64.b64encode(short + signature).decode()}\n".encode())
        return body + b"\n" + b"".join(lines)


class Keys:
    """The key folder of a registry: open it anew for each publication, so that what is wrong with it now is seen."""

    def __init__(self, folder: Path, sets: Sequence[bytes], signers: Mapping[str, CryptoSigner]) -> None:
        self.folder, self.sets, self.signers = folder, tuple(sets), signers

    @classmethod
    def opened(cls, folder: Path) -> Keys:
        """The keys in a folder.

        :raises KeyRefused: if there are none, or somebody else may read or replace them.
        """
        if not (folder / "1.json").is_file():
            raise KeyRefused(f"{folder} holds no keys: run `socle key generate`, or restore the folder")
        if folder.stat().st_mode & 0o022:
            raise KeyRefused(f"{folder} can be written by others: run chmod go-w")
        private = folder / PRIVATE
        signers = {}
        if private.is_dir():
            _only_for_owner(private, stat.S_ISDIR, 0o700)
            for path in sorted(private.glob("*.pem")):
                signers[path.stem] = read_private(path)
                if signers[path.stem].public_key.keyid != path.stem:
                    raise KeyRefused(f"{path} is not the key that its name says")
        numbered = sorted((int(found[1]), path) for path in folder.iterdir() if (found := _SET.match(path.name)))
        keys = cls(folder, [path.read_bytes() for _, path in numbered], signers)
        _checked(keys.sets)
        return keys

    def with_private(self, files: Iterable[Path]) -> Keys:
        """These keys, and private ones that are kept elsewhere, such as root keys.

        :raises KeyRefused: if a file is no key, or somebody but its owner may read it.
        """
        found = {signer.public_key.keyid: signer for signer in map(read_private, files)}
        return Keys(self.folder, self.sets, {**self.signers, **found})

    def seal(self, registered: Sequence[bytes] = ()) -> Seal:
        """What signs now, for a registry that has registered these key sets (none: it will register the first).

        :raises KeyRefused: if the folder is another registry's, or too few publication keys are here.
        """
        if not registered and len(self.sets) > 1:
            raise KeyRefused(f"{self.folder} holds the keys of another registry, which changed them since its first")
        mine, theirs = self.sets[: len(registered) or 1], tuple(registered) or self.sets[:1]
        if mine != theirs[: len(mine)]:
            raise KeyRefused(f"{self.folder} holds the keys of another registry")
        key_set = _checked(theirs)[-1]
        return Seal(key_set, self._signers("publication", key_set))

    def signers_of_sets(self, sets: Iterable[KeySet]) -> tuple[CryptoSigner, ...]:
        """The root keys that sign a new key set: those of the set before and its own.

        :raises KeyRefused: if too few of either are here.
        """
        found = {signer.public_key.keyid: signer for one in sets for signer in self._signers("root", one)}
        return tuple(found.values())

    def _signers(self, role: str, key_set: KeySet) -> tuple[CryptoSigner, ...]:
        keyids, threshold = key_set.roles[role]
        found = tuple(self.signers[keyid] for keyid in sorted(keyids) if keyid in self.signers)
        if len(found) < threshold:
            raise KeyRefused(
                f"key set {key_set.version} asks for {threshold} {role} key(s), {len(found)} here: "
                f"{', '.join(f'{self.folder / PRIVATE / keyid}.pem' for keyid in sorted(keyids))}"
            )
        return found


# --- Making and changing keys ---------------------------------------------------------------------------------------


def generate(folder: Path, registry: str, *, root: Role = ONE, publication: Role = ONE) -> Keys:
    """Make the first keys of a registry, whose IRI is ``registry``, and the key set that names them.

    :raises KeyRefused: if the folder holds keys already, or a threshold can't be reached.
    """
    if next(folder.glob("*.json"), None) is not None:
        raise KeyRefused(f"{folder} holds keys already")
    made = {name: _new_keys(folder, role) for name, role in (("root", root), ("publication", publication))}
    roles = {
        name: (sorted(keys), role.threshold)
        for (name, keys), role in zip(made.items(), (root, publication), strict=True)
    }
    signers = {keyid: signer for keys in made.values() for keyid, signer in keys.items()}
    public = {keyid: _public(signer) for keyid, signer in signers.items()}
    payload = _payload(1, registry, public, roles, {}, verification.FIRST)
    write_set(folder, 1, _envelope(payload, verification.KEYS, [signers[keyid] for keyid in roles["root"][0]]))
    return Keys.opened(folder)


def rotate(
    store: Store,
    keys: Keys,
    *,
    replace: Iterable[str] = (),
    revoke: Mapping[str, int] | None = None,
    at: datetime,
    actor: Actor,
) -> Keys:
    """Put a new key set in force, in which new keys take the place of all keys of some roles and of each revoked one.

    ``replace`` names roles; ``revoke`` says from which log entry on a key's signatures no longer count: not from one
    that it signed, which stays valid.

    :raises Unauthenticated, Forbidden: if the actor may not.
    :raises KeyRefused: if a key to revoke has no role, or too few root keys are here to sign the change.
    :raises Conflict: if what was signed would no longer be valid.
    """
    fresh: Collection[str] = ()
    try:
        with acting(store, actor, "key.write") as act:
            registered = store.key_sets() or list(keys.sets[:1])
            keys.seal(registered)
            more, envelope = _rotated(keys, registered, replace=frozenset(replace), revoke=revoke or {})
            fresh = more.signers.keys() - keys.signers.keys()
            act.object = f"keys {store.add_key_set(envelope, more, at)}"
            act.before, act.after = (verification.sha256(one) for one in (registered[-1], envelope))
    except BaseException:
        forget(keys.folder, fresh)
        raise
    found = [*registered, envelope]
    for version, one in enumerate(found, start=1):
        if not (keys.folder / f"{version}.json").exists() or version == len(found):
            write_set(keys.folder, version, one)
    return Keys(keys.folder, found, more.signers)


def _rotated(
    keys: Keys, registered: Sequence[bytes], *, replace: Collection[str], revoke: Mapping[str, int]
) -> tuple[Keys, bytes]:
    """The keys with new private ones among them, which are on disk, and the signed set that names these."""
    sets = _checked(registered)
    last = sets[-1]
    strangers = sorted(keyid for keyid in revoke if keyid not in last.keys and keyid not in last.revoked)
    if strangers:
        raise KeyRefused(f"key {strangers[0]} is in no role of key set {last.version}")
    keys.signers_of_sets([last])  # Before new keys are made, which would be left over.
    roles: dict[str, tuple[list[str], int]] = {}
    fresh: dict[str, CryptoSigner] = {}
    for name, (keyids, threshold) in last.roles.items():
        kept = set() if name in replace else keyids - revoke.keys()
        new = _new_keys(keys.folder, Role(len(keyids) - len(kept), 0))
        fresh |= new
        roles[name] = (sorted({*kept, *new}), threshold)
    named = {keyid for keyids, _ in roles.values() for keyid in keyids}
    before = _json(registered[-1])["keys"]
    public = {keyid: item for keyid, item in before.items() if keyid in named}
    public |= {keyid: _public(signer) for keyid, signer in fresh.items()}
    payload = _payload(last.version + 1, last.registry, public, roles, {**last.revoked, **revoke}, last.sha256)
    more = Keys(keys.folder, keys.sets, {**keys.signers, **fresh})
    try:
        proposed = verification.key_set(payload)
        envelope = _envelope(payload, verification.KEYS, more.signers_of_sets([last, proposed]))
    except BaseException:
        forget(keys.folder, fresh)
        raise
    return more, envelope


def forget(folder: Path, keyids: Iterable[str]) -> None:
    """Remove private keys that nothing names."""
    for keyid in keyids:
        (folder / PRIVATE / f"{keyid}.pem").unlink(missing_ok=True)


def write_set(folder: Path, version: int, envelope: bytes) -> None:
    """Keep a key set in a key folder, for all to read."""
    _write(folder / f"{version}.json", envelope, 0o644)


def read_private(path: Path) -> CryptoSigner:
    """The private key in a file.

    :raises KeyRefused: if there is none, or somebody but its owner may read it.
    """
    _only_for_owner(path, stat.S_ISREG, 0o600)
    found = None
    # What is wrong with it is not repeated: the reader's words might hold some of the key.
    with suppress(ValueError, TypeError, OSError):
        found = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(found, Ed25519PrivateKey):
        raise KeyRefused(f"{path} is not an Ed25519 private key in PEM (PKCS#8, without a password)")
    return _signer(found)


def _new_keys(folder: Path, role: Role) -> dict[str, CryptoSigner]:
    if role.threshold > role.keys:
        raise KeyRefused(f"a threshold of {role.threshold} can't be reached with {role.keys} key(s)")
    private = folder / PRIVATE
    if not private.is_dir():
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        private.mkdir(mode=0o700)
    made = {}
    for _ in range(role.keys):
        signer = _signer(Ed25519PrivateKey.generate())
        _write(private / f"{signer.public_key.keyid}.pem", signer.private_bytes, 0o600)
        made[signer.public_key.keyid] = signer
    return made


def _signer(private: Ed25519PrivateKey) -> CryptoSigner:
    # It takes a quarter of a second to import, which reading never needs.
    from securesystemslib.signer import CryptoSigner, SSlibKey

    public = private.public_key()
    return CryptoSigner(private, SSlibKey.from_crypto(public, keyid=verification.sha256(verification.der_of(public))))


def _envelope(payload: bytes, payload_type: str, signers: Iterable[CryptoSigner]) -> bytes:
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    for signer in signers:
        envelope.sign(signer)
    return rfc8785.dumps(envelope.to_dict())


def _payload(
    version: int,
    registry: str,
    public: Mapping[str, Mapping[str, str]],
    roles: Mapping[str, tuple[Sequence[str], int]],
    revoked: Mapping[str, int],
    previous: str,
) -> bytes:
    named = {name: {"keyids": list(keyids), "threshold": threshold} for name, (keyids, threshold) in roles.items()}
    return verification.canonical(
        {
            "type": "keys",
            "form": 1,
            "version": version,
            "registry": registry,
            "keys": {keyid: dict(item) for keyid, item in public.items()},
            "roles": named,
            "revoked": dict(revoked),
            "previous": previous,
        }
    )


def _public(signer: CryptoSigner) -> dict[str, str]:
    key = signer.public_key
    der = verification.der_of(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"])))
    return {"keytype": key.keytype, "scheme": key.scheme, "public": base64.b64encode(der).decode()}


def _json(envelope: bytes) -> dict[str, Any]:
    payload = verification.open_envelope(envelope, verification.KEYS, "jeu de clés")[0]
    found: dict[str, Any] = orjson.loads(payload)
    return found


def _checked(sets: Iterable[bytes]) -> list[KeySet]:
    try:
        return verification.key_sets(sets)
    except Unverified as error:
        raise KeyRefused(str(error)) from error


def _only_for_owner(path: Path, is_kind: Callable[[int], bool], mode: int) -> None:
    try:
        found = path.lstat().st_mode
    except OSError as error:
        raise KeyRefused(f"{path}: {error.strerror}") from error
    if not is_kind(found) or stat.S_IMODE(found) != mode:
        raise KeyRefused(f"{path} is {stat.S_IMODE(found):04o}, not {mode:04o}: others may have access")


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole, with its permissions from the first byte on, and return once it is on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    to_disk(path.parent)
