"""How the content of releases lies in rows: states as intervals over release numbers, and documents as JSON.

A row holds from release ``since`` until before release ``until``. Publishing a release closes the intervals that it
ends and opens those that it begins; reading one asks for the rows that hold at its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from registry.formats.document import concept_from, concept_state
from registry.model import Acceptance, Concept, Decision, Group, Link, Nomenclature, Release, Texts, texts
from registry.store import tables as t

BATCH = 1_000
"""How many rows are written, or read beside others, at a time."""


class Row(NamedTuple):
    """A concept in a list: code, status, preferred labels, codes of its broader concepts."""

    code: str
    status: str
    pref_label: Texts
    broader: tuple[str, ...]


def holds(table: Any, number: ColumnElement[int] | int) -> ColumnElement[bool]:
    """The condition that an interval's row is of the release ``number``.

    The sums keep SQLite from going through all rows that began before a release to find those of one code.
    """
    return and_(table.c.since + 0 <= number, or_(table.c.until.is_(None), table.c.until + 0 > number))


_scheme: BindParameter[int] = bindparam("scheme")
_number: BindParameter[int] = bindparam("number")


def at_release(table: Any) -> ColumnElement[bool]:
    """The condition that a row is of the release that ``scheme`` and ``number`` are bound to."""
    return and_(table.c.nomenclature_id == _scheme, holds(table, _number))


def between(table: Any, low: int, high: int) -> ColumnElement[bool]:
    """The condition that an interval begins or ends after release ``low`` and by release ``high``."""
    return or_(and_(table.c.since > low, table.c.since <= high), and_(table.c.until > low, table.c.until <= high))


def write_states(connection: Connection, scheme: int, last: int, number: int, release: Release) -> None:
    """Close the intervals that a release ends and open those that it begins; the rest is left alone.

    ``last`` is the number of the release before it, 0 for the first.
    """
    bound = {"scheme": scheme, "number": last}
    for table, rows in _rows_of(release):
        opening: Iterable[dict[str, Any]] = rows
        if last:
            keys = [column.name for column in table.primary_key if column.name not in ("nomenclature_id", "since")]
            stored = connection.execute(all_of(table), bound, execution_options={"yield_per": BATCH})
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


def all_of(table: Any) -> Any:
    """All rows of a table of states that a release holds, by key."""
    return select(table).where(at_release(table)).order_by(*table.primary_key)


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


def concept_of(state: str) -> Concept:
    """A concept from what is stored."""
    return concept_from(orjson.loads(state))


def brief_of(state: str) -> Row:
    """A concept in brief from what is stored."""
    found = orjson.loads(state)
    return Row(found["code"], found["status"], texts(found["prefLabel"].items()), tuple(found["broader"]))


def links_of(rows: Iterable[Any]) -> Iterator[Link]:
    """Links from their rows."""
    return (Link(row.old, row.new, date.fromisoformat(row.date), row.kind) for row in rows)


def group_json(group: Group) -> str:
    """A group as it is stored."""
    return orjson.dumps({"code": group.code, "label": group.pref_label, "members": group.members}).decode()


def group_of(state: str) -> Group:
    """A group from what is stored."""
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
        }
    ).decode()


def heading_from(document: str) -> Nomenclature:
    """A nomenclature from what is stored."""
    found = orjson.loads(document)
    for key in ("title", "description"):
        found[key] = texts((tag, text) for tag, text in found[key])
    found["level_titles"] = tuple(found["level_titles"])
    # Rows of schema 0001 say here whether votes are asked for, which voting rules beside the nomenclature say now.
    found.pop("votes", None)
    return Nomenclature(**found)


def decision_json(decision: Decision) -> str:
    """A decision as it is stored."""
    return orjson.dumps(decision).decode()


def decision_from(document: str) -> Decision:
    """A decision from what is stored."""
    found = orjson.loads(document)
    accepted = (Acceptance(item["rule"], item["reason"], tuple(item["codes"])) for item in found["accepted"])
    return Decision(
        found["basis"],
        tuple(found["same_meaning"]),
        tuple(accepted),
        tuple(found.get("acts") or ()),
        tuple((organisation, choice) for organisation, choice in found.get("votes") or ()),
        found.get("submission", ""),
    )
