"""Commands that prove what was published, and those that keep the keys which sign it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import click

from cli import current, output, values
from registry import keys as keys_
from registry import signing, verification
from registry.errors import Unverified
from registry.keys import Role
from registry.verification import Trust, Verified

ROLES = {"root": "racine", "publication": "publication"}


@click.command()
@click.argument("target", metavar="FILE|DIR|URL|N@V", required=False)
@click.option("--database", is_flag=True, help="Verify the whole registry of this machine instead.")
@click.option("--key", type=click.File("rb"), help="Trusted public keys (PEM), or trusted key sets (JSON).")
@click.option("--head", type=click.File("rb"), help="A head of the log (checkpoint) known from before.")
@output.json_option
def verify(target: str | None, database: bool, key: IO[bytes] | None, head: IO[bytes] | None) -> None:
    """Verify what was published: an archive, a release of this registry, another registry, or the whole database.

    FILE is an archive (`socle export N@V --format archive`), DIR the folder that it was unpacked to: neither needs a
    registry. URL is that of a registry, of one of its releases, or of an archive. Without --key the root keys found
    are printed, to be compared with those that the registry makes known elsewhere.

    Ends with exit code 1 if anything is not what was signed, and names it.
    """
    if database == bool(target):
        raise click.UsageError("give one thing to verify: FILE, DIR, URL, N@V or --database")
    with _told():
        trust = verification.read_trust(key.read() if key else b"", head.read() if head else b"")
        found = list(_database(trust) if target is None else _verified(target, trust))
    now = datetime.now(UTC)
    documents = [
        {
            "name": name,
            "release": one.release or None,
            "entries": len(one.entries),
            "root": one.root,
            "lastEntry": one.entries[-1]["issued"],
            "stale": bool(verification.stale(one, now)),
        }
        for name, one in found
    ]
    rest = verification.summary(found[0][1], trust, now)[1:] if found else []
    lines = [verification.summary(one, trust, now)[0] for _, one in found]
    output.listing(documents, [*lines, *rest], rootKeys=list(found[0][1].root_keys) if found else [])


@contextmanager
def _told() -> Iterator[None]:
    """What the verifier refuses, as an error of the registry."""
    try:
        yield
    except verification.Unverified as error:
        raise Unverified(str(error)) from error


def _verified(target: str, trust: Trust) -> Iterator[tuple[str, Verified]]:
    if target.startswith(("http://", "https://")):
        from registry import remote

        yield from remote.verify(target, trust)
    elif Path(target).exists():
        yield target, verification.verify_archive(Path(target), trust)
    else:
        yield target, _release(target, trust)


def _release(target: str, trust: Trust) -> Verified:
    """The archive of a release of this registry, verified as anybody would who gets it."""
    from registry import archive

    try:
        name = values.NAMED_RELEASE.convert(target, None, None)
    except click.BadParameter as error:
        raise click.UsageError(f"{target} is no file, no address and no release: {error.message}") from error
    registry = current.store()
    edition = current.edition(registry, name.slug, name.release)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "archive.zip"
        with path.open("wb") as stream:
            archive.write(registry, name.slug, edition.version, stream)
        return verification.verify_archive(path, trust)


def _database(trust: Trust) -> Iterator[tuple[str, Verified]]:
    """The database and its files: signatures, chain, files, and every row of what was published, made anew."""
    from registry import doctor

    damaged = [one for one in doctor.stored(current.store()) if one.state == "damaged"]
    if damaged:
        more = f" (et {len(damaged) - 1} autres objets)" if len(damaged) > 1 else ""
        raise Unverified("\n".join(f"{one.object} : {one.message}" for one in damaged[:20]) + more)
    yield "base de données", doctor.verified_log(current.store(), trust)


@click.command()
@click.option("--verify", "verify_it", is_flag=True, help="Verify chain, signatures and head instead of printing.")
@output.json_option
def log(verify_it: bool) -> None:
    """Print the release log, an entry a line, or verify that it is whole and signed."""
    from registry import doctor

    registry = current.store()
    if not verify_it:
        entries = doctor.entries(registry)
        output.listing([json.loads(entry) for entry in entries], (entry.decode() for entry in entries))
        return
    entries = doctor.entries(registry)
    head, root, warning = signing.FIRST, verification.Tree().root().hex(), ""
    if entries:
        with _told():
            verified = doctor.verified_log(registry, Trust())
        head, root, warning = (
            signing.sha256(entries[-1]),
            verified.root,
            verification.stale(verified, datetime.now(UTC)),
        )
    lines = [f"journal vérifié : {len(entries)} entrées, tête {head}, racine {root}", *([warning] if warning else [])]
    output.answer({"entries": len(entries), "head": head, "root": root, "stale": bool(warning)}, lines)


# --- Keys -----------------------------------------------------------------------------------------------------------


@click.group()
def key() -> None:
    """Signing keys: private ones stay in files of this machine, public ones are in signed key sets."""


@key.command()
@click.option("--root", type=click.IntRange(1, 20), default=1, show_default=True, help="How many root keys.")
@click.option("--threshold", type=click.IntRange(1, 20), default=1, show_default=True, help="How many must sign.")
def generate(root: int, threshold: int) -> None:
    """Make the first keys of a registry: root keys, which sign key sets, and one that signs what is published."""
    if threshold > root:
        raise click.BadParameter("more than there are root keys", param_hint="--threshold")
    made = keys_.generate(current.settings().keys, current.settings().base_iri, root=Role(root, threshold))
    click.echo(f"clés de signature créées dans {made.folder} : elles sont propres à cette machine")
    click.echo("mettez les clés racines à l'abri, hors de cette machine ; sauvegardez les autres")
    for line in _lines(made.sets):
        click.echo(line)


@key.command()
@click.option("--publication", is_flag=True, help="New publication keys in the place of all of them.")
@click.option("--root", is_flag=True, help="New root keys in the place of all of them.")
@click.option("--revoke", metavar="KEYID", multiple=True, help="This key no longer counts; a new one replaces it.")
@click.option("--from-seq", type=click.IntRange(1, 2**31 - 1), help="… from this log entry on; the next, if not said.")
@click.option(
    "--with", "files", type=click.Path(path_type=Path), multiple=True, help="A root key kept elsewhere (PEM)."
)
def rotate(
    publication: bool, root: bool, revoke: tuple[str, ...], from_seq: int | None, files: tuple[Path, ...]
) -> None:
    """Put new keys in force by a key set that old and new root keys sign; what was signed before stays valid."""
    if not (publication or root or revoke):
        raise click.UsageError("say which: --publication, --root or --revoke KEYID")
    registry, chosen = current.store(), current.keys().with_private(files)
    named = [name for name, wanted in (("publication", publication), ("root", root)) if wanted]
    since = from_seq or registry.head() + 1
    rotated = keys_.rotate(
        registry,
        chosen,
        replace=named,
        revoke=dict.fromkeys(revoke, since),
        at=datetime.now(UTC),
        actor=current.actor(),
    )
    click.echo(f"en vigueur à partir de l'entrée {registry.head()} du journal :")
    for line in _lines(rotated.sets[-1:]):
        click.echo(line)


@key.command("list")
@output.json_option
def list_keys() -> None:
    """List the key sets of the registry, from the first: which key has which role, and which are revoked."""
    sets = current.store().key_sets() or list(current.keys().sets)
    output.listing([_document(one) for one in verification.key_sets(sets)], _lines(sets))


def _document(one: verification.KeySet) -> dict[str, object]:
    roles = {name: {"keyids": sorted(keyids), "threshold": least} for name, (keyids, least) in one.roles.items()}
    return {"version": one.version, "registry": one.registry, "roles": roles, "revoked": dict(one.revoked)}


def _lines(sets: list[bytes] | tuple[bytes, ...]) -> Iterator[str]:
    for envelope in sets:
        payload = verification.open_envelope(envelope, verification.KEYS, "jeu de clés")[0]
        one = verification.key_set(payload)
        yield f"jeu de clés {one.version} de {one.registry}"
        for name, (keyids, least) in one.roles.items():
            yield from (f"  {ROLES[name]} ({least} sur {len(keyids)}) : {keyid}" for keyid in sorted(keyids))
        yield from (f"  révoquée à partir de l'entrée {seq} : {keyid}" for keyid, seq in sorted(one.revoked.items()))
