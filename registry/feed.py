"""What changed since: every change and every withdrawal of releases, in order, exactly once, by cursors for ever.

Whoever holds the release that an item of type ``release`` names as its predecessor, and applies that item and the
changes that come with it (``applied``), holds the release itself, to the byte of its canonical form.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from registry import changes as changes_
from registry.changes import Change, ChangeSet, link_shapes
from registry.errors import Conflict
from registry.formats import document
from registry.formats.document import change_document, concept_from, group_from, heading_from, link_document, link_from
from registry.formats.tabular import join_cell
from registry.model import Edition, Nomenclature, Release, Texts
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
    found = [item for part in parts for item in _items(part, start, _labels(store, part))]
    found += (_withdrawal(*one) for one in store.withdrawals(slug=slug, seq=start.seq, limit=limit + 1))
    # Entries of the log are in one order, whatever they say; the sort leaves the changes of a release as they are.
    found.sort(key=lambda item: item[1].seq)
    kept = found[:limit]
    return Page([item for item, _ in kept], kept[-1][1] if kept else start, len(found) > limit)


class News(NamedTuple):
    """A release that came, or its withdrawal, in brief; ``changes`` is None where there was no release before it."""

    seq: int
    at: datetime
    edition: Edition
    heading: Nomenclature
    withdrawal: bool
    changes: ChangeSet | None


def news(store: Store, *, slug: str | None, before: int | None, limit: int) -> list[News]:
    """Releases and withdrawals whose log entry comes before an entry (None: all), the newest first, so many at most.

    :raises NotFound: if there is no nomenclature of that slug.
    """
    slugs = [store.nomenclature(slug).slug] if slug is not None else [one.slug for one in store.nomenclatures()]
    found = [(edition.seq, edition, False) for one in slugs for edition in store.editions(one)]
    found += [(seq, edition, True) for edition, seq in store.withdrawals(slug=slug, seq=0, limit=len(found))]
    found = sorted((one for one in found if before is None or one[0] < before), key=itemgetter(0), reverse=True)
    return [_news(store, *one) for one in found[:limit]]


def _news(store: Store, seq: int, edition: Edition, withdrawal: bool) -> News:
    slug, version = edition.nomenclature, edition.version
    follows = edition.predecessor and not withdrawal
    changes = store.difference(slug, edition.predecessor, version) if follows else None
    at = (edition.withdrawn_at if withdrawal else None) or edition.issued
    return News(seq, at, edition, store.heading(slug, version), withdrawal, changes)


def passage_document(changes: ChangeSet, edition: Edition) -> dict[str, Any]:
    """What leads to a release beside what happened to single codes: its heading, groups, and links taken back."""
    before = {group.code: group for group in changes.before.groups}
    after = {group.code: group for group in changes.after.groups}
    return {
        "release": edition.version,
        "validFrom": edition.valid_from.isoformat(),
        "contentSha256": edition.content_sha256,
        "heading": document.heading_document(changes.after.nomenclature),
        "groups": {
            "changed": [document.group_document(group) for code, group in after.items() if before.get(code) != group],
            "removed": sorted(before.keys() - after.keys()),
        },
        "lineageRemoved": [link_document(link) for link in sorted(changes.links_removed)],
    }


def beginning(told: Mapping[str, Any]) -> Release:
    """The empty release, which a release without predecessor is made from.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not what the feed tells.
    """
    return Release(heading_from(told["heading"]), "", date.min)


def applied(base: Release, told: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Release:
    """The release that an item of type ``release``, or a delta, leads to from another, with the changes that it names.

    :raises Conflict: naming the codes whose state is not the one that the changes start from.
    :raises ValueError, TypeError, KeyError, AttributeError: if it is not what the feed or a delta tells.
    """
    found = [
        Change(
            item["code"],
            concept_from(item["before"]) if item["before"] else None,
            concept_from(item["after"]) if item["after"] else None,
            tuple(item["kinds"]),
            tuple(link_from(link) for link in item["lineage"]),
        )
        for item in items
    ]
    if any(state is not None and state.code != one.code for one in found for state in (one.before, one.after)):
        raise ValueError("a change of one code that holds the state of another")
    groups = {group.code: group for group in base.groups if group.code not in told["groups"]["removed"]}
    groups |= {group.code: group for group in map(group_from, told["groups"]["changed"])}
    head = Release(
        heading_from(told["heading"]),
        told["release"],
        date.fromisoformat(told["validFrom"]),
        groups=tuple(groups[code] for code in sorted(groups)),
    )
    added = frozenset(link for one in found for link in one.lineage)
    removed = frozenset(map(link_from, told["lineageRemoved"]))
    if len({one.code for one in found}) != len(found):
        raise Conflict(f"{head.nomenclature.slug}@{head.version}: a code comes twice")
    return changes_.apply(base, ChangeSet(base.with_heading(concepts={}), head, tuple(found), added, removed))


# --- In lines and in rows --------------------------------------------------------------------------------


def _ndjson(items: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items)


COLUMNS = (
    *("cursor", "type", "nomenclature", "release", "seq", "issued", "validFrom", "code", "kinds", "compatibility"),
    *("successors", "why", "field", "before", "after"),
)
"""The columns of the feed as CSV: a row for each field of a concept that changed, or one for whatever changed none."""


def _csv(items: Iterable[Mapping[str, Any]]) -> bytes:
    """UTF-8, comma, CRLF; several values in a cell joined as in a release's own CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item in items:
        cells = {name: item.get(name, "") for name in COLUMNS}
        cells |= {
            "kinds": join_cell(item.get("kinds", ())),
            "successors": join_cell(item_["code"] for item_ in item.get("successors", ())),
            "why": item.get("why") or "",
        }
        before, after = (_fields(item.get(side)) for side in ("before", "after"))
        names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
        for name in names or [""]:
            row = {**cells, "field": name, "before": before.get(name, ""), "after": after.get(name, "")}
            writer.writerow([row[column] for column in COLUMNS])
    return out.getvalue().encode()


def _fields(state: Mapping[str, Any] | None) -> dict[str, str]:
    """The fields of a concept's state as texts, those in several languages one by one; empty ones are left out."""
    found: dict[str, str] = {}
    for name, value in (state or {}).items():
        parts = {f"{name}@{tag}": one for tag, one in value.items()} if isinstance(value, dict) else {name: value}
        for key, part in parts.items():
            text = part if isinstance(part, str) else join_cell(part or ())
            if text and name != "code":
                found[key] = text
    return found


class FeedFormat(NamedTuple):
    """A format of the feed that is lines: ``write`` gives the bytes of some of its items."""

    media_type: str
    write: Callable[[Iterable[Mapping[str, Any]]], bytes]


FEED_FORMATS: dict[str, FeedFormat] = {
    "ndjson": FeedFormat("application/x-ndjson", _ndjson),
    "csv": FeedFormat("text/csv", _csv),
}
"""The formats of the feed beside JSON. Each of their lines has the cursor to go on from once it is dealt with."""


# --- Items -----------------------------------------------------------------------------------------------


def _withdrawal(edition: Edition, seq: int) -> tuple[dict[str, Any], Position]:
    item = {
        "type": "withdrawal",
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "seq": seq,
        "issued": instant(edition.withdrawn_at or edition.issued),
        "validFrom": edition.valid_from.isoformat(),
        "why": edition.withdrawn_why,
        "cursor": Position(seq, "").cursor(),
    }
    return item, Position(seq, "")


def _items(part: FeedItem, start: Position, labels: Mapping[str, Texts]) -> Iterator[tuple[dict[str, Any], Position]]:
    edition = part.edition
    parts = told(part.changes, edition, labels)
    if edition.seq > start.seq:
        place = Position(edition.seq, "")
        yield {**next(parts), "cursor": place.cursor()}, place
    else:
        next(parts)
    for item in parts:
        place = Position(edition.seq, item["code"])
        yield {**item, "cursor": place.cursor()}, place


def delta(store: Store, changes: ChangeSet, edition: Edition) -> Iterator[dict[str, Any]]:
    """What leads from any release to another, ``edition``, as the feed tells it: the release, then its changes."""
    parts = told(changes, edition, _labels(store, FeedItem(edition, changes)))
    yield {**next(parts), "predecessor": changes.before.version}
    yield from parts


def told(changes: ChangeSet, edition: Edition, labels: Mapping[str, Texts]) -> Iterator[dict[str, Any]]:
    """A release, then the changes that it came with."""
    read_in = {
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "seq": edition.seq,
        "issued": instant(edition.issued),
        "validFrom": edition.valid_from.isoformat(),
    }
    made_from = {"predecessor": edition.predecessor or None, "corrects": edition.corrects or None}
    yield {"type": "release", **read_in, **made_from, **passage_document(changes, edition)}
    shapes = link_shapes(changes.links_added)
    for change in changes.changes:
        successors = [
            {"code": link.new, "prefLabel": dict(labels[link.new]), "date": link.date.isoformat(), "kind": link.kind}
            for link in change.lineage
            if link.old == change.code != link.new
        ]
        yield {"type": "change", **read_in, **change_document(change, shapes), "successors": successors}


def _labels(store: Store, part: FeedItem) -> dict[str, Texts]:
    """The preferred labels of the successors that some changes name, in the release that they came with."""
    codes = {link.new for change in part.changes.changes for link in change.lineage if link.old != link.new}
    if not codes:
        return {}
    found = store.labels(part.edition.nomenclature, part.edition.version, codes)
    return {code: concept.pref_label for code, concept in found.items()}
