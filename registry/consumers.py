"""Who uses what: counted for those who say who they are, so that they are warned before something breaks.

Readers are anonymous. Whoever reads by a token is counted under the token's organisation: one row an organisation,
nomenclature, release and day. No address is kept, nor which concepts were read. Counts are held in memory and written
now and then; what a killed process held is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from registry import access, drafts
from registry.changes import ChangeSet
from registry.crosswalks import Organisation
from registry.errors import Busy, Damaged, NotFound, Unauthenticated
from registry.model import today
from registry.store import Store
from registry.store.consumers import Pull, PulledRelease
from registry.store.drafts import DraftHead

OF_LATE = timedelta(days=90)
"""How long after its last pull an organisation counts as one that uses a list."""

KEPT = timedelta(days=400)
"""How long counts are kept."""

NEWS = timedelta(days=7)
"""How long after it was issued a release that nobody was warned of is still told."""

SECONDS = 20
MOST_HELD = 2_000
"""Counts are written this often, or once there are so many different ones; more than five times that are not held."""

LISTED_CODES = 100


class _Read(NamedTuple):
    token: str
    nomenclature: str
    version: str
    day: date


class Tally:
    """Reads by token that are not written yet. Thread-safe; noting one costs next to nothing."""

    def __init__(self) -> None:
        self._counts: dict[_Read, int] = {}
        self._since = time.monotonic()
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def note(self, token: str, nomenclature: str, version: str) -> None:
        """Count one read; without a version, of the last release; without a nomenclature, of each one."""
        read = _Read(token, nomenclature, version, today())
        with self._lock:
            if not self._counts:
                self._since = time.monotonic()
            if read in self._counts or len(self._counts) < 5 * MOST_HELD:
                self._counts[read] = self._counts.get(read, 0) + 1

    @property
    def is_due(self) -> bool:
        """Whether there is something to be written by now."""
        held = len(self._counts)
        return held >= MOST_HELD or bool(held and time.monotonic() - self._since >= SECONDS)

    def write(self, store: Store) -> None:
        """Write what was counted; where the registry can't be written to now, it is lost. One at a time does."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            with self._lock:
                counts, self._counts = self._counts, {}
            owners = {token: _owner(store, token) for token in {read.token for read in counts}}
            pulls: dict[Pull, int] = {}
            for read, count in counts.items():
                for organisation in owners[read.token]:
                    pull = Pull(organisation, read.nomenclature, read.version, read.day)
                    pulls[pull] = pulls.get(pull, 0) + count
            if pulls:
                with suppress(Busy, Damaged):
                    store.add_pulls(pulls)
        finally:
            self._writing.release()


def _owner(store: Store, token: str) -> tuple[str, ...]:
    """The organisation that a token stands for; none if it is not good."""
    with suppress(Unauthenticated, NotFound, Busy, Damaged):
        return access.token_actor(store, token, today()).organisations(*access.ROLES)
    return ()


# --- Who pulled ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consumer:
    """An organisation that pulled a list of late, and what it pulled of it: the release pulled last comes first."""

    organisation: Organisation
    releases: tuple[PulledRelease, ...]


def consumers(store: Store, slug: str, on: date | None = None) -> list[Consumer]:
    """The organisations that pulled a nomenclature in the last 90 days, by slug."""
    pulls = store.pulls(slug, (on or today()) - OF_LATE)
    return [
        # Of those pulled on one day the later release comes first: the order in which they were read.
        Consumer(owner, tuple(sorted(group, key=lambda one: one.last, reverse=True)))
        for owner, group in groupby(pulls, key=lambda one: one.organisation)
    ]


def consumer_documents(found: Sequence[Consumer]) -> list[dict[str, Any]]:
    """Consumers as JSON: ``release`` is the one that was pulled last, on the day ``last``."""
    return [
        {
            "organisation": one.organisation.slug,
            "name": one.organisation.name,
            "kind": one.organisation.kind,
            "release": one.releases[0].version,
            "last": one.releases[0].last.isoformat(),
            "pulls": sum(release.times for release in one.releases),
            "releases": [
                {"release": release.version, "last": release.last.isoformat(), "pulls": release.times}
                for release in one.releases
            ],
        }
        for one in found
    ]


# --- Warning them --------------------------------------------------------------------------------------------------


class _Breaking(NamedTuple):
    """Something that may break: what names it, what it is, and what is said of it."""

    key: str
    nomenclature: str
    at: datetime
    about: str
    release: str
    valid_from: date | None
    stage: str
    changes: ChangeSet


def warn(store: Store, now: datetime | None = None) -> int:
    """Warn whoever pulls a list of what will break in it, once; return how many warnings there were.

    A draft is told of once it is approved, a release once it is published unless its draft was told of. The members of
    the organisations concerned get a notice; webhooks read the warnings. Where nobody would be told, nothing is kept.
    """
    now = now or datetime.now(UTC)
    day = today()
    store.forget_pulls(day - KEPT)
    count = 0
    for found in _unknown(store, now, day):
        breaking = [change for change in found.changes.changes if change.compatibility == "breaking"]
        told = [
            one
            for one in consumers(store, found.nomenclature, day)
            if found.stage == "approved" or min(release.first for release in one.releases) <= found.at.date()
        ]
        with store.at_once():
            if found.stage == "approved" and not _stands(store, found):
                continue
            document = _document(found, [change.code for change in breaking])
            if not store.add_warning(found.key, found.nomenclature, found.at, len(breaking), document):
                continue
            if breaking:
                count += 1
                for consumer in told:
                    _tell(store, consumer, found, document)
    return count


def _unknown(store: Store, now: datetime, day: date) -> Iterator[_Breaking]:
    heads = [head for state in ("approved", "scheduled") for head in store.drafts(state=state, limit=1000)[0]]
    for head in heads:
        if head.submission and not store.is_known(head.submission) and _audience(store, head.nomenclature.slug, day):
            yield _from_draft(store, head, now)
    for edition, submission in store.recent_releases(now - NEWS):
        slug, version = edition.nomenclature, edition.version
        key = submission or f"{slug}@{version}"
        if edition.predecessor and not store.is_known(key) and _audience(store, slug, day):
            changes = store.difference(slug, edition.predecessor, version)
            about = f"release {slug}@{version}"
            yield _Breaking(key, slug, edition.issued, about, version, edition.valid_from, "published", changes)


def _from_draft(store: Store, head: DraftHead, now: datetime) -> _Breaking:
    changes = drafts.changes(store, head.id)
    slug = head.nomenclature.slug
    about = f"draft {head.id}"
    return _Breaking(head.submission, slug, now, about, head.version, head.valid_from, "approved", changes)


def _stands(store: Store, found: _Breaking) -> bool:
    """Whether a draft is still what it was when its changes were read."""
    head = store.draft_head(int(found.about.removeprefix("draft ")))
    return head.submission == found.key and head.state in ("approved", "scheduled")


def _audience(store: Store, slug: str, day: date) -> bool:
    return store.wants_warnings(slug) or bool(store.pulls(slug, day - OF_LATE))


def _document(found: _Breaking, codes: Sequence[str]) -> dict[str, Any]:
    by_code = {change.code: change for change in found.changes.changes}
    return {
        "stage": found.stage,
        "release": found.release,
        "validFrom": found.valid_from.isoformat() if found.valid_from else None,
        "total": len(codes),
        "codes": [
            {
                "code": code,
                "kinds": list(by_code[code].kinds),
                "successors": sorted({link.new for link in by_code[code].lineage if link.old == code}),
            }
            for code in codes[:LISTED_CODES]
        ],
    }


def _tell(store: Store, consumer: Consumer, found: _Breaking, document: dict[str, Any]) -> None:
    codes = [one["code"] for one in document["codes"]]
    more = "…" if document["total"] > 5 else ""
    day = f"{found.valid_from:%d/%m/%Y}" if found.valid_from else "une date à fixer"
    first = consumer.releases[0]
    stage = "est approuvée" if found.stage == "approved" else "est publiée"
    text = (
        f"{found.nomenclature} : la version {found.release} {stage} ; elle s'applique à partir du {day}. "
        f"Codes à revoir dans vos systèmes : {document['total']} ({', '.join(codes[:5])}{more}). "
        f"{consumer.organisation.name} a relevé la version {first.version} le {first.last:%d/%m/%Y}."
    )
    for person in sorted({person for person, _ in store.members(consumer.organisation.slug)}):
        store.add_notice(person, found.about, text)
