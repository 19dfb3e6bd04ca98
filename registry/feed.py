"""What changed since: every change and every withdrawal of releases, in order, exactly once, by cursors for ever."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

from registry.changes import link_shapes
from registry.formats.document import change_document
from registry.model import Edition
from registry.signing import instant
from registry.store import Store
from registry.store.concepts import FeedItem


class Position(NamedTuple):
    """A place in the feed: after the code ``after`` of the release whose log entry is ``seq``."""

    seq: int
    after: str

    def cursor(self) -> str:
        """This place as an opaque text, which means the same for ever."""
        return base64.urlsafe_b64encode(f"{self.seq}\n{self.after}".encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> Position:
        """The place that a cursor names; that of an empty one is the beginning.

        :raises ValueError: if no feed gave it.
        """
        if not cursor:
            return BEGINNING
        try:
            return cls.read(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode())
        except binascii.Error as error:
            raise ValueError(cursor) from error

    @classmethod
    def read(cls, text: str) -> Position:
        """The place that a cursor's text names, once it is decoded.

        :raises ValueError: if no feed gave it.
        """
        seq, _, after = text.partition("\n")
        if not 0 <= int(seq) < 2**31:
            raise ValueError(text)
        return cls(int(seq), after)


BEGINNING = Position(0, "")


class Page(NamedTuple):
    """Some of the feed: its items as JSON, the place after the last, and whether there are more yet."""

    items: list[dict[str, Any]]
    position: Position
    more: bool


def page(store: Store, start: Position, *, slug: str | None, limit: int) -> Page:
    """At most ``limit`` items after a place: each release (``type`` release), then its changes (``type`` change).

    A release that is withdrawn comes once more (``type`` withdrawal), at the moment when it was, with the reason.

    :raises NotFound: if there is no nomenclature of that slug.
    """
    if slug is not None:
        store.nomenclature(slug)
    # One more than asked for is read, to know whether there are more.
    parts = store.feed(slug=slug, seq=start.seq, after=start.after, limit=limit + 1)
    found = [item for part in parts for item in _items(part, start)]
    found += (_withdrawal(*one) for one in store.withdrawals(slug=slug, seq=start.seq, limit=limit + 1))
    # Entries of the log are in one order, whatever they say; the sort leaves the changes of a release as they are.
    found.sort(key=lambda item: item[1].seq)
    kept = found[:limit]
    return Page([item for item, _ in kept], kept[-1][1] if kept else start, len(found) > limit)


def _withdrawal(edition: Edition, seq: int) -> tuple[dict[str, Any], Position]:
    item = {
        "type": "withdrawal",
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "seq": seq,
        "issued": instant(edition.withdrawn_at or edition.issued),
        "validFrom": edition.valid_from.isoformat(),
        "why": edition.withdrawn_why,
    }
    return item, Position(seq, "")


def _items(part: FeedItem, start: Position) -> Iterator[tuple[dict[str, Any], Position]]:
    edition = part.edition
    read_in = {
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "seq": edition.seq,
        "issued": instant(edition.issued),
        "validFrom": edition.valid_from.isoformat(),
    }
    if edition.seq > start.seq:
        yield {"type": "release", **read_in}, Position(edition.seq, "")
    shapes = link_shapes(part.changes.links_added)
    for change in part.changes.changes:
        yield {"type": "change", **read_in, **change_document(change, shapes)}, Position(edition.seq, change.code)
