"""Organisations, their local code lists, and crosswalks, each in numbered editions that never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, exists, func, insert, or_, select, update

from registry import signing
from registry.crosswalks import (
    LIST_COLUMNS,
    CodeList,
    CrosswalkEdition,
    LocalCode,
    Mapping,
    Organisation,
    crosswalk_csv,
    list_csv,
)
from registry.errors import AlreadyPublished, NotFound
from registry.store import reach
from registry.store import tables as t
from registry.store.releases import Releases, nomenclature_id


@dataclass(frozen=True, slots=True)
class ListEdition:
    """A published edition of a local code list."""

    code_list: CodeList
    edition: int
    valid_from: date
    issued: datetime
    codes: int
    sha256: str


class LocalUse(NamedTuple):
    """A local code that a crosswalk in force maps to a shared concept: whose it is, its label, the relation."""

    edition: CrosswalkEdition
    organisation: Organisation
    code_list: CodeList
    mapping: Mapping
    label: str


_MAPPING_FIELDS = tuple(field.name for field in fields(Mapping))
_EDITIONS = (
    select(
        t.crosswalk_edition,
        t.organisation.c.slug.label("organisation"),
        t.code_list.c.slug.label("code_list"),
        t.nomenclature.c.slug.label("nomenclature"),
        t.release.c.version.label("release"),
        t.list_edition.c.number.label("list_number"),
        t.list_edition.c.codes.label("list_codes"),
    )
    .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
    .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
    .join(t.organisation, t.organisation.c.id == t.code_list.c.organisation_id)
    .join(t.nomenclature, t.nomenclature.c.id == t.crosswalk.c.nomenclature_id)
    .join(t.list_edition, t.list_edition.c.id == t.crosswalk_edition.c.list_edition_id)
    .join(t.release, t.release.c.id == t.crosswalk_edition.c.release_id)
)
_MAPPINGS = (
    select(t.mapping, t.local_code.c.label)
    .join(t.crosswalk_edition, t.crosswalk_edition.c.id == t.mapping.c.crosswalk_edition_id)
    .join(
        t.local_code,
        (t.local_code.c.list_edition_id == t.crosswalk_edition.c.list_edition_id)
        & (t.local_code.c.code == t.mapping.c.local_code),
    )
    .where(t.mapping.c.crosswalk_edition_id == bindparam("edition"))
    .order_by(t.mapping.c.local_code, t.mapping.c.target_code)
)
_later = t.crosswalk_edition.alias("later")
_USES = (
    _EDITIONS.add_columns(
        t.mapping,
        t.local_code.c.label,
        t.organisation.c.document.label("organisation_document"),
        t.code_list.c.document.label("list_document"),
    )
    .join(t.mapping, t.mapping.c.crosswalk_edition_id == t.crosswalk_edition.c.id)
    .join(
        t.local_code,
        (t.local_code.c.list_edition_id == t.crosswalk_edition.c.list_edition_id)
        & (t.local_code.c.code == t.mapping.c.local_code),
    )
    .where(
        t.nomenclature.c.slug == bindparam("nomenclature_"),
        t.mapping.c.target_code == bindparam("code"),
        t.crosswalk_edition.c.valid_from <= bindparam("day"),
        # Only the last edition that applies on the day speaks for its crosswalk.
        ~exists().where(
            _later.c.crosswalk_id == t.crosswalk_edition.c.crosswalk_id,
            _later.c.valid_from <= bindparam("day"),
            or_(
                _later.c.valid_from > t.crosswalk_edition.c.valid_from,
                and_(
                    _later.c.valid_from == t.crosswalk_edition.c.valid_from,
                    _later.c.number > t.crosswalk_edition.c.number,
                ),
            ),
        ),
    )
    .order_by(t.organisation.c.slug, t.code_list.c.slug, t.mapping.c.local_code)
)
_FROM_LOCAL = _MAPPINGS.where(t.mapping.c.local_code.in_(bindparam("codes", expanding=True)))
_FROM_SHARED = _MAPPINGS.where(t.mapping.c.target_code.in_(bindparam("codes", expanding=True)))
_LABELS = select(t.local_code).where(
    t.local_code.c.list_edition_id == bindparam("list_edition"),
    t.local_code.c.code.in_(bindparam("codes", expanding=True)),
)


class Crosswalks(Releases):
    """What the store says of organisations, local lists and crosswalks."""

    def add_organisation(self, organisation: Organisation) -> None:
        """Keep an organisation, unless it is known already.

        :raises AlreadyPublished: if the slug is another organisation's.
        """
        with self.database.writing() as connection:
            known = _organisation(connection, organisation.slug)
            if known is None:
                document = orjson.dumps(organisation).decode()
                connection.execute(insert(t.organisation).values(slug=organisation.slug, document=document))
            elif known != organisation:
                raise AlreadyPublished(organisation.slug)

    def change_organisation(self, organisation: Organisation) -> None:
        """Put an organisation in the place of what was known of it."""
        with self.database.writing() as connection:
            document = orjson.dumps(organisation).decode()
            connection.execute(
                update(t.organisation).where(t.organisation.c.slug == organisation.slug).values(document=document)
            )

    def organisations(self) -> list[Organisation]:
        """Every organisation, by slug."""
        with self.database.reading() as connection:
            rows = connection.execute(select(t.organisation.c.document).order_by(t.organisation.c.slug))
            return [Organisation(**orjson.loads(row.document)) for row in rows]

    def organisation(self, slug: str) -> Organisation:
        """One organisation.

        :raises NotFound: if there is none of that slug.
        """
        with self.database.reading() as connection:
            found = _organisation(connection, slug)
        if found is None:
            raise NotFound("organisation", slug)
        return found

    def add_list_edition(
        self, code_list: CodeList, number: int, codes: Sequence[LocalCode], *, valid_from: date, issued: datetime
    ) -> None:
        """Publish an edition of a local list; the list is made if it is new.

        :raises NotFound: if there is no such organisation.
        :raises AlreadyPublished: if the edition exists.
        """
        with self.database.writing() as connection:
            organisation_id = connection.execute(
                select(t.organisation.c.id).where(t.organisation.c.slug == code_list.organisation)
            ).scalar()
            if organisation_id is None:
                raise NotFound("organisation", code_list.organisation)
            list_id = _list_id(connection, code_list.organisation, code_list.slug)
            if list_id is None:
                document = orjson.dumps(code_list).decode()
                list_id = connection.execute(
                    insert(t.code_list)
                    .values(organisation_id=organisation_id, slug=code_list.slug, document=document)
                    .returning(t.code_list.c.id)
                ).scalar_one()
            if _list_edition_id(connection, list_id, number) is not None:
                raise AlreadyPublished(f"{code_list.organisation}/{code_list.slug}@{number}")
            edition_id = _next_id(connection, t.list_edition)
            if codes:
                connection.execute(
                    insert(t.local_code),
                    [{"list_edition_id": edition_id, **local_code_row(item)} for item in codes],
                )
            connection.execute(
                insert(t.list_edition).values(
                    id=edition_id,
                    code_list_id=list_id,
                    number=number,
                    valid_from=valid_from.isoformat(),
                    issued=signing.instant(issued),
                    codes=len(codes),
                    sha256=signing.sha256(list_csv(codes)),
                )
            )

    def list_editions(self, organisation: str | None = None, slug: str | None = None) -> list[ListEdition]:
        """Editions of local lists, by organisation, list and number."""
        query = (
            select(t.list_edition, t.code_list.c.document)
            .join(t.code_list, t.code_list.c.id == t.list_edition.c.code_list_id)
            .join(t.organisation, t.organisation.c.id == t.code_list.c.organisation_id)
            .order_by(t.organisation.c.slug, t.code_list.c.slug, t.list_edition.c.number)
        )
        if organisation is not None:
            query = query.where(t.organisation.c.slug == organisation)
        if slug is not None:
            query = query.where(t.code_list.c.slug == slug)
        with self.database.reading() as connection:
            return [
                ListEdition(
                    CodeList(**orjson.loads(row.document)),
                    row.number,
                    date.fromisoformat(row.valid_from),
                    datetime.fromisoformat(row.issued).astimezone(UTC),
                    row.codes,
                    row.sha256,
                )
                for row in connection.execute(query)
            ]

    def local_codes(
        self, organisation: str, slug: str, edition: int, *, after: str = "", limit: int = 1000
    ) -> list[LocalCode]:
        """Codes of an edition of a local list, after ``after``, by code.

        :raises NotFound: if there is no such edition.
        """
        with self.database.reading() as connection:
            list_id = _list_id(connection, organisation, slug)
            edition_id = _list_edition_id(connection, list_id, edition) if list_id is not None else None
            if edition_id is None:
                raise NotFound("code list", f"{organisation}/{slug}@{edition}")
            query = (
                select(t.local_code)
                .where(t.local_code.c.list_edition_id == edition_id, t.local_code.c.code > after)
                .order_by(t.local_code.c.code)
                .limit(limit)
            )
            return [local_code_from(row) for row in connection.execute(query)]

    def add_crosswalk_edition(
        self,
        organisation: str,
        code_list: str,
        nomenclature: str,
        *,
        number: int,
        list_edition: int,
        release: str,
        mappings: Sequence[Mapping],
        valid_from: date,
        issued: datetime,
        author: str,
        license: str,
    ) -> CrosswalkEdition:
        """Publish an edition of a crosswalk, whole or not at all.

        :raises NotFound: if the list's edition or the release does not exist.
        :raises AlreadyPublished: if the edition exists.
        """
        release_id = self._release_id(nomenclature, release)
        with self.database.writing() as connection:
            list_id = _list_id(connection, organisation, code_list)
            list_edition_id = _list_edition_id(connection, list_id, list_edition) if list_id is not None else None
            scheme = nomenclature_id(connection, nomenclature)
            if list_id is None or list_edition_id is None or scheme is None:
                raise NotFound("code list", f"{organisation}/{code_list}@{list_edition}")
            crosswalk_id = connection.execute(
                select(t.crosswalk.c.id).where(
                    t.crosswalk.c.code_list_id == list_id, t.crosswalk.c.nomenclature_id == scheme
                )
            ).scalar()
            if crosswalk_id is None:
                crosswalk_id = connection.execute(
                    insert(t.crosswalk).values(code_list_id=list_id, nomenclature_id=scheme).returning(t.crosswalk.c.id)
                ).scalar_one()
            taken = connection.execute(
                select(t.crosswalk_edition.c.id).where(
                    t.crosswalk_edition.c.crosswalk_id == crosswalk_id, t.crosswalk_edition.c.number == number
                )
            ).scalar()
            if taken is not None:
                raise AlreadyPublished(f"{organisation}/{code_list}@{number} to {nomenclature}")
            edition_id = _next_id(connection, t.crosswalk_edition)
            if mappings:
                connection.execute(
                    insert(t.mapping), [{"crosswalk_edition_id": edition_id, **mapping_row(item)} for item in mappings]
                )
            connection.execute(
                insert(t.crosswalk_edition).values(
                    id=edition_id,
                    crosswalk_id=crosswalk_id,
                    number=number,
                    list_edition_id=list_edition_id,
                    release_id=release_id,
                    valid_from=valid_from.isoformat(),
                    issued=signing.instant(issued),
                    author=author,
                    license=license,
                    mappings=len(mappings),
                    sha256=signing.sha256(crosswalk_csv(mappings)),
                )
            )
            reach.point(connection, edition_id, ((item.local_code, item.target_code) for item in mappings))
            return _edition(connection.execute(_EDITIONS.where(t.crosswalk_edition.c.id == edition_id)).one())

    def crosswalk_editions(
        self, *, organisation: str | None = None, code_list: str | None = None, nomenclature: str | None = None
    ) -> list[CrosswalkEdition]:
        """Editions of crosswalks, by organisation, list, nomenclature and number."""
        query = _EDITIONS.order_by(
            t.organisation.c.slug, t.code_list.c.slug, t.nomenclature.c.slug, t.crosswalk_edition.c.number
        )
        for column, value in (
            (t.organisation.c.slug, organisation),
            (t.code_list.c.slug, code_list),
            (t.nomenclature.c.slug, nomenclature),
        ):
            if value is not None:
                query = query.where(column == value)
        with self.database.reading() as connection:
            return [_edition(row) for row in connection.execute(query)]

    def crosswalk_edition(
        self,
        organisation: str,
        code_list: str,
        nomenclature: str,
        *,
        edition: int | None = None,
        at: date | None = None,
    ) -> CrosswalkEdition:
        """One edition of a crosswalk: by its number, else the last that applies on a day (``at``, inclusive).

        :raises NotFound: if there is none, with the crosswalks that the list has.
        """
        found = self.crosswalk_editions(organisation=organisation, code_list=code_list, nomenclature=nomenclature)
        if edition is not None:
            found = [item for item in found if item.edition == edition]
        elif at is not None:
            found = [item for item in found if item.valid_from <= at]
        if not found:
            others = self.crosswalk_editions(organisation=organisation, code_list=code_list)
            name = f"{organisation}/{code_list}" + (f"@{edition}" if edition is not None else "")
            known = [
                f"{organisation}/{code_list}@{item.edition} → {item.nomenclature}@{item.release}" for item in others
            ]
            raise NotFound("crosswalk", f"{name} to {nomenclature}", {"crosswalks": known})
        return max(found, key=lambda item: (item.valid_from, item.edition))

    def mappings(
        self,
        edition: CrosswalkEdition,
        *,
        local_codes: Sequence[str] | None = None,
        target_codes: Sequence[str] | None = None,
    ) -> list[tuple[Mapping, str]]:
        """Rows of an edition with the label of the local code: all, or those of some local or shared codes."""
        with self.database.reading() as connection:
            bound: dict[str, Any] = {"edition": self._crosswalk_edition_id(connection, edition)}
            query, codes = (_FROM_LOCAL, local_codes) if local_codes is not None else (_FROM_SHARED, target_codes or ())
            if local_codes is None and target_codes is None:
                return [(mapping_from(row), row.label) for row in connection.execute(_MAPPINGS, bound)]
            found = []
            for start in range(0, len(codes or ()), 500):
                batch = list((codes or ())[start : start + 500])
                found += [
                    (mapping_from(row), row.label) for row in connection.execute(query, {**bound, "codes": batch})
                ]
            return found

    def local_uses(self, nomenclature: str, code: str, day: date, *, limit: int = 500) -> list[LocalUse]:
        """Local codes that the crosswalks in force on a day map to a shared concept, by organisation and list."""
        bound = {"nomenclature_": nomenclature, "code": code, "day": day.isoformat()}
        with self.database.reading() as connection:
            return [
                LocalUse(
                    _edition(row),
                    Organisation(**orjson.loads(row.organisation_document)),
                    CodeList(**orjson.loads(row.list_document)),
                    mapping_from(row),
                    row.label,
                )
                for row in connection.execute(_USES.limit(limit), bound)
            ]

    def local_labels(self, edition: CrosswalkEdition, codes: Sequence[str]) -> dict[str, LocalCode]:
        """The local codes among those given, from the edition of the list that the crosswalk maps."""
        with self.database.reading() as connection:
            list_edition = connection.execute(
                select(t.crosswalk_edition.c.list_edition_id).where(
                    t.crosswalk_edition.c.id == self._crosswalk_edition_id(connection, edition)
                )
            ).scalar_one()
            found: dict[str, LocalCode] = {}
            for start in range(0, len(codes), 500):
                bound = {"list_edition": list_edition, "codes": list(codes[start : start + 500])}
                found.update((row.code, local_code_from(row)) for row in connection.execute(_LABELS, bound))
            return found

    def _crosswalk_edition_id(self, connection: Connection, edition: CrosswalkEdition) -> int:
        query = _EDITIONS.where(
            t.organisation.c.slug == edition.organisation,
            t.code_list.c.slug == edition.code_list,
            t.nomenclature.c.slug == edition.nomenclature,
            t.crosswalk_edition.c.number == edition.edition,
        )
        return int(connection.execute(query).one().id)


def _organisation(connection: Connection, slug: str) -> Organisation | None:
    found = connection.execute(select(t.organisation.c.document).where(t.organisation.c.slug == slug)).scalar()
    return None if found is None else Organisation(**orjson.loads(found))


def _list_id(connection: Connection, organisation: str, slug: str) -> int | None:
    return connection.execute(
        select(t.code_list.c.id)
        .join(t.organisation, t.organisation.c.id == t.code_list.c.organisation_id)
        .where(t.organisation.c.slug == organisation, t.code_list.c.slug == slug)
    ).scalar()


def _list_edition_id(connection: Connection, list_id: int, number: int) -> int | None:
    return connection.execute(
        select(t.list_edition.c.id).where(t.list_edition.c.code_list_id == list_id, t.list_edition.c.number == number)
    ).scalar()


def _next_id(connection: Connection, table: Any) -> int:
    """The id of the row that will seal others, which must name it before it exists; the writer holds the lock."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0) + 1)).scalar_one())


def mapping_row(mapping: Mapping) -> dict[str, Any]:
    """The columns of a mapping, but for what it belongs to."""
    return {name: getattr(mapping, name) for name in _MAPPING_FIELDS} | {"covers": int(mapping.covers)}


def mapping_from(row: Any) -> Mapping:
    """A mapping from its row."""
    values = {name: getattr(row, name) for name in _MAPPING_FIELDS}
    return Mapping(**values | {"covers": bool(row.covers)})


def local_code_row(item: LocalCode) -> dict[str, Any]:
    """The columns of a local code, but for what it belongs to."""
    return {name: getattr(item, name) for name in LIST_COLUMNS}


def local_code_from(row: Any) -> LocalCode:
    """A local code from its row."""
    return LocalCode(**{name: getattr(row, name) for name in LIST_COLUMNS})


def _edition(row: Any) -> CrosswalkEdition:
    return CrosswalkEdition(
        organisation=row.organisation,
        code_list=row.code_list,
        nomenclature=row.nomenclature,
        release=row.release,
        edition=row.number,
        list_edition=row.list_number,
        valid_from=date.fromisoformat(row.valid_from),
        issued=datetime.fromisoformat(row.issued).astimezone(UTC),
        author=row.author,
        license=row.license,
        mappings=row.mappings,
        codes=row.list_codes,
        sha256=row.sha256,
    )
