"""Nomenclatures, their releases and what these hold: reading at any release, and the one way to add one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, insert, literal_column, select, true, update

from registry import signing
from registry.errors import AlreadyPublished, Conflict, Damaged, NotFound
from registry.model import (
    Decision,
    Edition,
    Nomenclature,
    Release,
    Version,
    mainline,
)
from registry.store import tables as t
from registry.store.blobs import Blob, Blobs
from registry.store.database import Database
from registry.store.seals import Appending, Seals
from registry.store.states import (
    decision_from,
    decision_json,
    heading_from,
    heading_json,
    write_states,
)

if TYPE_CHECKING:
    from registry.keys import Keys


class Rendition(NamedTuple):
    """One stored file of a release: format name, media type, and the bytes' identity."""

    format: str
    media_type: str
    blob: Blob


def _described(rendition: Rendition, name: str) -> dict[str, Any]:
    """A file as the log names it."""
    blob = rendition.blob
    return {"name": name, "media_type": rendition.media_type, "size": blob.size, "sha256": blob.sha256}


def _file_rows(release_id: int, renditions: Sequence[Rendition]) -> list[dict[str, Any]]:
    return [
        {
            "release_id": release_id,
            "format": rendition.format,
            "media_type": rendition.media_type,
            "size": rendition.blob.size,
            "sha256": rendition.blob.sha256,
        }
        for rendition in renditions
    ]


_before = t.release.alias("before")
EDITIONS = (
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
_PUBLISHED = (t.log.c.seq, t.nomenclature.c.id, t.list_edition.c.id, t.crosswalk_edition.c.id)
_STAMP, _STAMP_OF_ALL = (
    select(*(select(func.coalesce(func.max(column), literal_column("0"))).scalar_subquery() for column in columns))
    for columns in (_PUBLISHED, (*_PUBLISHED, t.journal.c.seq))
)
_EDITIONS_OF = EDITIONS.where(t.nomenclature.c.slug == bindparam("slug")).order_by(t.release.c.number)
_EDITION = EDITIONS.where(t.nomenclature.c.slug == bindparam("slug"), t.release.c.version == bindparam("version"))


class Releases(Seals):
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
            return nomenclature_of(connection, slug)

    def editions(self, slug: str) -> list[Edition]:
        """All releases of a nomenclature, withdrawn ones too, in the order of their numbers.

        :raises NotFound: if there is no such nomenclature.
        """
        with self.database.reading() as connection:
            editions = [edition_of(row) for row in connection.execute(_EDITIONS_OF, {"slug": slug})]
            if not editions:
                nomenclature_of(connection, slug)
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

    # The log

    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever anything published changes; cheap to ask for."""
        with self.database.reading() as connection:
            return tuple(connection.execute(_STAMP).one())

    def stamp_of_all(self) -> tuple[int, ...]:
        """A value that changes whenever anything changes, published or not; as cheap."""
        return self.database.row(_STAMP_OF_ALL)

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
        keys: Keys,
        *,
        base: str,
        corrects: str,
        issued: datetime,
        decision: Decision,
        canonical: Rendition,
        renditions: Sequence[Rendition],
        draft_id: int | None,
        draft_revision: int | None = None,
        canonical_name: str,
        file_name: Callable[[Rendition], str],
    ) -> Edition:
        """Make a release exist: rows, signed manifest and log entries in one transaction, the only publication point.

        ``base`` is the version that was last when the content was made (empty: none was); ``draft_revision`` the state
        of the draft that was read, so that nothing which was changed since is lost.

        :raises AlreadyPublished: if this version exists.
        :raises Conflict: if another release has come since, or the draft is not what it was, or over.
        :raises KeyRefused: if the keys can't sign.
        """
        nomenclature = release.nomenclature
        with self.database.writing() as connection:
            scheme = nomenclature_id(connection, nomenclature.slug)
            if scheme is None:
                raise NotFound("nomenclature", nomenclature.slug)
            editions = [edition_of(row) for row in connection.execute(_EDITIONS_OF, {"slug": nomenclature.slug})]
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
            log = Appending(connection, keys)
            seq = log.seq
            described = _described(canonical, canonical_name)
            manifest = signing.manifest(
                release,
                seq=seq,
                issued=issued,
                previous=log.previous,
                canonical=described,
                decision=decision,
                corrects=corrects,
            )
            log.add(manifest)
            others = signing.renditions(
                release,
                seq=log.seq,
                issued=issued,
                previous=log.previous,
                files=[_described(rendition, file_name(rendition)) for rendition in renditions],
            )
            log.add(others)
            write_states(connection, scheme, last.number if last else 0, number, release)
            release_id = connection.execute(select(func.coalesce(func.max(t.release.c.id), 0) + 1)).scalar_one()
            connection.execute(insert(t.file), _file_rows(release_id, (canonical, *renditions)))
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
                    .where(
                        t.draft.c.id == draft_id,
                        t.draft.c.state.in_(("open", "approved", "scheduled")),
                        true() if draft_revision is None else t.draft.c.revision == draft_revision,
                    )
                    .values(state="published", release_id=release_id, revision=t.draft.c.revision + 1)
                )
                if closed.rowcount != 1:
                    raise Conflict(f"draft {draft_id} was changed, or published, meanwhile")
            return edition_of(
                connection.execute(_EDITION, {"slug": nomenclature.slug, "version": release.version}).one()
            )

    def add_renditions(
        self,
        release: Release,
        keys: Keys,
        renditions: Sequence[Rendition],
        *,
        issued: datetime,
        file_name: Callable[[Rendition], str],
    ) -> None:
        """Add files in other formats to a release that is there: rows and a log entry of their own, in one transaction.

        :raises NotFound: if there is no such release.
        :raises Conflict: if it has one of these formats already.
        :raises KeyRefused: if the keys can't sign.
        """
        slug, version = release.nomenclature.slug, release.version
        release_id = self._release_id(slug, version)
        with self.database.writing() as connection:
            log = Appending(connection, keys)
            kept = connection.execute(select(t.file.c.format).where(t.file.c.release_id == release_id)).scalars()
            if twice := sorted({*kept} & {rendition.format for rendition in renditions}):
                raise Conflict(f"{slug}@{version} has {', '.join(twice)} already")
            files = [_described(rendition, file_name(rendition)) for rendition in renditions]
            log.add(signing.renditions(release, seq=log.seq, issued=issued, previous=log.previous, files=files))
            connection.execute(insert(t.file), _file_rows(release_id, renditions))

    def withdraw_release(self, slug: str, version: str, why: str, at: datetime, keys: Keys) -> Edition:
        """Say in the log, for all to see, that a release is faulty and why: it stays, and is no longer in force.

        :raises NotFound: if there is no such release.
        :raises Conflict: if it is withdrawn already.
        :raises KeyRefused: if the keys can't sign.
        """
        release_id, _, heading = self._release(slug, version)
        with self.database.writing() as connection:
            if connection.execute(select(t.withdrawal.c.at).where(t.withdrawal.c.release_id == release_id)).first():
                raise Conflict(f"{slug}@{version} is withdrawn already")
            log = Appending(connection, keys)
            connection.execute(
                insert(t.withdrawal).values(release_id=release_id, at=signing.instant(at), why=why, seq=log.seq)
            )
            log.add(signing.withdrawal(heading, version, seq=log.seq, issued=at, previous=log.previous, why=why))
            return edition_of(connection.execute(_EDITION, {"slug": slug, "version": version}).one())

    # Shared by the methods above

    def _release(self, slug: str, version: str) -> tuple[int, Edition, Nomenclature]:
        known = self._known.get((slug, version))
        if known is None:
            with self.database.reading() as connection:
                row = connection.execute(_EDITION, {"slug": slug, "version": version}).one_or_none()
                if row is None:
                    nomenclature_of(connection, slug)
                    versions = [edition.version for edition in self.editions(slug)]
                    raise NotFound("release", f"{slug}@{version}", {"releases": versions})
                edition = edition_of(row, pinned=True)
                known = (row.id, edition, heading_from(row.heading))
                self._known[slug, version] = known
        return known

    def _release_id(self, slug: str, version: str) -> int:
        return self._release(slug, version)[0]


def nomenclature_id(connection: Connection, slug: str) -> int | None:
    """The row number of a nomenclature, None if there is none of that slug."""
    return connection.execute(select(t.nomenclature.c.id).where(t.nomenclature.c.slug == slug)).scalar()


def nomenclature_of(connection: Connection, slug: str) -> Nomenclature:
    """A nomenclature as it was created.

    :raises NotFound: if there is none of that slug.
    """
    found = connection.execute(select(t.nomenclature.c.document).where(t.nomenclature.c.slug == slug)).scalar()
    if found is None:
        slugs = list(connection.execute(select(t.nomenclature.c.slug).order_by(t.nomenclature.c.slug)).scalars())
        raise NotFound("nomenclature", slug, {"nomenclatures": slugs})
    return heading_from(found)


def edition_of(row: Any, *, pinned: bool = False) -> Edition:
    """A release from its row; ``pinned`` leaves out what is learnt later of it."""
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
