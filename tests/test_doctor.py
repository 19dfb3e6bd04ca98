"""The doctor finds whatever was altered behind the registry's back, names it, and mends what can be made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli.main import main
from registry import doctor, editions, finding
from registry.crosswalks import LocalCode, Mapping
from registry.doctor import Finding
from registry.model import today
from registry.store import Store
from tests.factories import A_DAY, a_code_list, a_concept, a_member, a_release, an_organisation, published


class Patient(NamedTuple):
    """A registry with a release and a crosswalk, on one kind of database, and where its files are."""

    store: Store
    folder: Path
    url: str

    def examined(self) -> list[Finding]:
        # A store remembers what it checked: the doctor's is always a fresh one.
        fresh = Store(self.url, self.folder / "blobs")
        try:
            return list(doctor.examine(fresh, self.folder / "index", today()))
        finally:
            fresh.close()

    def wrong(self) -> list[Finding]:
        return [one for one in self.examined() if one.state != "ok"]

    def alter(self, table: str, sql: str) -> None:
        """Change rows as somebody with the database's password can: the triggers are taken away first."""
        with self.store.database.writing() as connection:
            if self.store.database.is_sqlite:
                query = f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
                for (name,) in connection.exec_driver_sql(query).fetchall():
                    connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
            else:
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            assert connection.exec_driver_sql(sql).rowcount


@pytest.fixture
def patient(database_url: str, tmp_path: Path) -> Iterator[Patient]:
    """A patient on each kind of database."""
    with a_patient(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def patient_on_sqlite(sqlite_url: str, tmp_path: Path) -> Iterator[Patient]:
    """A patient for what does not depend on the kind of database."""
    with a_patient(sqlite_url, tmp_path) as found:
        yield found


@contextmanager
def a_patient(database_url: str, tmp_path: Path) -> Iterator[Patient]:
    store = Store(database_url, tmp_path / "blobs")
    published(store, a_release())
    published(store, a_release(a_concept("A"), a_concept("B"), a_concept("C"), version="1.1"))
    editions.publish(
        store,
        editions.Source(a_code_list(), [LocalCode("1", "Un"), LocalCode("2", "Deux")], an_organisation()),
        "aides",
        [Mapping("1", "A", "exactMatch")],
        release="1.1",
        valid_from=A_DAY,
        author="Référente",
        license="https://www.etalab.gouv.fr/licence-ouverte-open-licence",
    )
    found = Patient(store, tmp_path, database_url)
    assert [one.state for one in found.wrong()] == ["mended"], "only the index was not built yet"
    yield found
    store.close()


def blob_of(patient: Patient, version: str, format: str) -> Path:
    return patient.store.rendition("aides", version, format)[1]


def test_a_sound_registry_has_nothing_to_mend(patient: Patient) -> None:
    found = patient.examined()

    assert {one.state for one in found} == {"ok"}
    names = " ".join(one.object for one in found)
    for name in (
        "journal des actions",
        "journal des versions",
        "aides@1.0",
        "aides@1.1",
        "dep-71/solis",
        "décompte des correspondances",
        "index de recherche",
        "fichiers abandonnés",
    ):
        assert name in names


def test_an_entry_of_the_journal_that_was_altered_is_named(patient_on_sqlite: Patient) -> None:
    a_member(patient_on_sqlite.store, "mapper")
    with patient_on_sqlite.store.database.writing() as connection:
        connection.execute(text("DROP TRIGGER journal_update_changes"))
        connection.execute(text("UPDATE journal SET entry = replace(entry, 'action', 'autre') WHERE seq = 2"))

    found = patient_on_sqlite.wrong()

    assert [(one.object, one.state) for one in found] == [("journal des actions", "damaged")]


def test_a_deleted_file_is_named(patient: Patient) -> None:
    blob_of(patient, "1.0", "turtle").unlink()

    found = patient.wrong()

    assert [(one.object, one.state) for one in found] == [("aides@1.0 turtle", "damaged")]
    assert "missing" in found[0].message


def test_a_flipped_byte_is_found(patient: Patient) -> None:
    path = blob_of(patient, "1.1", "csv")
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)

    found = patient.wrong()

    assert [(one.object, one.state) for one in found] == [("aides@1.1 csv", "damaged")]


ALTERED = {
    "a label": (
        "concept_state",
        "UPDATE concept_state SET state = replace(state, 'Aide C', 'Aide D') WHERE code = 'C'",
    ),
    "a state that is no JSON": ("concept_state", "UPDATE concept_state SET state = '{' WHERE code = 'C'"),
    "a state that lacks its code": ("concept_state", "UPDATE concept_state SET state = '{}' WHERE code = 'C'"),
    "a concept taken out": ("concept_state", "DELETE FROM concept_state WHERE code = 'C'"),
    "an interval ended": ("concept_state", "UPDATE concept_state SET until = 3, since = 2 WHERE code = 'A'"),
    "a day of validity": ("release", "UPDATE release SET valid_from = '2024-01-02' WHERE version = '1.1'"),
    "a version": ("release", "UPDATE release SET version = 'deux' WHERE version = '1.1'"),
    "a digest": (
        "release",
        "UPDATE release SET content_sha256 = replace(content_sha256, 'a', 'b') WHERE version = '1.1'",
    ),
    "a heading": ("release", "UPDATE release SET heading = replace(heading, 'Aides', 'Helps') WHERE version = '1.1'"),
    "a log entry": ("log", "UPDATE log SET entry = replace(entry, 'Essai', 'Essay') WHERE seq = 3"),
    "an envelope": ("signature", "UPDATE signature SET envelope = replace(envelope, 'sig', 'gis') WHERE seq = 3"),
    "an envelope swapped": (
        "signature",
        "UPDATE signature SET envelope = (SELECT envelope FROM signature WHERE seq = 1) WHERE seq = 3",
    ),
    "an envelope taken out": ("signature", "DELETE FROM signature WHERE seq = 3"),
    "a head": (
        "checkpoint",
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 1) WHERE size = 4",
    ),
    "a head taken out": ("checkpoint", "DELETE FROM checkpoint WHERE size = 4"),
    "a key set": ("key_set", "UPDATE key_set SET envelope = replace(envelope, 'sig', 'gis')"),
    "a key set taken out": ("key_set", "DELETE FROM key_set"),
    "a withdrawal that nobody signed": (
        "withdrawal",
        "INSERT INTO withdrawal VALUES (1, '2024-01-01T00:00:00Z', '', 9)",
    ),
    "an instant of publication": (
        "release",
        "UPDATE release SET issued = '2023-01-01T00:00:00Z' WHERE version = '1.1'",
    ),
    "what a release corrects": ("release", "UPDATE release SET corrects = '1.0' WHERE version = '1.1'"),
    "a decision": (
        "release",
        "UPDATE release SET decision = replace(decision, 'Essai', 'Essay') WHERE version = '1.1'",
    ),
    "a file swapped": ("file", "UPDATE file SET sha256 = replace(sha256, 'a', 'b') WHERE format = 'csv'"),
    "a local label": ("local_code", "UPDATE local_code SET label = 'Trois' WHERE code = '2'"),
    "a local code taken out": ("local_code", "DELETE FROM local_code WHERE code = '2'"),
    "a mapping": ("mapping", "UPDATE mapping SET target_code = 'B' WHERE local_code = '1'"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_row_altered_behind_the_triggers_is_found(patient_on_sqlite: Patient, what: str) -> None:
    patient_on_sqlite.alter(*ALTERED[what])

    found = patient_on_sqlite.wrong()

    assert found
    assert {one.state for one in found} == {"damaged"}


def test_the_end_of_the_log_taken_out_with_its_signatures_is_found(patient: Patient) -> None:
    patient.alter("signature", "DELETE FROM signature WHERE seq = 4")
    patient.alter("checkpoint", "DELETE FROM checkpoint WHERE size = 4")
    patient.alter("log", "DELETE FROM log WHERE seq = 4")

    found = patient.wrong()

    assert [one.object for one in found if one.state == "damaged"] == ["aides@1.1"]


def test_the_name_of_what_is_altered_is_told(patient: Patient) -> None:
    patient.alter(*ALTERED["a label"])

    [found] = patient.wrong()

    assert found.object == "aides@1.1"
    assert found.message == "le contenu de la base n'est pas celui qui a été publié"


def test_a_deleted_index_is_built_again(patient: Patient) -> None:
    shutil.rmtree(patient.folder / "index")

    found = patient.wrong()

    assert [(one.object, one.state) for one in found] == [("index de recherche", "mended")]
    assert patient.wrong() == []


WRONGLY_COUNTED = {
    "too many at once": "UPDATE reach SET times = 3",
    "of nothing any more": "DELETE FROM reach",
    "of an edition that counts no more": "INSERT INTO reach SELECT 1, number, together, times, targets FROM reach "
    "WHERE crosswalk_edition_id = 2",
    "mapped too often": "UPDATE target SET mappings = 7 WHERE code = 'A'",
    "by nobody": "UPDATE target SET organisations = 0 WHERE code = 'B'",
    "a code under another's number": "UPDATE target SET place = 9 WHERE code = 'A'",
    "a code without a number": "DELETE FROM target WHERE code = 'A'",
    "a code that nothing is mapped to": "INSERT INTO target SELECT nomenclature_id, 'Z', 3, 1, 1, 1 FROM target "
    "WHERE code = 'A'",
}


def test_what_crosswalks_point_at_is_counted_again_where_it_is_wrong(patient: Patient) -> None:
    def publish(code_list: str, *mappings: tuple[str, str]) -> None:
        editions.publish(
            patient.store,
            editions.Source(a_code_list(slug=code_list), [LocalCode("1", "Un"), LocalCode("2", "Deux")], None),
            "aides",
            [Mapping(local, code, "relatedMatch") for local, code in mappings],
            release="1.1",
            valid_from=A_DAY,
            author="Référente",
            license="https://www.etalab.gouv.fr/licence-ouverte-open-licence",
        )

    # The fixture's edition, the first, counts no more; the organisation maps to A from two of its lists.
    publish("solis", ("1", "A"), ("1", "B"), ("2", "B"))
    publish("iodas", ("1", "A"), ("2", "C"))
    right = patient.store.uses_by_code("aides", "ABC"), patient.store.uses("aides", "ABC", "A")
    assert patient.wrong() == [Finding("index de recherche", "mended", "reconstruit")]

    for what, sql in WRONGLY_COUNTED.items():
        patient.alter("reach", sql)

        found = patient.store.uses_are_counted_right(), patient.wrong()
        counted = patient.store.uses_by_code("aides", "ABC"), patient.store.uses("aides", "ABC", "A")

        assert found == (False, [Finding("décompte des correspondances", "mended", "refait")]), what
        assert counted == right, what
        assert patient.store.uses_are_counted_right(), what


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_cut, Path.unlink], ids=["cut short", "deleted"])
def test_a_damaged_index_is_built_again_and_answers(patient_on_sqlite: Patient, damage: Callable[[Path], None]) -> None:
    patient = patient_on_sqlite
    [documents] = patient.folder.glob("index/*/documents.jsonl")
    damage(documents)

    found = patient.wrong()

    assert [(one.object, one.state) for one in found] == [("index de recherche", "mended")]
    index = finding.current_index(patient.store, patient.folder / "index", today())
    assert index.search("aide c").hits[0].document.code == "C"


def test_what_a_killed_publication_left_is_swept(patient: Patient) -> None:
    old = (1, 1)
    left = [
        folder / file
        for folder in (patient.folder / "blobs", patient.folder / "blobs" / "archives")
        for file in (Path("tmp") / "999999999-x", Path("sha256") / "ab" / ("ab" * 32))
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a file")
        os.utime(path, old)

    found = patient.wrong()

    assert found == [Finding("fichiers abandonnés", "mended", "4 enlevés")]
    assert not any(path.exists() for path in left)


def test_the_command_tells_what_is_damaged_and_ends_with_5(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", patient.url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(patient.folder))
    sound = CliRunner().invoke(main, ["doctor"])
    blob_of(patient, "1.0", "turtle").unlink()

    damaged = CliRunner().invoke(main, ["doctor", "--json"])

    assert sound.exit_code == 0
    assert damaged.exit_code == 5
    states = {one["object"]: one["state"] for one in json.loads(damaged.stdout)["items"]}
    assert states["aides@1.0 turtle"] == "damaged"
    assert "ENDOMMAGÉ" in CliRunner().invoke(main, ["doctor"]).stdout


def test_the_index_follows_a_release_that_comes_into_force_at_midnight(patient: Patient) -> None:
    later = a_release(*(a_concept(code) for code in "ABCD"), version="1.2", valid_from=A_DAY.replace(year=2999))
    published(patient.store, later)
    folder = patient.folder / "index"

    before = finding.current_index(patient.store, folder, today())
    after = finding.current_index(patient.store, folder, later.valid_from)

    assert before.search("aide d").hits[0].document.code != "D"
    assert after.search("aide d").hits[0].document.code == "D"
    assert finding.current_index(patient.store, folder, later.valid_from) is after
