"""What a command works on: the settings, the store that they name, and the release that is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from cli import output, values
from registry import access, opening
from registry import settings as settings_
from registry.access import Actor
from registry.errors import TooLarge
from registry.model import Edition, today
from registry.sandbox import OPERATOR_LIMITS
from registry.settings import Settings
from registry.store import Store

if TYPE_CHECKING:
    from registry.keys import Keys
    from registry.search import Index

MOST_BYTES = OPERATOR_LIMITS.bytes_in
"""The largest file that a command reads: it is held in memory."""

_STORE = "cli.current.store"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def settings() -> Settings:
    """The settings of the environment and of ``.env``."""
    return settings_.read()


def store() -> Store:
    """The registry's store, the same throughout a command and closed when it ends."""
    context = click.get_current_context()
    if _STORE not in context.meta:
        context.meta[_STORE] = opening.opened(settings())
        context.find_root().call_on_close(context.meta[_STORE].close)
    found: Store = context.meta[_STORE]
    return found


def actor() -> Actor:
    """Who acts: the person that --as names, the owner of SOCLE_TOKEN, else the registry's first administrator.

    Whoever runs commands on the registry's own machine may act as anybody there; the journal says that it was so.

    :raises Unauthenticated: if the token is not good, or the person was erased.
    :raises NotFound: if there is no such person.
    """
    registry, person = store(), click.get_current_context().obj
    if not person and settings().token:
        return access.token_actor(registry, settings().token, today())
    return access.actor_of(registry, person or access.first_administrator(registry)[0].id, door="terminal")


def keys() -> Keys:
    """The keys that sign for the registry.

    :raises KeyRefused: if there are none, or somebody but their owner may read them.
    """
    from registry.keys import Keys  # Cryptography takes long to import, and only what is signed needs it.

    return Keys.opened(settings().keys)


def index(registry: Store) -> Index:
    """The search index of the releases in force today."""
    from registry import finding  # Whoosh takes long to import, and only searches need it.

    return finding.current_index(registry, settings().index, today())


def release_options(command: _Command) -> _Command:
    """Give a command the options that say which release it reads."""
    for option in (
        click.option("--known-at", type=values.INSTANT, help="… as it was known at this instant."),
        click.option("--at", type=values.DAY, help="The release in force on this day."),
    ):
        command = option(command)
    return command


def edition(
    registry: Store, slug: str, release: str | None, at: date | None = None, known_at: datetime | None = None
) -> Edition:
    """The release that is asked for; in force today unless something else is said. That it was withdrawn is told.

    :raises NotFound: if there is no such release, or none is in force.
    """
    if release and (at or known_at):
        raise click.UsageError("a release is refused beside --at and --known-at: it is one or the other")
    if release == "latest":
        return registry.latest(slug)
    if not release or release == "current":
        return registry.in_force(slug, at or today(), known_at)
    found = registry.edition(slug, release)
    # A pinned release does not know what is learnt of it later.
    for known in registry.editions(slug):
        if known.version == found.version and known.withdrawn_at:
            click.echo(f"avertissement : {slug}@{found.version} {output.withdrawal(known)}", err=True)
    return found


def contents(stream: IO[bytes]) -> bytes:
    """All bytes of an input file.

    :raises TooLarge: if there are too many to hold.
    """
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise TooLarge(f"au plus {MOST_BYTES >> 20} Mio")
    return data
