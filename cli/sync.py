"""The command that keeps a verified copy of a registry's releases in a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import click

from cli import current, output
from registry import errors, mirror, verification
from registry.model import today
from registry.settings import LOOPBACK, bearer_token


@click.command()
@click.argument("url")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--key", type=click.File("rb"), help="Trusted public keys (PEM), or trusted key sets (JSON).")
@click.option(
    "--token-file", type=click.File("r"), help="A file that holds the token to ask by; without it SOCLE_SYNC_TOKEN."
)
@output.json_option
def sync(url: str, folder: Path, key: IO[bytes] | None, token_file: IO[str] | None) -> None:
    """Keep a copy of the releases of the registry at URL in DIR, verified; made if there is none.

    DIR/current holds, for each nomenclature, a folder a release (JSON, CSV, SKOS), and the links `in-force` and
    `latest`. It changes at once or not at all; a run that was killed is taken up by the next. What is not signed by the
    keys that the copy knows, or does not grow from what it holds, is refused, and the copy stays as it is. The first
    time, without --key, the root keys are printed, to be compared with those that the registry makes known elsewhere.

    With a token the registry counts what your organisation uses, and warns you of what will break. It is sent to that
    registry alone, over HTTPS or on this machine, and written nowhere.

    Fit for cron: exit code 0 also where nothing is new; 1 refused, 4 another run is at work, 5 no answer.
    """
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("accepted is http://… or https://…", param_hint="URL")
    try:
        trust = verification.read_trust(key.read() if key else b"")
    except verification.Unverified as error:
        raise errors.Unverified(str(error)) from error
    token = _token(token_file) if token_file else current.settings().sync_token
    address = urlsplit(url)
    if token and address.scheme == "http" and address.hostname not in LOOPBACK:
        raise click.UsageError("a token is not sent over plain HTTP: give an https:// address, or no token")
    done = mirror.sync(url, folder, today=today(), trust=trust, said=output.progress, token=token)
    changes = [*(f"nouvelle version : {name}" for name in done.came), *(f"retirée : {name}" for name in done.withdrawn)]
    warning = verification.stale(done.log, datetime.now(UTC))
    state = "copie à jour" if done.changed else "rien de nouveau"
    lines = [
        *changes,
        *(f"clé racine, à comparer à celle que le registre annonce : {keyid}" for keyid in done.root_keys),
        f"{state} : {len(done.log.entries)} entrées, racine {done.log.root}",
        *([warning] if warning else []),
    ]
    document = {
        "changed": done.changed,
        "came": list(done.came),
        "withdrawn": list(done.withdrawn),
        "entries": len(done.log.entries),
        "root": done.log.root,
        "rootKeys": list(done.root_keys),
        "stale": bool(warning),
    }
    output.answer(document, lines)


def _token(file: IO[str]) -> str:
    try:
        return bearer_token(file.read(1000).strip())
    except ValueError:
        # What was in the file is not repeated, since it may be another secret.
        raise click.BadParameter("accepted is a file with one token, reg_…", param_hint="--token-file") from None
