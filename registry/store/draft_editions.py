"""Draft editions of crosswalks: the codes of a list and their mappings, until they are published or given up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, bindparam, cast, delete, exists, func, insert, select, update

from registry import crosswalks, signing
from registry.crosswalks import CodeList, LocalCode
from registry.errors import Conflict, NotFound
from registry.store import tables as t
from registry.store.crosswalks import local_code_from, local_code_row, mapping_from, mapping_row
from registry.store.releases import Releases, nomenclature_id
from registry.store.states import insert_all

_BATCH = 500


class CrosswalkName(NamedTuple):
    """By what a crosswalk is known: whose list, and to which nomenclature."""

    organisation: str
    code_list: str
    nomenclature: str

    def __str__(self) -> str:
        return f"{self.organisation}/{self.code_list} to {self.nomenclature}"


@dataclass(frozen=True, slots=True)
class DraftEdition:
    """What is known of a draft edition without its codes.

    ``base`` is the published edition that it was begun from, 0 for none; ``valid_from`` is None until somebody says
    it. ``revision`` grows with everything that happens to the draft; 0 stands for one that is not kept yet.
    """

    code_list: CodeList
    nomenclature: str
    release: str
    base: int
    valid_from: date | None
    author: str
    license: str
    revision: int
    created: datetime

    @property
    def name(self) -> CrosswalkName:
        """Which crosswalk it is a draft of: each has one at most."""
        return CrosswalkName(self.code_list.organisation, self.code_list.slug, self.nomenclature)


class DraftMapping(NamedTuple):
    """A mapping in a draft. ``stale_from`` is empty where it holds in the draft's release.

    Else it is the release that it held in: the draft was carried from there, its code has to be looked at again, and
    the mapping stays only to say what was there.
    """

    mapping: crosswalks.Mapping
    stale_from: str = ""


class DraftRow(NamedTuple):
    """A code of a draft's list, with what stands beside it."""

    code: LocalCode
    mappings: tuple[DraftMapping, ...]


class StateCount(NamedTuple):
    """Codes in one state, how often all of these are used, and of how many of them that is known."""

    codes: int
    uses: int
    told: int


_HEADS = (
    select(t.draft_edition, t.nomenclature.c.slug.label("nomenclature"), t.release.c.version.label("release"))
    .join(t.organisation, t.organisation.c.id == t.draft_edition.c.organisation_id)
    .join(t.nomenclature, t.nomenclature.c.id == t.draft_edition.c.nomenclature_id)
    .join(t.release, t.release.c.id == t.draft_edition.c.release_id)
    .order_by(t.organisation.c.slug, t.draft_edition.c.list_slug, t.nomenclature.c.slug)
)
_HEAD = _HEADS.where(
    t.organisation.c.slug == bindparam("organisation"),
    t.draft_edition.c.list_slug == bindparam("code_list"),
    t.nomenclature.c.slug == bindparam("nomenclature_"),
)
_HERE = t.draft_mapping.c.draft_edition_id == t.draft_code.c.draft_edition_id
_DECIDED = exists().where(
    _HERE, t.draft_mapping.c.local_code == t.draft_code.c.code, t.draft_mapping.c.stale_from == ""
)
_WITHOUT = exists().where(
    _HERE, t.draft_mapping.c.local_code == t.draft_code.c.code, t.draft_mapping.c.relation == "noMatch"
)
_STATES = {"mapped": _DECIDED & ~_WITHOUT, "noMatch": _DECIDED & _WITHOUT, "unreviewed": ~_DECIDED}


class DraftEditions(Releases):
    """What the store says of draft editions of crosswalks."""

    def draft_edition(self, name: CrosswalkName) -> DraftEdition:
        """The draft beside a crosswalk, without its codes.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(_HEAD, _bound(name)).one_or_none()
        if row is None:
            raise NotFound("draft edition", str(name))
        return _draft(row)

    def draft_editions(self, organisation: str) -> list[DraftEdition]:
        """The drafts of an organisation, by list and nomenclature."""
        with self.database.reading() as connection:
            return [_draft(row) for row in connection.execute(_HEADS.where(t.organisation.c.slug == organisation))]

    def put_draft_edition(
        self,
        draft: DraftEdition,
        *,
        codes: Iterable[LocalCode] | None = None,
        mappings: Iterable[DraftMapping] | None = None,
    ) -> DraftEdition:
        """Keep a draft, new (revision 0) or in the place of the one there is; its codes and mappings if they are given.

        :raises NotFound: if the organisation, the nomenclature or the release does not exist.
        :raises Conflict: if a new one is kept beside another.
        """
        release_id = self._release_id(draft.nomenclature, draft.release)
        name = draft.name
        values = {
            "list_document": orjson.dumps(draft.code_list).decode(),
            "release_id": release_id,
            "base": draft.base,
            "valid_from": draft.valid_from.isoformat() if draft.valid_from else "",
            "author": draft.author,
            "license": draft.license,
            "revision": draft.revision + 1,
        }
        with self.database.writing() as connection:
            if draft.revision:
                draft_id = self._draft_edition_id(connection, draft)
                connection.execute(update(t.draft_edition).where(t.draft_edition.c.id == draft_id).values(values))
            else:
                if connection.execute(_HEAD, _bound(name)).one_or_none() is not None:
                    raise Conflict(f"{name} has a draft already")
                owner = connection.execute(
                    select(t.organisation.c.id).where(t.organisation.c.slug == name.organisation)
                ).scalar()
                if owner is None:
                    raise NotFound("organisation", name.organisation)
                draft_id = connection.execute(
                    insert(t.draft_edition)
                    .values(
                        **values,
                        organisation_id=owner,
                        list_slug=name.code_list,
                        nomenclature_id=nomenclature_id(connection, name.nomenclature),
                        created=signing.instant(draft.created),
                    )
                    .returning(t.draft_edition.c.id)
                ).scalar_one()
            if mappings is not None:
                connection.execute(delete(t.draft_mapping).where(t.draft_mapping.c.draft_edition_id == draft_id))
                insert_all(connection, t.draft_mapping, (_row(draft_id, item) for item in mappings))
            if codes is not None:
                connection.execute(delete(t.draft_code).where(t.draft_code.c.draft_edition_id == draft_id))
                insert_all(
                    connection, t.draft_code, ({"draft_edition_id": draft_id, **local_code_row(item)} for item in codes)
                )
        return self.draft_edition(name)

    def put_draft_mappings(
        self, draft: DraftEdition, mappings: Mapping[str, Sequence[crosswalks.Mapping]]
    ) -> DraftEdition:
        """Put what was decided of each of these codes in the place of what stood there; nothing: it is unreviewed."""
        with self.database.writing() as connection:
            draft_id = self._draft_edition_id(connection, draft)
            codes = sorted(mappings)
            for start in range(0, len(codes), _BATCH):
                connection.execute(
                    delete(t.draft_mapping).where(
                        t.draft_mapping.c.draft_edition_id == draft_id,
                        t.draft_mapping.c.local_code.in_(codes[start : start + _BATCH]),
                    )
                )
            insert_all(
                connection,
                t.draft_mapping,
                (_row(draft_id, DraftMapping(item)) for code in codes for item in mappings[code]),
            )
        return self.put_draft_edition(draft)

    def drop_draft_edition(self, draft: DraftEdition) -> None:
        """Forget a draft and all that it holds."""
        with self.database.writing() as connection:
            draft_id = self._draft_edition_id(connection, draft)
            connection.execute(delete(t.draft_edition).where(t.draft_edition.c.id == draft_id))

    def draft_rows(
        self,
        draft: DraftEdition,
        *,
        state: str | None = None,
        codes: Collection[str] | None = None,
        after: str = "",
        limit: int | None = None,
    ) -> list[DraftRow]:
        """Codes of a draft after ``after``, by code, each with its mappings: all, those of a state, or some."""
        with self.database.reading() as connection:
            draft_id = self._draft_edition_id(connection, draft)
            query = (
                select(t.draft_code)
                .where(t.draft_code.c.draft_edition_id == draft_id, t.draft_code.c.code > after)
                .order_by(t.draft_code.c.code)
                .limit(limit)
            )
            if state is not None:
                query = query.where(_STATES[state])
            found = [
                local_code_from(row)
                for part in _parts(codes)
                for row in connection.execute(query if part is None else query.where(t.draft_code.c.code.in_(part)))
            ]
            of_codes = select(t.draft_mapping).where(t.draft_mapping.c.draft_edition_id == draft_id)
            if limit is not None and found:
                of_codes = of_codes.where(t.draft_mapping.c.local_code.between(found[0].code, found[-1].code))
            by_code: dict[str, list[DraftMapping]] = {}
            for part in _parts(codes):
                some = of_codes if part is None else of_codes.where(t.draft_mapping.c.local_code.in_(part))
                for row in connection.execute(
                    some.order_by(t.draft_mapping.c.local_code, t.draft_mapping.c.target_code)
                ):
                    by_code.setdefault(row.local_code, []).append(DraftMapping(mapping_from(row), row.stale_from))
        return [DraftRow(code, tuple(by_code.get(code.code, ()))) for code in found]

    def draft_counts(self, draft: DraftEdition) -> dict[str, StateCount]:
        """How many codes of a draft are in each state: mapped, noMatch, unreviewed; and how much these are used."""
        told = func.nullif(t.draft_code.c.frequency, "")
        counted = select(
            func.count(t.draft_code.c.code),
            func.coalesce(func.sum(cast(told, BigInteger)), 0),
            func.count(told),
        )
        with self.database.reading() as connection:
            here = t.draft_code.c.draft_edition_id == self._draft_edition_id(connection, draft)
            return {
                state: StateCount(*map(int, connection.execute(counted.where(here, condition)).one()))
                for state, condition in _STATES.items()
            }

    def _draft_edition_id(self, connection: Any, draft: DraftEdition) -> int:
        row = connection.execute(_HEAD, _bound(draft.name)).one_or_none()
        if row is None:
            raise NotFound("draft edition", str(draft.name))
        return int(row.id)


def _bound(name: CrosswalkName) -> dict[str, str]:
    return {"organisation": name.organisation, "code_list": name.code_list, "nomenclature_": name.nomenclature}


def _parts(codes: Collection[str] | None) -> list[list[str] | None]:
    """Codes in parts that a statement can name; one part that names none stands for all of them."""
    if codes is None:
        return [None]
    ordered = sorted(codes)
    return [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]


def _row(draft_id: int, item: DraftMapping) -> dict[str, Any]:
    return {"draft_edition_id": draft_id, **mapping_row(item.mapping), "stale_from": item.stale_from}


def _draft(row: Any) -> DraftEdition:
    return DraftEdition(
        code_list=CodeList(**orjson.loads(row.list_document)),
        nomenclature=row.nomenclature,
        release=row.release,
        base=row.base,
        valid_from=date.fromisoformat(row.valid_from) if row.valid_from else None,
        author=row.author,
        license=row.license,
        revision=row.revision,
        created=datetime.fromisoformat(row.created).astimezone(UTC),
    )
