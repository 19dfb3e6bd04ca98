"""How many mappings point at codes, and whose they are: counted where they lie, never read one by one.

Of each crosswalk only the last edition counts, that of the latest first day, even if that day is still to come:
whichever release it maps to, it is the one that somebody will have to look at. What is counted is what ``reach.py``
keeps of these editions, a few rows for each.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, ColumnElement, Integer, bindparam, case, cast, func, select, true

from registry.crosswalks import Organisation
from registry.store import reach
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


_REACHES = (
    select(t.reach.c.crosswalk_edition_id, t.code_list.c.organisation_id)
    .join(t.crosswalk_edition, t.crosswalk_edition.c.id == t.reach.c.crosswalk_edition_id)
    .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
    .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
    .join(t.nomenclature, t.nomenclature.c.id == t.crosswalk.c.nomenclature_id)
    .where(t.nomenclature.c.slug == bindparam("nomenclature_"))
)
_TARGETS = (
    select(t.target)
    .join(t.nomenclature, t.nomenclature.c.id == t.target.c.nomenclature_id)
    .where(t.nomenclature.c.slug == bindparam("nomenclature_"))
)


class Impacts(Releases):
    """What the store says of those who mapped codes that a draft touches."""

    def uses_by_code(self, nomenclature: str, codes: Collection[str]) -> dict[str, Use]:
        """How much is mapped to each of the codes; those that nothing is mapped to are left out.

        A local code is mapped to a concept once, so ``local_codes`` are as many as ``mappings``.
        """
        return {
            code: Use(row.organisations, row.crosswalks, row.mappings, row.mappings)
            for code, row in self._targets(nomenclature).items()
            if code in codes and row.mappings
        }

    def uses(
        self, nomenclature: str, codes: Collection[str], by_hand: Collection[str], *, start: int = 0, limit: int = 100
    ) -> tuple[Use, list[OrganisationUse]]:
        """How much is mapped to any of the codes in all, and a page of the organisations that did.

        ``by_hand`` are those of the codes that somebody must look at. Whoever has most to look at comes first.
        """
        targets = self._targets(nomenclature)
        touched, looked_at = (
            sum(1 << row.place for code, row in targets.items() if code in chosen) for chosen in (codes, by_hand)
        )
        # The offset of nothing keeps databases from counting these bits again wherever they are named below.
        row = (
            _REACHES.add_columns(t.reach.c.together, t.reach.c.times)
            .add_columns(self._in_common(touched).label("met"), self._in_common(looked_at).label("met_by_hand"))
            .offset(0)
            .subquery("row")
        )
        counted = {
            "mappings": row.c.met,
            "local_codes": case((row.c.together == 0, row.c.met), (row.c.met > 0, 1), else_=0),
            "by_hand": case((row.c.together == 0, row.c.met_by_hand), (row.c.met_by_hand > 0, 1), else_=0),
        }
        one = (
            select(row.c.crosswalk_edition_id, row.c.organisation_id)
            .add_columns(*(func.sum(row.c.times * each).label(name) for name, each in counted.items()))
            .where(row.c.met > 0)
            .group_by(row.c.crosswalk_edition_id, row.c.organisation_id)
            .cte("one")
        )
        # PostgreSQL would add integers up to decimals, which take longer to sort.
        sums = [cast(func.sum(one.c[name]), BigInteger).label(name) for name in counted]
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
            *(one.c[name] for name in counted),
        ]
        query = (
            select(
                *(page.c.place, page.c.document, t.code_list.c.slug.label("code_list")),
                *(t.crosswalk_edition.c.number, t.release.c.version, *named),
            )
            .select_from(total)
            .outerjoin(page, true())
            .outerjoin(one, one.c.organisation_id == page.c.organisation_id)
            .outerjoin(t.crosswalk_edition, t.crosswalk_edition.c.id == one.c.crosswalk_edition_id)
            .outerjoin(t.release, t.release.c.id == t.crosswalk_edition.c.release_id)
            .outerjoin(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
            .outerjoin(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
            .order_by(page.c.place, t.code_list.c.slug)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query, {"nomenclature_": nomenclature}).all()
        owners = groupby((row for row in rows if row.place is not None), key=lambda row: row.document)
        found = [_organisation_use(Organisation(**orjson.loads(document)), list(own)) for document, own in owners]
        return _use(rows[0], "total", int(rows[0].total_organisations)), found

    def uses_are_counted_right(self) -> bool:
        """Whether what is kept of the crosswalks is what follows from their mappings; all of them are read."""
        with self.database.reading() as connection:
            return reach.is_right(connection)

    def count_uses_again(self) -> bool:
        """Count anew what crosswalks point at, unless it is right after all; say whether it was not."""
        with self.database.writing() as connection:
            wrong = not reach.is_right(connection)
            if wrong:
                reach.count_again(connection)
            return wrong

    def _targets(self, nomenclature: str) -> dict[str, Any]:
        """What was ever mapped to, by code."""
        with self.database.reading() as connection:
            return {row.code: row for row in connection.execute(_TARGETS, {"nomenclature_": nomenclature})}

    def _in_common(self, places: int) -> ColumnElement[int]:
        """How many places a row of a crosswalk's reach has in common with these."""
        theirs, ours = t.reach.c.targets, bindparam(None, places, type_=t.reach.c.targets.type)
        if self.database.is_sqlite:
            return func.in_common(theirs, ours, type_=Integer)
        # PostgreSQL compares strings of bits that are equally long.
        alike = func.substring(theirs, 1, func.length(ours)).op("&")(func.substring(ours, 1, func.length(theirs)))
        return cast(func.bit_count(alike), Integer)


_COUNTED = ("crosswalks", "mappings", "local_codes", "by_hand")


def _organisation_use(organisation: Organisation, rows: list[Any]) -> OrganisationUse:
    lists = tuple(
        CrosswalkUse(row.code_list, row.number, row.version, row.mappings, row.local_codes, row.by_hand) for row in rows
    )
    return OrganisationUse(organisation, _use(rows[0], "whole", 1), lists)


def _use(row: Any, prefix: str, organisations: int) -> Use:
    return Use(organisations, *(int(getattr(row, f"{prefix}_{name}")) for name in _COUNTED))
