"""How many mappings point at codes, and whose they are: counted where they lie, never read one by one.

Of each crosswalk only the last edition counts, that of the latest first day, even if that day is still to come:
whichever release it maps to, it is the one that somebody will have to look at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    distinct,
    func,
    select,
    true,
    union_all,
)
from sqlalchemy import tuple_ as together

from registry.crosswalks import Organisation
from registry.store import tables as t
from registry.store.releases import Releases


@dataclass(frozen=True, slots=True)
class Use:
    """How much is mapped: by how many organisations, in how many crosswalks, how many mappings of local codes.

    ``by_hand`` are those of the local codes that somebody must look at; the others have an automatic successor.
    """

    organisations: int = 0
    crosswalks: int = 0
    mappings: int = 0
    local_codes: int = 0
    by_hand: int = 0


class CrosswalkUse(NamedTuple):
    """How much of one crosswalk is concerned: its local list, its edition and the release that it maps to."""

    code_list: str
    edition: int
    release: str
    mappings: int
    local_codes: int
    by_hand: int


@dataclass(frozen=True, slots=True)
class OrganisationUse:
    """How much of what an organisation mapped is concerned, in all its crosswalks and in each."""

    organisation: Organisation
    use: Use
    crosswalks: tuple[CrosswalkUse, ...]


_later = t.crosswalk_edition.alias("later")
_OVERTAKEN = (
    select(_later.c.id)
    .where(
        _later.c.crosswalk_id == t.crosswalk_edition.c.crosswalk_id,
        together(_later.c.valid_from, _later.c.number)
        > together(t.crosswalk_edition.c.valid_from, t.crosswalk_edition.c.number),
    )
    .exists()
)
_EDITIONS = (
    select(t.crosswalk_edition.c.id)
    .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
    .join(t.nomenclature, t.nomenclature.c.id == t.crosswalk.c.nomenclature_id)
)
_ASKED = t.nomenclature.c.slug == bindparam("nomenclature_")
_SILENT = union_all(
    _EDITIONS.where(t.nomenclature.c.slug != bindparam("nomenclature_")),
    select(t.crosswalk_edition.c.id).where(_OVERTAKEN),
)
"""Editions that do not count: of other nomenclatures, and those that another one of the same crosswalk overtook.

Naming these rather than the others lets PostgreSQL count mappings in the order of an index: it looks an exclusion up
row by row, where it would join and then sort a choice.
"""

_several = func.count().over(partition_by=t.code_list.c.organisation_id).label("several")
_OWNED = (
    _EDITIONS.join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
    .add_columns(t.code_list.c.organisation_id, _several)
    .where(_ASKED, ~_OVERTAKEN)
    .subquery()
)
_SHARED = select(_OWNED.c.id).where(_OWNED.c.several > 1)
"""Editions that count, of organisations that have several crosswalks to the nomenclature: few."""


class Impacts(Releases):
    """What the store says of those who mapped codes that a draft touches."""

    def uses_by_code(self, nomenclature: str, codes: Collection[str]) -> dict[str, Use]:
        """How much is mapped to each of the codes; those that nothing is mapped to are left out.

        A local code is mapped to a concept once, so ``local_codes`` are as many as ``mappings``.
        """
        mapping = t.mapping.c
        counted = (
            select(
                mapping.target_code,
                func.count(distinct(mapping.crosswalk_edition_id)).label("crosswalks"),
                func.count().label("mappings"),
            )
            .where(self._among(mapping.target_code, "codes"), mapping.crosswalk_edition_id.not_in(_SILENT))
            .group_by(mapping.target_code)
        )
        owner = t.code_list.c.organisation_id
        pairs = (
            select(mapping.target_code, (func.count(distinct(mapping.crosswalk_edition_id)) - 1).label("again"))
            .join(t.crosswalk_edition, t.crosswalk_edition.c.id == mapping.crosswalk_edition_id)
            .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
            .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
            .where(self._among(mapping.target_code, "codes"), self._among(mapping.crosswalk_edition_id, "shared"))
            .group_by(mapping.target_code, owner)
            .subquery()
        )
        again = select(pairs.c.target_code, func.sum(pairs.c.again).label("again")).group_by(pairs.c.target_code)
        bound = {"nomenclature_": nomenclature, "codes": self._given(codes)}
        with self.database.reading() as connection:
            # Most organisations have one crosswalk, and are as many as these. The others' are few: they are named to
            # the database, which then has no reason to go through all mappings for them.
            shared = self._given(connection.execute(_SHARED, bound).scalars().all())
            more = {row.target_code: int(row.again) for row in connection.execute(again, {**bound, "shared": shared})}
            return {
                row.target_code: Use(
                    row.crosswalks - more.get(row.target_code, 0), row.crosswalks, row.mappings, row.mappings
                )
                for row in connection.execute(counted, bound)
            }

    def uses(
        self, nomenclature: str, codes: Collection[str], by_hand: Collection[str], *, start: int = 0, limit: int = 100
    ) -> tuple[Use, list[OrganisationUse]]:
        """How much is mapped to any of the codes in all, and a page of the organisations that did.

        ``by_hand`` are those of the codes that somebody must look at. Whoever has most to look at comes first.
        """
        mapping = t.mapping.c
        looked_at = case((self._among(mapping.target_code, "by_hand"), mapping.local_code))
        touched = (
            select(
                mapping.crosswalk_edition_id,
                func.count().label("mappings"),
                func.count(distinct(mapping.local_code)).label("local_codes"),
                func.count(distinct(looked_at)).label("by_hand"),
            )
            .where(self._among(mapping.target_code, "codes"), mapping.crosswalk_edition_id.not_in(_SILENT))
            .group_by(mapping.crosswalk_edition_id)
            .subquery()
        )
        counted = [touched.c.mappings, touched.c.local_codes, touched.c.by_hand]
        one = (
            _EDITIONS.join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
            .join(touched, touched.c.crosswalk_edition_id == t.crosswalk_edition.c.id)
            .add_columns(t.code_list.c.organisation_id, *counted)
            .cte("one")
        )
        sums = [func.sum(one.c[column.name]).label(column.name) for column in counted]
        whole = (
            select(one.c.organisation_id, func.count().label("crosswalks"), *sums)
            .group_by(one.c.organisation_id)
            .cte("whole")
        )
        total = select(
            func.count().label("organisations"),
            *(func.coalesce(func.sum(whole.c[name]), 0).label(name) for name in _COUNTED),
        ).cte("total")
        order = (whole.c.by_hand.desc(), whole.c.local_codes.desc(), t.organisation.c.slug)
        page = (
            select(whole, t.organisation.c.document, func.row_number().over(order_by=order).label("place"))
            .join(t.organisation, t.organisation.c.id == whole.c.organisation_id)
            .order_by(*order)
            .offset(start)
            .limit(limit)
            .cte("page")
        )
        named: list[ColumnElement[Any]] = [
            *(total.c[name].label(f"total_{name}") for name in ("organisations", *_COUNTED)),
            *(page.c[name].label(f"whole_{name}") for name in _COUNTED),
            *(one.c[column.name] for column in counted),
        ]
        query = (
            select(
                *(page.c.place, page.c.document, t.code_list.c.slug.label("code_list")),
                *(t.crosswalk_edition.c.number, t.release.c.version, *named),
            )
            .select_from(total)
            .outerjoin(page, true())
            .outerjoin(one, one.c.organisation_id == page.c.organisation_id)
            .outerjoin(t.crosswalk_edition, t.crosswalk_edition.c.id == one.c.id)
            .outerjoin(t.release, t.release.c.id == t.crosswalk_edition.c.release_id)
            .outerjoin(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
            .outerjoin(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
            .order_by(page.c.place, t.code_list.c.slug)
        )
        bound = {"nomenclature_": nomenclature, "codes": self._given(codes), "by_hand": self._given(by_hand)}
        with self.database.reading() as connection:
            rows = connection.execute(query, bound).all()
        owners = groupby((row for row in rows if row.place is not None), key=lambda row: row.document)
        found = [_organisation_use(Organisation(**orjson.loads(document)), list(own)) for document, own in owners]
        return _use(rows[0], "total", int(rows[0].total_organisations)), found

    def _among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Whether a column is among the values that are given under a name: any number of them."""
        if self.database.is_sqlite:
            return column.in_(select(func.json_each(bindparam(name)).table_valued("value").c.value))
        # Written into the statement: PostgreSQL looks rows up in a hash of constants, and compares them with each of
        # an array that it does not know when it plans, as it does once a statement was prepared.
        return column.in_(bindparam(name, expanding=True, literal_execute=True, type_=column.type))

    def _given(self, values: Collection[Any]) -> str | list[Any]:
        ordered = sorted(values)
        return orjson.dumps(ordered).decode() if self.database.is_sqlite else ordered


_COUNTED = ("crosswalks", "mappings", "local_codes", "by_hand")


def _organisation_use(organisation: Organisation, rows: list[Any]) -> OrganisationUse:
    lists = tuple(
        CrosswalkUse(row.code_list, row.number, row.version, row.mappings, row.local_codes, row.by_hand) for row in rows
    )
    return OrganisationUse(organisation, _use(rows[0], "whole", 1), lists)


def _use(row: Any, prefix: str, organisations: int) -> Use:
    return Use(organisations, *(int(getattr(row, f"{prefix}_{name}")) for name in _COUNTED))
