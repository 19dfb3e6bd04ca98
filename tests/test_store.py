"""The store, on both databases: what is published can't change, and any release is read as it was."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import exc, func, select, text

from registry import drafts, publishing, signing
from registry.changes import change_set
from registry.crosswalks import LocalCode, Mapping
from registry.errors import AlreadyPublished, Busy, Conflict, Damaged, Invalid, NotFound
from registry.model import Content, Group, Nomenclature, french
from registry.store import SCHEMA, Store, migrate
from registry.store import tables as t
from tests.factories import (
    A_DAY,
    AN_INSTANT,
    a_code_list,
    a_concept,
    a_deprecated_concept,
    a_draft,
    a_link,
    a_nomenclature,
    a_release,
    an_organisation,
    keys_of,
    published,
)
from tests.remembered import filled

FIRST = a_release(
    a_concept("A"),
    a_concept("B", broader=("A",)),
    groups=(Group("G", french("Groupe"), ("A",)),),
    links=frozenset([a_link("A", "A")]),
)
SECOND = a_release(
    a_concept("A"),
    a_deprecated_concept("B", broader=("A",), history_note=()),
    a_concept("C", broader=("A",)),
    version="2.0",
    valid_from=date(2025, 1, 1),
    links=FIRST.links | {a_link("B", "C", date=date(2025, 1, 1), kind="same")},
    groups=(Group("G", french("Groupe"), ("A", "C")),),
)
THIRD = SECOND.with_heading(
    version="2.1",
    valid_from=date(2026, 1, 1),
    concepts={**SECOND.concepts, "C": a_concept("C", broader=("A",), alt_label=french("x"))},
)


def a_full_store(store: Store) -> Store:
    """Three releases, the first one withdrawn, and a crosswalk: a row at least in every table."""
    filled(store, "full store", lambda: fill(store))
    return store


def fill(store: Store) -> None:
    """Put these into an empty registry."""
    for release in (FIRST, SECOND, THIRD):
        published(store, release)
    store.add_organisation(an_organisation())
    store.add_list_edition(a_code_list(), 1, [LocalCode("01", "Repas")], valid_from=A_DAY, issued=AN_INSTANT)
    store.add_crosswalk_edition(
        "dep-71",
        "solis",
        "aides",
        number=1,
        list_edition=1,
        release="1.0",
        mappings=[Mapping("01", "A", "exactMatch")],
        valid_from=A_DAY,
        issued=AN_INSTANT,
        author="dep-71",
        license="",
    )
    withdraw(store, "1.0", datetime(2030, 1, 1, tzinfo=UTC))
    with store.database.writing() as connection:
        connection.execute(t.journal.insert().values(seq=1, sha256="0", entry="{}"))


def withdraw(store: Store, version: str, at: datetime) -> None:
    """Write down that a release is withdrawn."""
    with store.database.writing() as connection:
        query = select(t.release.c.id).where(t.release.c.version == version)
        release_id = connection.execute(query).scalar_one()
        connection.execute(
            t.withdrawal.insert().values(release_id=release_id, at=signing.instant(at), why="Erreur.", seq=99)
        )


def rows(store: Store, table: Any) -> list[Any]:
    with store.database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]


GUARDED = (*t.IMMUTABLE, *t.INTERVALS)


@pytest.mark.parametrize("action", ["UPDATE", "DELETE", "TRUNCATE"])
def test_no_published_row_is_changed_or_removed(store: Store, action: str) -> None:
    a_full_store(store)
    refused = []

    for table in GUARDED:
        before = rows(store, table)
        assert before, f"{table} is empty, so this would show nothing"
        for statement in _statements(table, action, sqlite=store.database.is_sqlite):
            with pytest.raises(Conflict, match="never"), store.database.writing() as connection:
                connection.execute(text(statement))
            refused.append(statement)
        assert rows(store, table) == before

    assert len(refused) >= len(GUARDED) or (action == "TRUNCATE" and store.database.is_sqlite)


def _statements(table: Any, action: str, *, sqlite: bool) -> list[str]:
    if action == "UPDATE":
        return [f"UPDATE {table} SET {column.name} = {column.name}" for column in table.c if column.name != "until"]
    if action == "DELETE":
        return [f"DELETE FROM {table}"]
    return [] if sqlite else [f"TRUNCATE {table} CASCADE"]


def test_no_published_row_is_replaced_by_another_with_its_key(store: Store) -> None:
    a_full_store(store)

    for table in GUARDED:
        before = rows(store, table)
        row = dict(zip((column.name for column in table.c), before[0], strict=True))
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        key = ", ".join(column.name for column in table.primary_key)
        insert = f"INSERT INTO {table} ({names}) VALUES ({values})"
        first = next(iter(row))
        statements = [insert, f"{insert} ON CONFLICT ({key}) DO UPDATE SET {first} = excluded.{first}"]
        if store.database.is_sqlite:
            statements.append(insert.replace("INSERT", "INSERT OR REPLACE"))
        for statement in statements:
            with pytest.raises(Conflict), store.database.writing() as connection:
                connection.execute(text(statement), row)
        assert rows(store, table) == before


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("release", {"id": 99}),
        ("release", {"id": 99, "number": 99}),
        ("log", {"seq": 99}),
        ("list_edition", {"id": 99}),
        ("crosswalk_edition", {"id": 99}),
        ("concept_state", {"since": 99}),
        ("broader_state", {"since": 99}),
        ("link_state", {"since": 99}),
        ("group_state", {"since": 99}),
    ],
)
def test_no_row_is_replaced_through_another_key_even_by_a_bare_connection(
    sqlite_url: str, tmp_path: Path, table: str, changes: dict[str, int]
) -> None:
    store = a_full_store(Store(sqlite_url, tmp_path / "blobs"))
    store.close()
    # None of our pragmas: neither foreign keys nor recursive triggers, as from the sqlite3 shell.
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        connection.row_factory = sqlite3.Row
        before = [tuple(row) for row in connection.execute(f"SELECT * FROM {table}")]
        where = " WHERE until IS NULL" if table.endswith("_state") else ""
        row = {**connection.execute(f"SELECT * FROM {table}{where}").fetchone(), **changes}
        names = ", ".join(f":{name}" for name in row)

        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({names})", row)

        assert [tuple(row) for row in connection.execute(f"SELECT * FROM {table}")] == before
    connection.close()


def test_no_state_is_added_to_a_published_release(store: Store) -> None:
    a_full_store(store)
    concept = "(nomenclature_id, code, status, label, state, since) VALUES (1, 'Z', 'active', 'Z', '{}', :since)"
    broader = "(nomenclature_id, broader, code, since) VALUES (1, '', 'Z', :since)"
    link = "(nomenclature_id, old, new, date, kind, since) VALUES (1, 'A', 'Z', '2024-01-01', 'same', :since)"
    group = "(nomenclature_id, code, state, since) VALUES (1, 'Z', '{}', :since)"

    for table, values in zip(t.INTERVALS, (concept, broader, link, group), strict=True):
        for since in (1, 2, 3):
            with pytest.raises(Conflict, match="sealed"), store.database.writing() as connection:
                connection.execute(text(f"INSERT INTO {table} {values}"), {"since": since})


def test_no_code_or_mapping_is_added_to_a_published_edition(store: Store) -> None:
    a_full_store(store)

    for statement in (
        "INSERT INTO local_code VALUES (1, '02', 'x', '', '', '')",
        "INSERT INTO mapping VALUES (1, '02', 'B', 'exactMatch', '', '', 0, '', '', '', '', '')",
    ):
        with pytest.raises(Conflict, match="sealed"), store.database.writing() as connection:
            connection.execute(text(statement))


def test_a_state_that_holds_can_not_be_opened_twice(store: Store) -> None:
    a_full_store(store)

    for table, name in zip(t.INTERVALS, ("code", "code", "old", "code"), strict=True):
        columns = [column.name for column in table.c if column.name not in ("since", "until")]
        copied = f"SELECT {', '.join(columns)}, 4, NULL FROM {table} WHERE until IS NULL ORDER BY {name} LIMIT 1"
        with pytest.raises(Conflict), store.database.writing() as connection:
            connection.execute(text(f"INSERT INTO {table} ({', '.join(columns)}, since, until) {copied}"))


def test_an_open_interval_ends_only_at_a_release_that_is_still_to_come(store: Store) -> None:
    a_full_store(store)
    statement = "UPDATE concept_state SET until = {} WHERE code = 'A' AND until IS NULL"

    for until in (1, 2, 3, "NULL"):
        with pytest.raises(Conflict, match="never changes"), store.database.writing() as connection:
            connection.execute(text(statement.format(until)))
    with store.database.writing() as connection:
        assert connection.execute(text(statement.format(4))).rowcount == 1


def test_an_interval_that_ended_never_changes(store: Store) -> None:
    a_full_store(store)

    with pytest.raises(Conflict, match="never changes"), store.database.writing() as connection:
        connection.execute(text("UPDATE concept_state SET until = 9 WHERE until IS NOT NULL"))


SENSELESS = (
    "INSERT INTO mapping VALUES (9, '02', 'B', 'sameAs', '', '', 0, '', '', '', '', '')",
    "INSERT INTO mapping VALUES (9, '02', 'B', 'noMatch', '', '', 0, '', '', '', '', '')",
    "INSERT INTO mapping VALUES (9, '02', '', 'exactMatch', '', '', 0, '', '', '', '', '')",
    "INSERT INTO mapping VALUES (9, '02', 'B', 'exactMatch', '', '', 0, '', '', '', '', '')",
    "INSERT INTO local_code VALUES (9, '02', 'x', '', '', '')",
    "INSERT INTO draft_concept (draft_id, code, state) VALUES (99, 'A', NULL)",
    "UPDATE draft SET state = 'done'",
    "INSERT INTO broader_state VALUES (1, '', 'Z', 4, 4)",
    "INSERT INTO broader_state VALUES (99, '', 'Z', 4, NULL)",
    "INSERT INTO nomenclature (slug, document) VALUES ('aides', '{}')",
)


def test_constraints_refuse_what_makes_no_sense(store: Store) -> None:
    a_full_store(store)

    for statement in SENSELESS:
        with pytest.raises(Conflict), store.database.writing() as connection:
            connection.execute(text(statement))


# The schema.


def test_the_migration_makes_what_the_tables_say(store: Store) -> None:
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, t.metadata) == []


def test_migrating_twice_changes_nothing(database_url: str, store: Store) -> None:
    a_full_store(store)
    before = rows(store, t.log)

    migrate(database_url)

    assert store.database.schema() == SCHEMA
    assert rows(store, t.log) == before


def test_a_database_without_schema_says_what_to_do(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path / "blobs")

    with pytest.raises(Damaged, match="socle migrate"):
        store.check_schema()

    store.close()


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_bytes(b"no database at all\n" * 100)
    store = Store(f"sqlite:///{tmp_path / 'text.db'}", tmp_path / "blobs")

    with pytest.raises(Damaged):
        store.check_schema()

    store.close()


# Reading releases.


def test_each_release_is_read_as_it_was_published(store: Store) -> None:
    a_full_store(store)

    found = [store.release("aides", version) for version in ("1.0", "2.0", "2.1")]

    assert found == [FIRST, SECOND, THIRD]


def test_a_difference_is_the_change_set_of_any_two_releases(store: Store) -> None:
    a_full_store(store)

    for old in (FIRST, SECOND, THIRD):
        for new in (FIRST, SECOND, THIRD):
            assert store.difference("aides", old.version, new.version) == change_set(old, new)


def test_a_release_costs_as_many_rows_as_it_has_changes(store: Store) -> None:
    concepts = {f"C{number:03}": a_concept(f"C{number:03}") for number in range(200)}
    first = a_release(concepts=concepts)
    published(store, first)
    before = [len(rows(store, table)) for table in t.INTERVALS]
    changed = {code: a_concept(code, alt_label=french(f"Autre {code}")) for code in list(concepts)[:10]}

    published(store, first.with_heading(version="1.1", concepts=concepts | changed))

    after = [len(rows(store, table)) for table in t.INTERVALS]
    assert [new - old for old, new in zip(before, after, strict=True)] == [10, 0, 0, 0]
    assert store.release("aides", "1.0") == first


def test_a_concept_comes_with_its_neighbours_and_labels_of_the_same_release(store: Store) -> None:
    published(store, FIRST)
    renamed = SECOND.with_heading(
        concepts={**SECOND.concepts, "C": a_concept("C", broader=("A",), pref_label=french("Ancien nom"))}
    )
    published(store, renamed)
    third = THIRD.with_heading(links=THIRD.links | {a_link("C", "C", date=date(2026, 1, 1), kind="same")})
    published(store, third)

    in_second, in_third = (store.concept("aides", version, "A") for version in ("2.0", "2.1"))

    assert in_second.narrower == in_third.narrower == ("B", "C")
    assert in_second.labels["C"] == french("Ancien nom")
    assert in_third.labels["C"] == french("Aide C")
    assert store.concept("aides", "2.0", "B").links_from == (a_link("B", "C", date=date(2025, 1, 1), kind="same"),)
    assert [link.old for link in store.concept("aides", "2.0", "C").links_to] == ["B"]
    assert store.concept("aides", "1.0", "B").links_from == ()


def test_a_code_that_a_release_lacks_says_where_it_is(store: Store) -> None:
    a_full_store(store)

    with pytest.raises(NotFound) as caught:
        store.concept("aides", "1.0", "C")

    assert caught.value.hints == {"releases": ["2.0", "2.1"], "successors": []}


def test_unknown_names_say_what_there_is(store: Store) -> None:
    a_full_store(store)

    with pytest.raises(NotFound) as no_release:
        store.release("aides", "9.0")
    with pytest.raises(NotFound) as no_nomenclature:
        store.release("aide", "1.0")

    assert no_release.value.hints == {"releases": ["1.0", "2.0", "2.1"]}
    assert no_nomenclature.value.hints == {"nomenclatures": ["aides"]}


def test_lists_of_concepts_are_filtered_counted_and_paged(store: Store) -> None:
    a_full_store(store)

    page, total = store.concepts("aides", "2.0", limit=2)
    rest, _ = store.concepts("aides", "2.0", after="B")
    top, _ = store.concepts("aides", "2.0", broader="")
    below, _ = store.concepts("aides", "2.0", broader="A", status="active")

    assert ([concept.code for concept in page], total) == (["A", "B"], 3)
    assert [[concept.code for concept in found] for found in (rest, top, below)] == [["C"], ["A"], ["C"]]


def test_the_law_of_a_day_is_read_in_any_release(store: Store) -> None:
    dates = {"valid_from": date(2020, 1, 1), "valid_until": date(2021, 12, 31)}
    published(store, a_release(a_concept("A"), a_deprecated_concept("B", **dates)))

    found = {
        day: [concept.code for concept in store.concepts("aides", "1.0", law_at=day)[0]]
        for day in (date(2019, 12, 31), date(2020, 1, 1), date(2021, 12, 31), date(2022, 1, 1))
    }

    assert list(found.values()) == [["A"], ["A", "B"], ["A", "B"], ["A"]]


def test_the_history_of_a_code_tells_each_release_that_changed_it(store: Store) -> None:
    a_full_store(store)

    found = store.history("aides", "B")

    assert [(edition.version, changes.changes[0].kinds) for edition, changes in found] == [
        ("1.0", ("added",)),
        ("2.0", ("deprecated", "replaced")),
    ]
    with pytest.raises(NotFound):
        store.history("aides", "Z")


# Time.


def on(store: Store, day: date, known_at: datetime = datetime(2100, 1, 1, tzinfo=UTC)) -> str:
    return store.in_force("aides", day, known_at).version


def test_the_release_in_force_is_the_last_that_applies_and_was_known(store: Store) -> None:
    published(store, FIRST, issued=datetime(2023, 12, 1, tzinfo=UTC))
    published(store, SECOND, issued=datetime(2024, 11, 1, tzinfo=UTC))

    assert on(store, date(2024, 1, 1)) == "1.0"
    assert on(store, date(2024, 12, 31)) == "1.0"
    assert on(store, date(2025, 1, 1)) == "2.0"
    assert on(store, date(2025, 1, 1), datetime(2024, 10, 31, tzinfo=UTC)) == "1.0"
    assert store.latest("aides").version == "2.0"


def test_before_the_first_day_nothing_is_in_force_and_the_answer_says_from_when(store: Store) -> None:
    published(store, FIRST)

    with pytest.raises(NotFound) as caught:
        on(store, date(2023, 12, 31))

    assert caught.value.hints == {"inForceFrom": "2024-01-01"}


def test_a_withdrawn_release_was_in_force_for_those_who_did_not_know(store: Store) -> None:
    published(store, FIRST)
    published(store, SECOND)
    withdraw(store, "2.0", datetime(2026, 1, 1, tzinfo=UTC))

    assert on(store, date(2025, 6, 1)) == "1.0"
    assert on(store, date(2025, 6, 1), datetime(2025, 12, 31, tzinfo=UTC)) == "2.0"
    assert on(store, date(2025, 6, 1), datetime(2026, 1, 1, tzinfo=UTC)) == "1.0"
    assert store.latest("aides").version == "1.0"
    assert store.editions("aides")[1].withdrawn_why == "Erreur."


def test_an_erratum_rules_the_time_of_what_it_corrects_even_after_a_later_major(store: Store) -> None:
    published(store, FIRST)
    published(store, SECOND)
    erratum = FIRST.with_heading(
        version="1.1", concepts={**FIRST.concepts, "A": a_concept("A", alt_label=french("Oublié"))}
    )

    edition = published(store, erratum, corrects="1.0", issued=datetime(2025, 2, 1, tzinfo=UTC))

    assert edition.corrects == "1.0"
    assert on(store, date(2024, 6, 1)) == "1.1"
    assert on(store, date(2024, 6, 1), datetime(2025, 1, 1, tzinfo=UTC)) == "1.0"
    assert on(store, date(2025, 6, 1)) == "2.0"
    assert [store.release("aides", version) for version in ("1.0", "1.1", "2.0")] == [FIRST, erratum, SECOND]


# Two at once.


def _log_is_whole(store: Store, releases: int) -> bool:
    entries = store.log_entries()
    return signing.check_chain(entries) == len(entries) == 2 * releases


def test_of_eight_threads_that_publish_one_version_one_wins(database_url: str, store: Store, tmp_path: Path) -> None:
    published(store, FIRST)
    drafts = [a_draft(store, SECOND) for _ in range(8)]
    stores = [Store(database_url, tmp_path / "blobs") for _ in drafts]
    outcomes: list[str] = []

    def publish(number: int) -> None:
        try:
            publishing.publish(
                stores[number], drafts[number], keys_of(stores[number]), version="2.0", valid_from=SECOND.valid_from
            )
            outcomes.append("published")
        except Conflict as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["AlreadyPublished"] * 7 + ["published"]
    assert _log_is_whole(store, 2)
    assert store.release("aides", "2.0") == SECOND
    for other in stores:
        other.close()


def test_releases_of_different_nomenclatures_published_at_once_all_come_into_one_log(
    database_url: str, store: Store, tmp_path: Path
) -> None:
    def nomenclature(number: int) -> Nomenclature:
        return a_nomenclature(slug=f"aides-{number}", iri=f"https://socle.example/aides-{number}")

    keys_of(store)  # Made once, before they all look for them.
    stores = [Store(database_url, tmp_path / "blobs") for _ in range(4)]
    threads = [
        threading.Thread(target=published, args=(other, a_release(nomenclature=nomenclature(number))))
        for number, other in enumerate(stores)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _log_is_whole(store, 4)
    with store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(t.release)).scalar_one() == 4
    for other in stores:
        other.close()


# Files.


def test_a_file_that_is_altered_or_gone_is_damaged(store: Store) -> None:
    published(store, FIRST)
    _, path = store.rendition("aides", "1.0", "csv")
    original = path.read_bytes()

    path.write_bytes(original.replace(b"Aide A", b"Aide X"))
    with pytest.raises(Damaged, match="altered"):
        store.rendition("aides", "1.0", "csv")
    path.unlink()
    with pytest.raises(Damaged, match="missing"):
        store.rendition("aides", "1.0", "csv")


def test_a_format_that_is_not_kept_is_not_found(store: Store) -> None:
    published(store, FIRST)

    with pytest.raises(NotFound):
        store.rendition("aides", "1.0", "docx")


# Crosswalks.


def test_crosswalks_are_kept_in_editions(store: Store) -> None:
    a_full_store(store)

    [edition] = store.crosswalk_editions(organisation="dep-71")
    [(mapping, label)] = store.mappings(edition)

    assert (edition.release, edition.edition, edition.list_edition, edition.mappings) == ("1.0", 1, 1, 1)
    assert (mapping, label) == (Mapping("01", "A", "exactMatch"), "Repas")
    assert store.crosswalk_edition("dep-71", "solis", "aides", at=A_DAY) == edition
    assert store.local_codes("dep-71", "solis", 1) == [LocalCode("01", "Repas")]
    with pytest.raises(NotFound):
        store.crosswalk_edition("dep-71", "solis", "aides", at=date(2023, 12, 31))
    with pytest.raises(AlreadyPublished):
        store.add_list_edition(a_code_list(), 1, [], valid_from=A_DAY, issued=AN_INSTANT)
    with pytest.raises(AlreadyPublished):
        store.add_organisation(an_organisation(name="Autre"))


def test_an_erratum_of_an_older_major_leaves_the_newest_release_where_it_was(store: Store) -> None:
    nomenclature = a_nomenclature(slug="aides")
    store.add_nomenclature(nomenclature)
    first = {"A": a_concept("A"), "B": a_concept("B")}
    mended = {**first, "A": a_concept("A", alt_label=french("aide"))}
    newest = {**first, "C": a_concept("C")}

    for version, concepts, corrects in (("1.0", first, ""), ("2.0", newest, ""), ("1.1", mended, "1.0")):
        draft = drafts.from_content(store, "aides", Content(concepts, frozenset(), ()))
        if corrects:
            publishing.publish(
                store, draft, keys_of(store), version=version, valid_from=date(2024, 1, 1), corrects=corrects
            )
        else:
            day = date(2024, 1, 1) if version == "1.0" else date(2025, 1, 1)
            publishing.publish(store, draft, keys_of(store), version=version, valid_from=day)
    erratum = store.edition("aides", "1.1")

    assert store.latest("aides").version == "2.0"
    assert (erratum.predecessor, erratum.number) == ("1.0", 3)
    assert store.release("aides", "1.1").concepts == mended
    assert [
        (item.edition.version, [change.code for change in item.changes.changes])
        for item in store.feed(slug="aides", seq=0, after="", limit=100)
    ] == [("1.0", ["A", "B"]), ("2.0", ["C"]), ("1.1", ["A"])]
    with pytest.raises(Invalid, match="date d'effet"):
        draft = drafts.from_content(store, "aides", Content({**newest, "D": a_concept("D")}, frozenset(), ()))
        publishing.publish(store, draft, keys_of(store), version="2.1", valid_from=date(2024, 6, 1))


def test_a_registry_whose_connections_are_all_taken_is_busy_and_then_is_not(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    store.database.engine.pool._timeout = 0.01  # type: ignore[attr-defined] # A test does not wait half a minute.
    taken = []
    with suppress(exc.TimeoutError):
        while True:
            taken.append(store.database.engine.connect())

    for read in (store.nomenclatures, store.stamp_of_all):
        with pytest.raises(Busy, match="too many readers"):
            read()
    for connection in taken:
        connection.close()

    assert (store.nomenclatures(), store.stamp_of_all()) == ([], (0, 0, 0, 0, 0))
    store.close()
