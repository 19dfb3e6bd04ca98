"""Nomenclatures, their releases and what these hold: reading at any release, and the one way to add one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, union, union_all, update
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from registry import signing
from registry.changes import ChangeSet, change_set
from registry.errors import AlreadyPublished, Conflict, Damaged, NotFound
from registry.formats.document import concept_from, concept_state
from registry.model import (
    Acceptance,
    Concept,
    Decision,
    Edition,
    Group,
    Link,
    Nomenclature,
    Release,
    Texts,
    Version,
    mainline,
    texts,
)
from registry.store import tables as t
from registry.store.blobs import Blob, Blobs
from registry.store.database import Database

NO_DAY = date(1, 1, 1)
BATCH = 1_000
"""How many rows are written, or read beside others, at a time."""


class Rendition(NamedTuple):
    """One stored file of a release: format name, media type, and the bytes' identity."""

    format: str
    media_type: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class ConceptView:
    """A concept in one release with all that its page and its JSON name: neighbours, their labels, its lineage."""

    concept: Concept
    nomenclature: Nomenclature
    edition: Edition
    narrower: tuple[str, ...]
    links_from: tuple[Link, ...]
    links_to: tuple[Link, ...]
    labels: Mapping[str, Texts]


class Row(NamedTuple):
    """A concept in a list: code, status, preferred labels, codes of its broader concepts."""

    code: str
    status: str
    pref_label: Texts
    broader: tuple[str, ...]


class FeedItem(NamedTuple):
    """Some of what happened in one release."""

    edition: Edition
    changes: ChangeSet


def holds(table: Any, number: ColumnElement[int] | int) -> ColumnElement[bool]:
    """The condition that an interval's row is of the release ``number``.

    The sums keep SQLite from going through all rows that began before a release to find those of one code.
    """
    return and_(table.c.since + 0 <= number, or_(table.c.until.is_(None), table.c.until + 0 > number))


_scheme: BindParameter[int] = bindparam("scheme")
_number: BindParameter[int] = bindparam("number")


def _at(table: Any) -> ColumnElement[bool]:
    return and_(table.c.nomenclature_id == _scheme, holds(table, _number))


_STATE = select(t.concept_state.c.state).where(_at(t.concept_state), t.concept_state.c.code == bindparam("code"))
_NARROWER = (
    select(t.broader_state.c.code)
    .where(_at(t.broader_state), t.broader_state.c.broader == bindparam("code"))
    .order_by(t.broader_state.c.code)
)
# Two searches, by what is old and by what is new: each has an index.
_LINKS = union_all(
    *(
        select(t.link_state.c.old, t.link_state.c.new, t.link_state.c.date, t.link_state.c.kind).where(
            _at(t.link_state), condition
        )
        for condition in (
            t.link_state.c.old == bindparam("code"),
            and_(t.link_state.c.new == bindparam("code"), t.link_state.c.old != bindparam("code")),
        )
    )
).order_by("date", "old", "new")
_STATES = select(t.concept_state.c.state).where(
    _at(t.concept_state), t.concept_state.c.code.in_(bindparam("codes", expanding=True))
)
_before = t.release.alias("before")
_EDITIONS = (
    select(
        t.release,
        t.nomenclature.c.slug,
        func.coalesce(_before.c.version, "").label("predecessor"),
        t.withdrawal.c.at,
        t.withdrawal.c.why,
    )
    .join(t.nomenclature, t.nomenclature.c.id == t.release.c.nomenclature_id)
    .outerjoin(
        _before,
        and_(_before.c.nomenclature_id == t.release.c.nomenclature_id, _before.c.number == t.release.c.follows),
    )
    .outerjoin(t.withdrawal, t.withdrawal.c.release_id == t.release.c.id)
)
_STAMP = select(
    *(
        select(func.coalesce(func.max(column), 0)).scalar_subquery()
        for column in (t.log.c.seq, t.nomenclature.c.id, t.list_edition.c.id, t.crosswalk_edition.c.id)
    )
)
_EDITIONS_OF = _EDITIONS.where(t.nomenclature.c.slug == bindparam("slug")).order_by(t.release.c.number)
_EDITION = _EDITIONS.where(t.nomenclature.c.slug == bindparam("slug"), t.release.c.version == bindparam("version"))


class Releases:
    """What the store says of nomenclatures, releases and concepts."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self.database, self.blobs = database, blobs
        # A published release never changes: what identifies it is read once.
        self._known: dict[tuple[str, str], tuple[int, Edition, Nomenclature]] = {}

    # Nomenclatures and their releases

    def add_nomenclature(self, nomenclature: Nomenclature) -> None:
        """Keep a new nomenclature, without any release yet.

        :raises AlreadyPublished: if the slug is taken.
        """
        with self.database.writing() as connection:
            if nomenclature_id(connection, nomenclature.slug) is not None:
                raise AlreadyPublished(nomenclature.slug)
            connection.execute(
                insert(t.nomenclature).values(slug=nomenclature.slug, document=heading_json(nomenclature))
            )

    def nomenclatures(self) -> list[Nomenclature]:
        """Every nomenclature as it was created, by slug."""
        with self.database.reading() as connection:
            rows = connection.execute(select(t.nomenclature.c.document).order_by(t.nomenclature.c.slug))
            return [heading_from(row.document) for row in rows]

    def nomenclature(self, slug: str) -> Nomenclature:
        """One nomenclature as it was created.

        :raises NotFound: if there is none of that slug.
        """
        with self.database.reading() as connection:
            return _nomenclature(connection, slug)

    def editions(self, slug: str) -> list[Edition]:
        """All releases of a nomenclature, withdrawn ones too, in the order of their numbers.

        :raises NotFound: if there is no such nomenclature.
        """
        with self.database.reading() as connection:
            editions = [_edition(row) for row in connection.execute(_EDITIONS_OF, {"slug": slug})]
            if not editions:
                _nomenclature(connection, slug)
            return editions

    def edition(self, slug: str, version: str) -> Edition:
        """One release by its version, without what is learnt later of it (withdrawal).

        :raises NotFound: with the versions that there are.
        """
        return self._release(slug, version)[1]

    def in_force(self, slug: str, at: date, known_at: datetime | None = None) -> Edition:
        """The release in force on a day, as known at an instant: issued by then and not withdrawn by then.

        Of these, the one with the greatest ``valid_from`` not after the day, then the greatest number. Without
        ``known_at`` all that the registry holds is known, whatever the clock of this machine says.

        :raises NotFound: if none was in force, with the day from which one is.
        """

        def is_known(edition: Edition) -> bool:
            if known_at is None:
                return edition.withdrawn_at is None
            return edition.issued <= known_at and not (edition.withdrawn_at and edition.withdrawn_at <= known_at)

        known = [edition for edition in self.editions(slug) if is_known(edition)]
        valid = [edition for edition in known if edition.valid_from <= at]
        if not valid:
            first = min((edition.valid_from for edition in known), default=None)
            raise NotFound("release", f"{slug} {at}", {"inForceFrom": first.isoformat() if first else ""})
        return max(valid, key=lambda edition: (edition.valid_from, edition.number))

    def latest(self, slug: str) -> Edition:
        """The release issued last that is not withdrawn, perhaps not yet in force.

        An erratum of an older MAJOR comes after the release that overtook it, and does not take its place.

        :raises NotFound: if there is none.
        """
        newest = mainline([edition for edition in self.editions(slug) if edition.withdrawn_at is None])
        if newest is None:
            raise NotFound("release", slug)
        return newest

    def heading(self, slug: str, version: str) -> Nomenclature:
        """The nomenclature as a release describes it.

        :raises NotFound: if there is no such release.
        """
        return self._release(slug, version)[2]

    def decision(self, slug: str, version: str) -> Decision:
        """On what ground a release was published.

        :raises NotFound: if there is no such release.
        """
        with self.database.reading() as connection:
            query = select(t.release.c.decision).join(t.nomenclature)
            found = connection.execute(
                query.where(t.nomenclature.c.slug == slug, t.release.c.version == version)
            ).scalar()
        if found is None:
            raise NotFound("release", f"{slug}@{version}")
        return decision_from(found)

    def renditions(self, slug: str, version: str) -> list[Rendition]:
        """The stored files of a release.

        :raises NotFound: if there is no such release.
        """
        release_id = self._release_id(slug, version)
        with self.database.reading() as connection:
            rows = connection.execute(select(t.file).where(t.file.c.release_id == release_id).order_by(t.file.c.format))
            return [Rendition(row.format, row.media_type, Blob(row.sha256, row.size)) for row in rows]

    def rendition(self, slug: str, version: str, format: str) -> tuple[Rendition, Path]:
        """One stored file of a release and where its checked bytes are.

        :raises NotFound: if there is no such release or it is not kept in that format.
        :raises Damaged: if the bytes are missing or altered.
        """
        for rendition in self.renditions(slug, version):
            if rendition.format == format:
                return rendition, self.blobs.path(rendition.blob)
        raise NotFound("format", format)

    # What a release holds

    def release(self, slug: str, version: str) -> Release:
        """A whole release, every concept of it in memory.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, nomenclature = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            states = connection.execute(
                select(t.concept_state.c.state).where(_at(t.concept_state)).order_by(t.concept_state.c.code), bound
            )
            concepts = (_concept(row.state) for row in states)
            return Release(
                nomenclature,
                version,
                edition.valid_from,
                {concept.code: concept for concept in concepts},
                frozenset(_links(connection.execute(_all(t.link_state), bound))),
                tuple(_group(row.state) for row in connection.execute(_all(t.group_state), bound)),
            )

    def concept(self, slug: str, version: str, code: str) -> ConceptView:
        """A concept in a release, with its neighbours and lineage as that release knows them.

        :raises NotFound: with the releases that have the code, and its successors.
        """
        release_id, edition, nomenclature = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number, "code": code}
            state = connection.execute(_STATE, bound).scalar()
            if state is None:
                raise NotFound("concept", f"{slug}@{version}/{code}", _elsewhere(connection, slug, code))
            concept = _concept(state)
            narrower = tuple(connection.execute(_NARROWER, bound).scalars())
            links = list(_links(connection.execute(_LINKS, bound)))
            links_from = tuple(link for link in links if link.old == code)
            links_to = tuple(link for link in links if link.new == code)
            named = {*concept.broader, *concept.related, *narrower}
            named.update(*((link.old, link.new) for link in links))
            labels = {code: concept.pref_label}
            if named - {code}:
                rows = connection.execute(_STATES, {**bound, "codes": sorted(named - {code})})
                labels.update((found.code, found.pref_label) for found in (_concept(row.state) for row in rows))
            return ConceptView(concept, nomenclature, edition, narrower, links_from, links_to, labels)

    def concepts(
        self,
        slug: str,
        version: str,
        *,
        broader: str | None = None,
        status: str | None = None,
        law_at: date | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Concept], int]:
        """Concepts of a release by code, those after ``after``, and how many there are in all.

        ``broader`` keeps the direct narrower concepts of a code (empty: the top concepts); ``law_at`` those whose
        own legal dates hold the day, whatever their status.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        table = t.concept_state
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            condition = _at(table)
            if broader is not None:
                children = select(t.broader_state.c.code).where(
                    _at(t.broader_state), t.broader_state.c.broader == broader
                )
                condition = and_(condition, table.c.code.in_(children))
            if status is not None:
                condition = and_(condition, table.c.status == status)
            if law_at is not None:
                day = law_at.isoformat()
                condition = and_(
                    condition,
                    or_(table.c.valid_from.is_(None), table.c.valid_from <= day),
                    or_(table.c.valid_until.is_(None), table.c.valid_until >= day),
                )
            total = connection.execute(select(func.count()).select_from(table).where(condition), bound).scalar_one()
            page = select(table.c.state).where(condition, table.c.code > after).order_by(table.c.code).limit(limit)
            return [_concept(row.state) for row in connection.execute(page, bound)], total

    def labels(self, slug: str, version: str, codes: Iterable[str]) -> dict[str, Concept]:
        """The concepts of the codes given, in a release; unknown codes are absent.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        wanted = sorted(set(codes))
        found: dict[str, Concept] = {}
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            for start in range(0, len(wanted), 500):
                rows = connection.execute(_STATES, {**bound, "codes": wanted[start : start + 500]})
                found.update((concept.code, concept) for concept in (_concept(row.state) for row in rows))
        return found

    def tree(self, slug: str, version: str) -> list[Row]:
        """Every concept of a release in brief, by code.

        :raises NotFound: if there is no such release.
        """
        release_id, edition, _ = self._release(slug, version)
        with self.database.reading() as connection:
            bound = {"scheme": _scheme_of(connection, release_id), "number": edition.number}
            rows = connection.execute(
                select(t.concept_state.c.state).where(_at(t.concept_state)).order_by(t.concept_state.c.code), bound
            )
            return [_brief(row.state) for row in rows]

    def history(self, slug: str, code: str) -> list[tuple[Edition, ChangeSet]]:
        """Each release that changed the code, with what it changed in it alone, oldest first.

        :raises NotFound: if no release of the nomenclature knows the code.
        """
        editions = {edition.number: edition for edition in self.editions(slug)}
        with self.database.reading() as connection:
            scheme = nomenclature_id(connection, slug)
            marks = [
                select(column).where(table.c.nomenclature_id == scheme, key == code)
                for table, keys in ((t.concept_state, ("code",)), (t.link_state, ("old", "new")))
                for key in (table.c[name] for name in keys)
                for column in (table.c.since, table.c.until)
            ]
            numbers = sorted(number for number in connection.execute(union(*marks)).scalars() if number)
            if not numbers:
                raise NotFound("concept", f"{slug}/{code}")
            return [
                (editions[number], self._passage(connection, slug, scheme, editions[number].follows, number, {code}))
                for number in numbers
                if number in editions
            ]

    def difference(self, slug: str, old: str, new: str) -> ChangeSet:
        """What leads from one release to another, either way; only what differs is read.

        :raises NotFound: if one of the releases does not exist.
        """
        first, second = self.edition(slug, old), self.edition(slug, new)
        with self.database.reading() as connection:
            scheme = nomenclature_id(connection, slug)
            low, high = sorted((first.number, second.number))
            codes = _touched(connection, scheme, low, high)
            return self._passage(connection, slug, scheme, first.number, second.number, codes)

    def feed(self, *, slug: str | None, seq: int, after: str, limit: int) -> list[FeedItem]:
        """What happened after the change of code ``after`` in the release of log entry ``seq``, oldest first.

        A release comes once its entry is committed, in the order of the log; ``limit`` changes at most.
        """
        with self.database.reading() as connection:
            query = _EDITIONS.where(t.release.c.seq >= seq).order_by(t.release.c.seq)
            if slug is not None:
                query = query.where(t.nomenclature.c.slug == slug)
            found: list[FeedItem] = []
            left = limit
            for edition in [_edition(row) for row in connection.execute(query)]:
                if left <= 0:
                    break
                scheme = nomenclature_id(connection, edition.nomenclature)
                start = after if edition.seq == seq else ""
                ends = edition.follows, edition.number
                codes = {code for code in _touched(connection, scheme, *ends) if code > start or edition.seq > seq}
                if edition.number != edition.follows + 1:
                    # What the releases in between changed and this one does not have is touched, and unchanged.
                    whole = self._passage(connection, edition.nomenclature, scheme, *ends, codes)
                    codes = {change.code for change in whole.changes if change.kinds or change.lineage}
                page = sorted(codes)[:left]
                if edition.seq == seq and not page:
                    continue
                changes = self._passage(connection, edition.nomenclature, scheme, *ends, set(page))
                found.append(FeedItem(edition, changes))
                left -= len(page) or 1
            return found

    # The log

    def log_entries(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Entries of the release log as they were sealed, after the entry ``after``."""
        with self.database.reading() as connection:
            query = select(t.log.c.entry).where(t.log.c.seq > after).order_by(t.log.c.seq).limit(limit)
            return [row.entry.encode() for row in connection.execute(query)]

    def head(self) -> int:
        """How many entries the release log has: it names the state of everything that is derived."""
        with self.database.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.max(t.log.c.seq), 0))).scalar_one())

    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever anything published changes; cheap to ask for."""
        with self.database.reading() as connection:
            return tuple(connection.execute(_STAMP).one())

    def manifest(self, slug: str, version: str) -> bytes:
        """The manifest of a release: canonical JSON, as it stands in the log.

        :raises NotFound: if there is no such release.
        """
        edition = self.edition(slug, version)
        with self.database.reading() as connection:
            return str(
                connection.execute(select(t.log.c.entry).where(t.log.c.seq == edition.seq)).scalar_one()
            ).encode()

    def named_files(self) -> set[str]:
        """SHA-256 of every file that a release names."""
        with self.database.reading() as connection:
            return set(connection.execute(select(t.file.c.sha256)).scalars())

    # Adding a release

    def add_release(
        self,
        release: Release,
        *,
        base: str,
        corrects: str,
        issued: datetime,
        decision: Decision,
        canonical: Rendition,
        renditions: Sequence[Rendition],
        draft_id: int | None,
        canonical_name: str,
        file_name: Callable[[Rendition], str],
    ) -> Edition:
        """Make a release exist: rows, manifest and log entries in one transaction, the only publication point.

        ``base`` is the version that was last when the content was made (empty: none was).

        :raises AlreadyPublished: if this version exists.
        :raises Conflict: if another release has come since, or the draft is not open.
        """
        nomenclature = release.nomenclature
        with self.database.writing() as connection:
            scheme = nomenclature_id(connection, nomenclature.slug)
            if scheme is None:
                raise NotFound("nomenclature", nomenclature.slug)
            editions = [_edition(row) for row in connection.execute(_EDITIONS_OF, {"slug": nomenclature.slug})]
            if any(edition.version == release.version for edition in editions):
                raise AlreadyPublished(f"{nomenclature.slug}@{release.version}")
            last = editions[-1] if editions else None
            newest = mainline(editions)
            if (newest.version if newest else "") != base:
                raise Conflict(
                    f"{nomenclature.slug}: the last release is {newest.version if newest else 'none'}, not {base}"
                )
            number = last.number + 1 if last else 1
            follows = next((edition.number for edition in editions if edition.version == (corrects or base)), 0)
            head = connection.execute(select(t.log).order_by(t.log.c.seq.desc()).limit(1)).one_or_none()
            seq, previous = (head.seq + 1, head.sha256) if head else (1, signing.FIRST)
            described = {
                "name": canonical_name,
                "media_type": canonical.media_type,
                "size": canonical.blob.size,
                "sha256": canonical.blob.sha256,
            }
            manifest = signing.manifest(
                release,
                seq=seq,
                issued=issued,
                previous=previous,
                canonical=described,
                decision=decision,
                corrects=corrects,
            )
            others = signing.renditions(
                release,
                seq=seq + 1,
                issued=issued,
                previous=signing.sha256(manifest),
                files=[
                    {
                        "name": file_name(rendition),
                        "media_type": rendition.media_type,
                        "size": rendition.blob.size,
                        "sha256": rendition.blob.sha256,
                    }
                    for rendition in renditions
                ],
            )
            for position, entry in ((seq, manifest), (seq + 1, others)):
                connection.execute(
                    insert(t.log).values(seq=position, sha256=signing.sha256(entry), entry=entry.decode())
                )
            self._write_states(connection, scheme, last, number, release)
            release_id = connection.execute(select(func.coalesce(func.max(t.release.c.id), 0) + 1)).scalar_one()
            connection.execute(
                insert(t.file),
                [
                    {
                        "release_id": release_id,
                        "format": rendition.format,
                        "media_type": rendition.media_type,
                        "size": rendition.blob.size,
                        "sha256": rendition.blob.sha256,
                    }
                    for rendition in (canonical, *renditions)
                ],
            )
            deprecated = sum(concept.status == "deprecated" for concept in release.concepts.values())
            # The release row seals its concepts, so it comes last.
            connection.execute(
                insert(t.release).values(
                    id=release_id,
                    nomenclature_id=scheme,
                    number=number,
                    follows=follows,
                    version=release.version,
                    valid_from=release.valid_from.isoformat(),
                    issued=signing.instant(issued),
                    seq=seq,
                    content_sha256=canonical.blob.sha256,
                    concepts=len(release.concepts),
                    deprecated=deprecated,
                    corrects=corrects,
                    heading=heading_json(nomenclature),
                    decision=decision_json(decision),
                )
            )
            if draft_id is not None:
                closed = connection.execute(
                    update(t.draft)
                    .where(t.draft.c.id == draft_id, t.draft.c.state == "open")
                    .values(state="published", release_id=release_id)
                )
                if closed.rowcount != 1:
                    raise Conflict(f"draft {draft_id} is not open")
            return _edition(connection.execute(_EDITION, {"slug": nomenclature.slug, "version": release.version}).one())

    def _write_states(
        self, connection: Connection, scheme: int, last: Edition | None, number: int, release: Release
    ) -> None:
        """Close the intervals that the release ends and open those that it begins; the rest is left alone."""
        bound = {"scheme": scheme, "number": last.number if last else 0}
        for table, rows in _rows_of(release):
            opening: Iterable[dict[str, Any]] = rows
            if last is not None:
                keys = [column.name for column in table.primary_key if column.name not in ("nomenclature_id", "since")]
                stored = connection.execute(_all(table), bound, execution_options={"yield_per": BATCH})
                closing, opening = _differences(stored, rows, keys)
                if closing:
                    condition = and_(
                        table.c.nomenclature_id == scheme,
                        table.c.until.is_(None),
                        *(table.c[name] == bindparam(f"_{name}") for name in keys),
                    )
                    ends = [{f"_{name}": row[name] for name in keys} | {"_until": number} for row in closing]
                    connection.execute(update(table).where(condition).values(until=bindparam("_until")), ends)
            insert_all(connection, table, ({**row, "nomenclature_id": scheme, "since": number} for row in opening))

    # Shared by the methods above

    def _release(self, slug: str, version: str) -> tuple[int, Edition, Nomenclature]:
        known = self._known.get((slug, version))
        if known is None:
            with self.database.reading() as connection:
                row = connection.execute(_EDITION, {"slug": slug, "version": version}).one_or_none()
                if row is None:
                    _nomenclature(connection, slug)
                    versions = [edition.version for edition in self.editions(slug)]
                    raise NotFound("release", f"{slug}@{version}", {"releases": versions})
                edition = _edition(row, pinned=True)
                known = (row.id, edition, heading_from(row.heading))
                self._known[slug, version] = known
        return known

    def _release_id(self, slug: str, version: str) -> int:
        return self._release(slug, version)[0]

    def _passage(
        self, connection: Connection, slug: str, scheme: int | None, before: int, after: int, codes: set[str]
    ) -> ChangeSet:
        """The change set between two release numbers (0: before the first), with the changes of some codes only.

        All links that differ are looked at, whatever the codes: the shape of an event is told by its links together.
        """
        old, new = (self._partial(connection, slug, scheme, number, codes) for number in (before, after))
        low, high = sorted((before, after))
        rows = connection.execute(
            select(t.link_state).where(t.link_state.c.nomenclature_id == scheme, _between(t.link_state, low, high))
        ).all()
        links = (
            frozenset(_links(row for row in rows if row.since <= number and (row.until is None or row.until > number)))
            for number in (before, after)
        )
        changes = change_set(*(side.with_heading(links=found) for side, found in zip((old, new), links, strict=True)))
        return replace(changes, changes=tuple(change for change in changes.changes if change.code in codes))

    def _partial(self, connection: Connection, slug: str, scheme: int | None, number: int, codes: set[str]) -> Release:
        """A release with some of its concepts only, and without its lineage."""
        edition = connection.execute(
            _EDITIONS.where(t.release.c.nomenclature_id == scheme, t.release.c.number == number)
        ).one_or_none()
        if edition is None:
            return Release(_nomenclature(connection, slug), "", NO_DAY)
        bound = {"scheme": scheme, "number": number}
        concepts: dict[str, Concept] = {}
        wanted = sorted(codes)
        for start in range(0, len(wanted), 500):
            rows = connection.execute(_STATES, {**bound, "codes": wanted[start : start + 500]})
            concepts.update((concept.code, concept) for concept in (_concept(row.state) for row in rows))
        groups = tuple(_group(row.state) for row in connection.execute(_all(t.group_state), bound))
        return Release(
            heading_from(edition.heading),
            edition.version,
            date.fromisoformat(edition.valid_from),
            concepts,
            groups=groups,
        )


def _touched(connection: Connection, scheme: int | None, low: int, high: int) -> set[str]:
    """Codes whose state or lineage differs between two release numbers, or differed in between."""
    marks = []
    for table, names in ((t.concept_state, ("code",)), (t.link_state, ("old", "new"))):
        between = _between(table, low, high)
        marks += [select(table.c[name]).where(table.c.nomenclature_id == scheme, between) for name in names]
    return set(connection.execute(union(*marks)).scalars())


def _between(table: Any, low: int, high: int) -> ColumnElement[bool]:
    """The condition that an interval begins or ends after release ``low`` and by release ``high``."""
    return or_(and_(table.c.since > low, table.c.since <= high), and_(table.c.until > low, table.c.until <= high))


def _elsewhere(connection: Connection, slug: str, code: str) -> dict[str, object]:
    """Where a code that a release does not have is to be found: the releases that do, and its successors."""
    releases = connection.execute(
        select(t.release.c.version)
        .join(t.nomenclature, t.nomenclature.c.id == t.release.c.nomenclature_id)
        .join(t.concept_state, t.concept_state.c.nomenclature_id == t.nomenclature.c.id)
        .where(
            t.nomenclature.c.slug == slug, t.concept_state.c.code == code, holds(t.concept_state, t.release.c.number)
        )
        .order_by(t.release.c.number)
    ).scalars()
    successors = connection.execute(
        select(t.link_state.c.new)
        .join(t.nomenclature, t.nomenclature.c.id == t.link_state.c.nomenclature_id)
        .where(t.nomenclature.c.slug == slug, t.link_state.c.old == code, t.link_state.c.new != code)
        .distinct()
        .order_by(t.link_state.c.new)
    ).scalars()
    return {"releases": list(releases), "successors": list(successors)}


def nomenclature_id(connection: Connection, slug: str) -> int | None:
    """The row number of a nomenclature, None if there is none of that slug."""
    return connection.execute(select(t.nomenclature.c.id).where(t.nomenclature.c.slug == slug)).scalar()


def _nomenclature(connection: Connection, slug: str) -> Nomenclature:
    found = connection.execute(select(t.nomenclature.c.document).where(t.nomenclature.c.slug == slug)).scalar()
    if found is None:
        slugs = list(connection.execute(select(t.nomenclature.c.slug).order_by(t.nomenclature.c.slug)).scalars())
        raise NotFound("nomenclature", slug, {"nomenclatures": slugs})
    return heading_from(found)


def _scheme_of(connection: Connection, release_id: int) -> int:
    return int(connection.execute(select(t.release.c.nomenclature_id).where(t.release.c.id == release_id)).scalar_one())


def _all(table: Any) -> Any:
    return select(table).where(_at(table)).order_by(*table.primary_key)


def insert_all(connection: Connection, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows as they come, so that a hundred thousand of them are never in memory together."""
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        connection.execute(insert(table), batch)


def _differences(
    stored: Iterable[Any], wanted: Iterator[dict[str, Any]], keys: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The stored rows that are no longer wanted as they are, and the wanted rows that are not stored so.

    Both come in the order of their keys and are walked side by side: only what differs is kept in memory.
    """
    closing: list[dict[str, Any]] = []
    opening: list[dict[str, Any]] = []
    row = next(wanted, None)
    for found in stored:
        held = found._mapping
        key = [held[name] for name in keys]
        while row is not None and [row[name] for name in keys] < key:
            opening.append(row)
            row = next(wanted, None)
        if row is None or [row[name] for name in keys] != key:
            closing.append(held)
            continue
        if any(held[name] != value for name, value in row.items()):
            closing.append(held)
            opening.append(row)
        row = next(wanted, None)
    return closing, opening + ([row, *wanted] if row is not None else [])


def _rows_of(release: Release) -> Iterator[tuple[Any, Iterator[dict[str, Any]]]]:
    """The rows that a release wants in each table of states, in the order of their keys."""
    yield (
        t.concept_state,
        (
            {
                "code": code,
                "status": concept.status,
                "label": concept.label,
                "valid_from": concept.valid_from.isoformat() if concept.valid_from else None,
                "valid_until": concept.valid_until.isoformat() if concept.valid_until else None,
                "state": orjson.dumps(concept_state(concept)).decode(),
            }
            for code, concept in sorted(release.concepts.items(), key=itemgetter(0))
        ),
    )
    above = ((broader, code) for code, concept in release.concepts.items() for broader in (concept.broader or ("",)))
    yield t.broader_state, ({"broader": broader, "code": code} for broader, code in sorted(above))
    yield (
        t.link_state,
        (
            {"old": link.old, "new": link.new, "date": link.date.isoformat(), "kind": link.kind}
            for link in sorted(release.links)
        ),
    )
    groups = sorted(release.groups, key=attrgetter("code"))
    yield t.group_state, ({"code": group.code, "state": group_json(group)} for group in groups)


def _concept(state: str) -> Concept:
    return concept_from(orjson.loads(state))


def _brief(state: str) -> Row:
    found = orjson.loads(state)
    return Row(found["code"], found["status"], texts(found["prefLabel"].items()), tuple(found["broader"]))


def _links(rows: Iterable[Any]) -> Iterator[Link]:
    return (Link(row.old, row.new, date.fromisoformat(row.date), row.kind) for row in rows)


def group_json(group: Group) -> str:
    """A group as it is stored."""
    return orjson.dumps({"code": group.code, "label": group.pref_label, "members": group.members}).decode()


def _group(state: str) -> Group:
    found = orjson.loads(state)
    return Group(found["code"], texts((tag, text) for tag, text in found["label"]), tuple(found["members"]))


def heading_json(nomenclature: Nomenclature) -> str:
    """A nomenclature as it is stored."""
    return orjson.dumps(
        {
            "slug": nomenclature.slug,
            "iri": nomenclature.iri,
            "title": nomenclature.title,
            "description": nomenclature.description,
            "publisher": nomenclature.publisher,
            "license": nomenclature.license,
            "attribution": nomenclature.attribution,
            "code_pattern": nomenclature.code_pattern,
            "level_titles": nomenclature.level_titles,
            "generic": nomenclature.generic,
            "votes": nomenclature.votes,
        }
    ).decode()


def heading_from(document: str) -> Nomenclature:
    """A nomenclature from what is stored."""
    found = orjson.loads(document)
    for key in ("title", "description"):
        found[key] = texts((tag, text) for tag, text in found[key])
    found["level_titles"] = tuple(found["level_titles"])
    return Nomenclature(**found)


def decision_json(decision: Decision) -> str:
    """A decision as it is stored."""
    return orjson.dumps(decision).decode()


def decision_from(document: str) -> Decision:
    """A decision from what is stored."""
    found = orjson.loads(document)
    accepted = (Acceptance(item["rule"], item["reason"], tuple(item["codes"])) for item in found["accepted"])
    return Decision(found["basis"], tuple(found["same_meaning"]), tuple(accepted))


def _edition(row: Any, *, pinned: bool = False) -> Edition:
    try:
        Version(row.version)
    except ValueError as error:
        raise Damaged(f"release {row.slug}@{row.version}") from error
    return Edition(
        nomenclature=row.slug,
        version=row.version,
        number=row.number,
        follows=row.follows,
        seq=row.seq,
        valid_from=date.fromisoformat(row.valid_from),
        issued=datetime.fromisoformat(row.issued).astimezone(UTC),
        content_sha256=row.content_sha256,
        concepts=row.concepts,
        deprecated=row.deprecated,
        corrects=row.corrects,
        predecessor=row.predecessor,
        withdrawn_at=None if pinned or not row.at else datetime.fromisoformat(row.at).astimezone(UTC),
        withdrawn_why="" if pinned else row.why or "",
    )
