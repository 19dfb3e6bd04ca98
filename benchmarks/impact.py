"""Many organisations' crosswalks to one nomenclature, laid in the tables as the store lays them, and drafts on it.

What a real registry would take years to gather is written in bulk: no checks, no triggers, indexes made at the end.
Seven million mappings take some minutes. Afterwards the tables are analysed, as both databases do by themselves.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Table

from benchmarks import measuring
from registry import drafts
from registry.crosswalks import CodeList, Organisation
from registry.impact import Impact, impact
from registry.model import Content, Link, Release
from registry.store import Store, reach
from registry.store import tables as t

CONCEPTS = 1_000
COMMON = 100
"""Concepts that everybody maps something to."""

MAPPINGS_OF_ONE = 200
"""What an organisation's crosswalks in force hold together: half of it to the common concepts."""

TWO_LISTS = 20
"""One organisation in so many has its codes in two lists."""

OVERTAKEN = 10
"""One crosswalk in so many has an older edition, which counts no more."""

_RELATIONS = ("exactMatch", "closeMatch", "broadMatch")
_DAY = date(2024, 1, 1)
_INSTANT = "2024-01-01T00:00:00Z"
_BATCH = 10_000
_FILLED = (t.organisation, t.code_list, t.local_code, t.list_edition, t.crosswalk, t.mapping, t.crosswalk_edition)
_UNCHECKED = {
    "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000", "BEGIN"),
    "postgresql": ("SET session_replication_role = replica", "SET statement_timeout = 0"),
}


def touched(release: Release) -> dict[str, list[str]]:
    """Codes for drafts to touch, by what is to be shown."""
    codes = [code for code, concept in release.concepts.items() if concept.status == "active"]
    return {
        "one code that few use": codes[COMMON : COMMON + 1],
        "one code that everybody uses": codes[:1],
        "10 codes that everybody uses": codes[:10],
        "100 codes that few use": codes[COMMON : 2 * COMMON],
        "100 codes that everybody uses": codes[:COMMON],
        "every code": codes,
    }


class Measured(NamedTuple):
    """How long an answer took, and how much processor time of ours and of the database: medians; and the answer."""

    seconds: float
    processor: float
    answer: Impact


def fill(store: Store, release: Release, mappings: int) -> None:
    """Lay so many mappings in force to a release that is published, and one in ten crosswalks' older ones."""
    codes = [code for code, concept in release.concepts.items() if concept.status == "active"]
    laid = _Laid(codes, mappings // MAPPINGS_OF_ONE)
    engine = store.database.engine
    later = sorted(t.mapping.indexes, key=str)
    with engine.connect() as connection:
        for statement in _UNCHECKED[engine.dialect.name]:
            connection.exec_driver_sql(statement)
        for index in later:
            index.drop(connection)
        write = _insert if store.database.is_sqlite else _copy
        for table in _FILLED:
            write(connection, table, laid.rows(table))
        for index in later:
            index.create(connection)
        connection.exec_driver_sql("ANALYZE")
        reach.count_again(connection)
        connection.commit()
    if not store.database.is_sqlite:
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM (ANALYZE)")


def _copy(connection: Connection, table: Table, rows: Iterator[tuple[Any, ...]]) -> None:
    """Write rows by COPY, which takes a third of the time of anything else."""
    raw = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} FROM STDIN") as copy:  # type: ignore[union-attr]  # psycopg's own.
        while batch := list(itertools.islice(rows, _BATCH)):
            copy.write("".join("\t".join(map(str, row)) + "\n" for row in batch))


def _insert(connection: Connection, table: Table, rows: Iterator[tuple[Any, ...]]) -> None:
    places = ", ".join("?" * len(table.columns))
    raw = connection.connection.driver_connection
    raw.executemany(f"INSERT INTO {table.name} VALUES ({places})", rows)  # type: ignore[union-attr]  # sqlite3's own.


def draft_on(store: Store, release: Release, codes: Sequence[str]) -> int:
    """Keep a draft in which codes are deprecated: every other one has a successor, for the rest somebody must look."""
    concepts, links = dict(release.concepts), set(release.links)
    for place, code in enumerate(codes):
        concepts[code] = replace(concepts[code], status="deprecated")
        if place % 2:
            concepts[f"N{place}"] = replace(release.concepts[code], code=f"N{place}")
            links.add(Link(code, f"N{place}", _DAY, "same"))
    content = Content(concepts, frozenset(links), release.groups)
    return drafts.from_content(store, release.nomenclature.slug, content)


def measured(store: Store, draft: int, *, times: int = 3) -> Measured:
    """Ask for the impact of a draft several times."""
    took, used = [], []
    for _ in range(times):
        processes = measuring.tree(os.getpid())
        started, before = time.perf_counter(), measuring.processor_seconds(processes)
        answer = impact(store, draft)
        took.append(time.perf_counter() - started)
        used.append(measuring.processor_seconds(processes) - before)
    return Measured(statistics.median(took), statistics.median(used), answer)


class _Laid(NamedTuple):
    """What is laid: for each table its rows, made as they are written."""

    codes: list[str]
    organisations: int

    def rows(self, table: Table) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, in the order of its columns."""
        made: Iterator[tuple[Any, ...]] = getattr(self, f"_{table.name}")()
        return made

    def _lists(self) -> Iterator[tuple[int, int, int]]:
        """Each list: its number, its organisation's, and how many mappings its crosswalk has."""
        number = itertools.count(1)
        for organisation in range(1, self.organisations + 1):
            shares = 2 if organisation % TWO_LISTS == 0 else 1
            for _ in range(shares):
                yield next(number), organisation, MAPPINGS_OF_ONE // shares

    def _editions(self) -> Iterator[tuple[int, int, int, int]]:
        """Each edition of a crosswalk: its id, its list, its number and how many mappings it has."""
        made = itertools.count(1)
        for number, _, mappings in self._lists():
            for edition in (1, 2) if number % OVERTAKEN == 0 else (1,):
                yield next(made), number, edition, mappings

    def _organisation(self) -> Iterator[tuple[Any, ...]]:
        for number in range(1, self.organisations + 1):
            found = Organisation(f"ccas-{number:05d}", f"CCAS numéro {number}", "ccas")
            yield number, found.slug, orjson.dumps(found).decode()

    def _code_list(self) -> Iterator[tuple[Any, ...]]:
        for number, organisation, _ in self._lists():
            code_list = CodeList(f"ccas-{organisation:05d}", f"liste-{number}", "Codes du logiciel")
            yield number, organisation, code_list.slug, orjson.dumps(code_list).decode()

    def _list_edition(self) -> Iterator[tuple[Any, ...]]:
        for number, _, mappings in self._lists():
            yield number, number, 1, _DAY.isoformat(), _INSTANT, len(_local_codes(mappings)), "0" * 64

    def _local_code(self) -> Iterator[tuple[Any, ...]]:
        for number, _, mappings in self._lists():
            for code in dict.fromkeys(_local_codes(mappings)):
                yield number, code, f"Libellé local {code}", "", "", ""

    def _crosswalk(self) -> Iterator[tuple[Any, ...]]:
        for number, _, _ in self._lists():
            yield number, number, 1

    def _crosswalk_edition(self) -> Iterator[tuple[Any, ...]]:
        for made, number, edition, mappings in self._editions():
            day = _DAY.replace(year=_DAY.year + edition)
            yield (
                *(made, number, edition, number, 1, day.isoformat(), _INSTANT),
                *("Banc d'essai", "https://www.etalab.gouv.fr/licence-ouverte-open-licence", mappings, "0" * 64),
            )

    def _mapping(self) -> Iterator[tuple[Any, ...]]:
        others = len(self.codes) - COMMON
        for made, number, _, mappings in self._editions():
            for place, local_code in enumerate(_local_codes(mappings)):
                half, common = place >> 1, not place % 2
                target = self.codes[half if common else COMMON + (half * 9 + number * 7) % others]
                relation = "narrowMatch" if place % 10 > 7 else _RELATIONS[place % 3]
                yield made, local_code, target, relation, "semapv:MappingReview", "", 0, "", "", "", "", ""


def _local_codes(mappings: int) -> list[str]:
    """The local code of each mapping of a list: one in ten has two, to two concepts."""
    return [f"L{place - (place % 10 == 9):04d}" for place in range(mappings)]
