"""What crosswalks point at, kept so that the impact of a draft is counted without going through their mappings.

Of each crosswalk one edition counts, that of the latest first day, even if that day is still to come. Two tables follow
from the mappings of these editions, and are written in the transaction that publishes one:

``target``: for each shared code its **place**, a small number that it keeps, and how many organisations, crosswalks and
mappings point at it now.

``reach``: for each edition that counts, sets of places, each with a number of ``times``. Where local codes are mapped
to several shared codes (``together``), a set is what so many of them are mapped to. All the others are mapped to one
shared code alone: how many of them point at a place is written in binary, and the set of ``times`` 2ᵏ holds the places
where that number has the digit k. So a crosswalk of hundreds of mappings is a few rows, however many its local codes
are, and how many of them a draft touches is a count of the bits that two sets have in common.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain, groupby, islice
from operator import itemgetter, or_
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update
from sqlalchemy import tuple_ as both

from registry.store import tables as t

COUNTED = ("organisations", "crosswalks", "mappings")
_BATCH = 10_000
_AT_ONCE = 100_000
_LARGEST_IN = 10_000

_later = t.crosswalk_edition.alias("later")
_OVERTAKEN = (
    select(_later.c.id)
    .where(
        _later.c.crosswalk_id == t.crosswalk_edition.c.crosswalk_id,
        both(_later.c.valid_from, _later.c.number)
        > both(t.crosswalk_edition.c.valid_from, t.crosswalk_edition.c.number),
    )
    .exists()
)
_COUNTING = (
    select(
        t.crosswalk_edition.c.id,
        t.crosswalk_edition.c.crosswalk_id,
        t.crosswalk.c.nomenclature_id,
        t.code_list.c.organisation_id,
        t.crosswalk_edition.c.mappings,
    )
    .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
    .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
    .where(~_OVERTAKEN)
)
"""The editions that count, with how many mappings each has."""

_POINT = (
    update(t.target)
    .where(t.target.c.nomenclature_id == bindparam("scheme"), t.target.c.place == bindparam("at"))
    .values({name: t.target.c[name] + bindparam(f"more_{name}") for name in COUNTED})
)


_ID = t.crosswalk_edition.c.id
_EDITION_ID = t.mapping.c.crosswalk_edition_id
_MAPPED = (
    select(_EDITION_ID, t.mapping.c.local_code, t.mapping.c.target_code)
    .where(t.mapping.c.target_code != "")
    .order_by(_EDITION_ID, t.mapping.c.local_code)
)


class Sets(NamedTuple):
    """One row of a crosswalk's reach, but for whose it is."""

    together: int
    times: int
    targets: int


def sets(local_codes: Iterable[int]) -> Iterator[Sets]:
    """The rows for so many local codes: of each, the set of the places that it is mapped to."""
    alone, several = Counter[int](), Counter[int]()
    for targets in local_codes:
        (several if targets & (targets - 1) else alone)[targets] += 1
    digits = defaultdict[int, int](int)
    for target, times in alone.items():
        for place in places(times):
            digits[1 << place] |= target
    yield from (Sets(0, times, targets) for times, targets in sorted(digits.items()))
    yield from (Sets(1, times, targets) for targets, times in sorted(several.items()))


def places(targets: int) -> Iterator[int]:
    """The numbers that a set holds, least first."""
    while targets:
        last = targets & -targets
        yield last.bit_length() - 1
        targets ^= last


def point(connection: Connection, edition_id: int, mappings: Iterable[tuple[str, str]]) -> None:
    """Have an edition that was just published count, if it does, with its mappings: local code and shared code.

    Call it in the publication's transaction, and for one edition after the other.
    """
    edition = connection.execute(_COUNTING.where(t.crosswalk_edition.c.id == edition_id)).one_or_none()
    if edition is None:
        return
    of_crosswalk = select(t.crosswalk_edition.c.id).where(t.crosswalk_edition.c.crosswalk_id == edition.crosswalk_id)
    before = _points(connection, of_crosswalk)
    connection.execute(delete(t.reach).where(t.reach.c.crosswalk_edition_id.in_(of_crosswalk)))
    # The crosswalk's own is gone: what is left are the organisation's others to this nomenclature.
    by_others = _points(
        connection,
        select(t.crosswalk_edition.c.id)
        .join(t.crosswalk, t.crosswalk.c.id == t.crosswalk_edition.c.crosswalk_id)
        .join(t.code_list, t.code_list.c.id == t.crosswalk.c.code_list_id)
        .where(
            t.crosswalk.c.nomenclature_id == edition.nomenclature_id,
            t.code_list.c.organisation_id == edition.organisation_id,
        ),
    )
    mapped = [(local_code, code) for local_code, code in mappings if code]
    known = _places(connection, edition.nomenclature_id, {code for _, code in mapped})
    pairs = sorted((local_code, known[code]) for local_code, code in mapped)
    _write(connection, _rows(edition_id, pairs))
    now = Counter(known[code] for _, code in mapped)
    changed = [
        {
            "scheme": edition.nomenclature_id,
            "at": place,
            "more_mappings": now[place] - before[place],
            "more_crosswalks": (crosswalks := (place in now) - (place in before)),
            "more_organisations": 0 if place in by_others else crosswalks,
        }
        for place in now.keys() | before.keys()
        if now[place] != before[place]
    ]
    if changed:
        connection.execute(_POINT, changed)


def count_again(connection: Connection) -> None:
    """Write both tables anew from the mappings, however many: for a registry that has none of it yet, or wrong ones.

    Call it in a transaction; on PostgreSQL, no statement of it is ended for taking long.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.execute(delete(t.reach))
    connection.execute(delete(t.target))
    counting = _COUNTING.subquery()
    mapped = t.mapping.c.target_code != ""
    scheme, code = counting.c.nomenclature_id, t.mapping.c.target_code
    counted = (
        select(
            *(scheme, code, func.row_number().over(partition_by=scheme, order_by=code) - 1),
            func.count(counting.c.organisation_id.distinct()),
            func.count(counting.c.id.distinct()),
            func.count(),
        )
        .join(counting, counting.c.id == t.mapping.c.crosswalk_edition_id)
        .where(mapped)
        .group_by(scheme, code)
    )
    connection.execute(insert(t.target).from_select([column.name for column in t.target.columns], counted))
    known = _all_places(connection)
    editions = connection.execute(_COUNTING.order_by(t.crosswalk_edition.c.id)).all()
    _write(connection, chain.from_iterable(_rows(one.id, pairs) for one, pairs in _pairs(connection, editions, known)))


def is_right(connection: Connection) -> bool:
    """Whether both tables say what follows from the mappings, which are all read, some editions at a time."""
    known = _all_places(connection)
    if any(set(numbered.values()) != set(range(len(numbered))) for numbered in known.values()):
        return False  # A place that is left out would be given twice one day.
    editions = connection.execute(_COUNTING.order_by(t.code_list.c.organisation_id, t.crosswalk_edition.c.id)).all()
    stray = select(t.reach.c.number).where(t.reach.c.crosswalk_edition_id.not_in(_COUNTING.with_only_columns(_ID)))
    if connection.execute(stray.limit(1)).first() is not None:
        return False
    counts = defaultdict[tuple[int, int], list[int]](lambda: [0, 0, 0])
    counted_for: dict[tuple[int, int], int] = {}
    try:
        for batch in _batches(editions):
            kept = _kept(connection, [one.id for one in batch])
            for one, pairs in _pairs(connection, batch, known):
                if list(_rows(one.id, pairs)) != kept.pop(one.id, []):
                    return False
                for place, times in Counter(place for _, place in pairs).items():
                    target = one.nomenclature_id, place
                    # The editions of an organisation come one after the other.
                    is_new = counted_for.get(target) != one.organisation_id
                    counted_for[target] = one.organisation_id
                    counts[target] = [sum(pair) for pair in zip(counts[target], (is_new, 1, times), strict=True)]
            if kept:
                return False
    except KeyError:  # Something is mapped to a code that has no place.
        return False
    rows = connection.execute(select(t.target))
    return all(counts[row.nomenclature_id, row.place] == [getattr(row, name) for name in COUNTED] for row in rows)


def _all_places(connection: Connection) -> dict[int, dict[str, int]]:
    """The place of each shared code, by nomenclature."""
    found = defaultdict[int, dict[str, int]](dict)
    for row in connection.execute(select(t.target.c.nomenclature_id, t.target.c.code, t.target.c.place)):
        found[row.nomenclature_id][row.code] = row.place
    return found


def _batches(editions: Sequence[Any]) -> Iterator[list[Any]]:
    """Editions in their order, so many at a time that their mappings can be held: together they may be millions."""
    batch: list[Any] = []
    size = 0
    for edition in editions:
        if batch and (size + edition.mappings > _AT_ONCE or len(batch) == _LARGEST_IN):
            yield batch
            batch, size = [], 0
        batch.append(edition)
        size += edition.mappings
    if batch:
        yield batch


def _pairs(
    connection: Connection, editions: Sequence[Any], known: dict[int, dict[str, int]]
) -> Iterator[tuple[Any, list[tuple[str, int]]]]:
    """Local code and place for each mapping of the editions; those without any are left out.

    :raises KeyError: if a code that something is mapped to has no place.
    """
    for batch in _batches(editions):
        of = {edition.id: edition for edition in batch}
        mapped = _MAPPED.where(_EDITION_ID.in_(of))
        found = {key: list(own) for key, own in groupby(connection.execute(mapped), key=itemgetter(0))}
        for number, edition in of.items():
            if own := found.get(number):
                yield edition, sorted((code, known[edition.nomenclature_id][target]) for _, code, target in own)


def _kept(connection: Connection, editions: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """The rows that are kept of editions, by edition, as ``_rows`` gives them."""
    rows = connection.execute(
        select(t.reach)
        .where(t.reach.c.crosswalk_edition_id.in_(editions))
        .order_by(t.reach.c.crosswalk_edition_id, t.reach.c.number)
    )
    return {
        number: list(map(dict, own)) for number, own in groupby(rows.mappings(), itemgetter("crosswalk_edition_id"))
    }


def _rows(edition_id: int, pairs: Iterable[Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The reach of an edition from its mappings, local code and place, those of a local code one after the other."""
    by_code = (_set(place for _, place in own) for _, own in groupby(pairs, key=itemgetter(0)))
    for number, row in enumerate(sets(by_code)):
        yield {"crosswalk_edition_id": edition_id, "number": number, **row._asdict()}


def _set(of: Iterable[int]) -> int:
    return reduce(or_, (1 << place for place in of))


def _write(connection: Connection, rows: Iterator[dict[str, Any]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        connection.execute(insert(t.reach), batch)


def _points(connection: Connection, editions: Select[tuple[int]]) -> Counter[int]:
    """How many mappings point at each place, in the editions that count among some."""
    query = select(t.reach.c.times, t.reach.c.targets).where(t.reach.c.crosswalk_edition_id.in_(editions))
    found = Counter[int]()
    for times, targets in connection.execute(query):
        for place in places(targets):
            found[place] += times
    return found


def _places(connection: Connection, scheme: int, codes: Collection[str]) -> dict[str, int]:
    """The place of each shared code, which is given to it if it has none."""
    query = select(t.target.c.code, t.target.c.place).where(t.target.c.nomenclature_id == scheme)
    known: dict[str, int] = {row.code: row.place for row in connection.execute(query)}
    new = {code: place for place, code in enumerate(sorted(set(codes) - known.keys()), len(known))}
    if new:
        nothing = {"nomenclature_id": scheme, **dict.fromkeys(COUNTED, 0)}
        connection.execute(insert(t.target), [{**nothing, "code": code, "place": new[code]} for code in new])
    return known | new
