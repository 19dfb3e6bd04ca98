"""The command line, as a secretary of the committee, a vendor and an operator use it; every exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click
import pytest
import rdflib
from click.testing import CliRunner, Result

from cli.main import COMMANDS, EXIT_CODES, main
from registry import errors, keys
from registry.settings import Settings
from registry.store import Store
from tests.conftest import running, settings_for

Socle = Callable[..., Result]

HEADING = {
    "title": {"fr": "Aides"},
    "description": {"fr": "Aides des services sociaux."},
    "publisher": "https://socle.example/organisations/comite",
    "license": "https://www.etalab.gouv.fr/licence-ouverte-open-licence",
}
FIRST = """code,libelle,definition,code_parent
A,Autonomie,Aides à l'autonomie.,
A-1,Aide ménagère,Ménage à domicile.,A
A-2,Portage de repas,Repas livrés à domicile.,A
"""
SECOND = """code,libelle,definition,code_parent,statut,note_historique,filiation
A,Autonomie,Aides à l'autonomie.,,,,
A-1,Aide ménagère,Ménage à domicile.,A,déprécié,,A-3@2025-01-01:wider
A-2,Portage de repas,Repas livrés à domicile.,A,,,
A-3,Aide à domicile,Ménage et soins à domicile.,A,,,
"""


@pytest.fixture
def socle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Socle:
    """The command, on an empty registry of each kind of database, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATABASE_URL", database_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    keys.generate(tmp_path / "keys", "https://socle.example/")
    return run


@pytest.fixture
def socle_on_sqlite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str) -> Socle:
    """The same, for what does not depend on the kind of database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    keys.generate(tmp_path / "keys", "https://socle.example/")
    return run


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Socle:
    """The command in an empty folder, where no registry is yet; the default database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOCLE_DATABASE_URL", raising=False)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path / "data"))
    return run


@pytest.fixture(scope="session")
def shipped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which `socle init` has run; for tests that only read."""
    folder = tmp_path_factory.mktemp("shipped")
    done = subprocess.run(command("init"), env=environment(folder), cwd=folder, capture_output=True, check=True)
    assert b"types-aide@2.0" in done.stdout
    return folder


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, shipped_folder: Path) -> Socle:
    """The command, on the shipped nomenclatures; only to read."""
    monkeypatch.chdir(shipped_folder)
    monkeypatch.delenv("SOCLE_DATABASE_URL", raising=False)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(shipped_folder))
    return run


def run(*arguments: object, given: str | bytes | IO[bytes] | None = None) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answer(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from cli.main import main; main(prog_name='socle')", *arguments]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOCLE_")}
    return {**kept, "SOCLE_DATA_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parent.parent)}


def created(socle: Socle) -> None:
    assert socle("nomenclatures", "create", "aides", "-", given=json.dumps(HEADING)).exit_code == 0


def drafted(socle: Socle, csv: str, *options: str) -> int:
    number = answer(socle("draft", "new", "aides", "-", "--format", "csv", "--json", *options, given=csv))["draft"]
    return int(number)


def published(socle: Socle) -> None:
    created(socle)
    for csv, version, day in ((FIRST, "1.0", "2024-01-01"), (SECOND, "2.0", "2025-01-01")):
        draft = drafted(socle, csv, "--basis", "Délibération 12.")
        done = socle("publish", draft, "--version", version, "--valid-from", day)
        assert done.exit_code == 0, done.output


# --- A secretary's story --------------------------------------------------------------------------------------------


def test_a_release_goes_from_a_spreadsheet_to_its_readers(socle: Socle, tmp_path: Path) -> None:
    created(socle)
    Path("aides.csv").write_text(FIRST, encoding="cp1252")
    first = answer(socle("draft", "new", "aides", "aides.csv", "--basis", "Délibération 12.", "--json"))["draft"]

    checked = socle("draft", "check", first)
    done = answer(socle("publish", first, "--version", "1.0", "--valid-from", "2024-01-01", "--json"))

    assert checked.exit_code == 0
    assert (done["version"], done["concepts"], done["validFrom"]) == ("1.0", 3, "2024-01-01")
    shown = answer(socle("show", "aides/A-1", "--json"))
    assert shown["prefLabel"] == {"fr": "Aide ménagère"}
    assert shown["broader"] == [{"code": "A", "prefLabel": {"fr": "Autonomie"}}]


def test_a_draft_is_seen_before_it_is_published(socle: Socle) -> None:
    created(socle)
    first = drafted(socle, FIRST)
    assert socle("publish", first, "--version", "1.0", "--valid-from", "2024-01-01").exit_code == 0

    second = answer(socle("draft", "diff", drafted(socle, SECOND), "--json"))

    assert second["compatibility"] == "breaking"
    assert {item["code"]: item["kinds"] for item in second["items"]} == {
        "A-1": ["deprecated", "replaced"],
        "A-3": ["added"],
    }


def test_readers_see_a_code_as_of_a_day_and_what_became_of_it(socle: Socle) -> None:
    published(socle)

    before = answer(socle("show", "aides/A-1", "--at", "2024-06-01", "--json"))
    now = answer(socle("show", "aides/A-1", "--json"))
    history = answer(socle("history", "aides/A-1", "--json"))
    text = socle("show", "aides/A-1")

    assert (before["release"], before["status"]) == ("1.0", "active")
    assert (now["release"], now["status"]) == ("2.0", "deprecated")
    assert [one["code"] for one in now["replacedBy"]] == ["A-3"]
    assert [(one["release"], one["kinds"]) for one in history["items"]] == [
        ("1.0", ["added"]),
        ("2.0", ["deprecated", "replaced"]),
    ]
    assert "remplacé par : A-3 Aide à domicile (plus large, 2025-01-01)" in text.stdout


def test_a_figure_once_published_can_be_explained_as_it_was_known(socle: Socle) -> None:
    published(socle)

    now = socle("show", "aides/A-1", "--at", "2025-06-01", "--known-at", "2999-01-01T00:00:00Z", "--json")
    earlier = socle("show", "aides/A-1", "--at", "2025-06-01", "--known-at", "2000-01-01T00:00:00Z")

    assert answer(now)["release"] == "2.0"
    assert earlier.exit_code == 3


def test_two_releases_are_compared_either_way(socle: Socle) -> None:
    published(socle)

    forth = answer(socle("diff", "aides", "1.0", "latest", "--json"))
    back = answer(socle("diff", "aides", "2.0", "1.0", "--json"))
    text = socle("diff", "aides", "1.0", "2.0")

    assert (forth["from"], forth["to"], forth["counts"]["added"]) == ("1.0", "2.0", 1)
    assert back["counts"]["removed"] == 1
    assert "A-1 Aide ménagère : déprécié, remplacé (incompatible) → A-3 Aide à domicile" in text.stdout


@pytest.mark.parametrize("release", ["aides", "aides@2.0", "aides@latest"])
def test_an_export_is_the_bytes_that_were_published(socle: Socle, tmp_path: Path, release: str) -> None:
    published(socle)

    to_file = socle("export", release, "--format", "turtle", "-o", "aides.ttl")
    to_output = socle("export", release, "--format", "turtle")

    assert (to_file.exit_code, to_output.exit_code) == (0, 0)
    assert (tmp_path / "aides.ttl").read_bytes() == to_output.stdout_bytes
    graph = rdflib.Graph().parse(data=to_output.stdout_bytes, format="turtle")
    assert len(set(graph.subjects(rdflib.RDF.type, rdflib.SKOS.Concept))) == 4


def test_an_exported_release_comes_back_as_a_draft_that_changes_nothing(socle_on_sqlite: Socle) -> None:
    published(socle_on_sqlite)
    for format in ("ntriples", "turtle", "rdfxml", "jsonld", "json", "csv", "csv-excel"):
        data = socle_on_sqlite("export", "aides", "--format", format).stdout_bytes

        drafted = answer(socle_on_sqlite("draft", "new", "aides", "-", "--format", format, "--json", given=data))

        assert (format, drafted["changes"]) == (format, 0)


def test_a_vendor_follows_every_change_exactly_once_in_pages(socle: Socle) -> None:
    published(socle)
    cursor, found = "", []
    for _ in range(5):
        page = answer(socle("changes", "--since", cursor, "--limit", "2", "--json"))
        cursor = page["cursor"]
        found += [(one["release"], one["type"], one.get("code")) for one in page["items"]]

    assert page["items"] == []
    assert found == [
        ("1.0", "release", None),
        ("1.0", "change", "A"),
        ("1.0", "change", "A-1"),
        ("1.0", "change", "A-2"),
        ("2.0", "release", None),
        ("2.0", "change", "A-1"),
        ("2.0", "change", "A-3"),
    ]


def test_the_release_log_is_printed_and_verified(socle: Socle) -> None:
    published(socle)

    entries = answer(socle("log", "--json"))["items"]
    verified = answer(socle("log", "--verify", "--json"))

    assert [entry["type"] for entry in entries] == ["release", "renditions"] * 2
    assert entries[0]["decision"]["basis"] == "Délibération 12."
    assert verified["entries"] == 4


def test_a_concept_is_found_by_its_words_without_accents(socle: Socle) -> None:
    published(socle)

    found = answer(socle("search", "aide menagere", "--json"))
    elsewhere = socle("search", "aide", "--in", "nowhere")

    assert found["items"][0]["code"] == "A-1"
    assert elsewhere.exit_code == 3


def test_a_search_reads_a_day_or_a_release(socle: Socle) -> None:
    created(socle)
    for rows, version, day in ((FIRST, "1.0", "2024-01-01"), (SECOND, "2.0", "2025-01-01")):
        assert socle("publish", drafted(socle, rows), "--version", version, "--valid-from", day).exit_code == 0

    then = answer(socle("search", "aide menagere", "--at", "2024-06-01", "--json"))
    pinned = answer(socle("search", "aide menagere", "--in", "aides", "--release", "1.0", "--json"))
    nameless = socle("search", "aide menagere", "--release", "1.0")

    assert [found["items"][0]["release"] for found in (then, pinned)] == ["1.0", "1.0"]
    assert then["facets"]["nomenclature"] == {"aides": then["total"]}
    assert nameless.exit_code == 2


def test_candidates_are_proposed_for_a_local_label(socle: Socle) -> None:
    published(socle)

    found = answer(socle("candidates", "aides", "Aide ménagère (dossier)", "--json"))
    said = socle("candidates", "aides", "Aide ménagère (dossier)")

    assert found["items"][0]["code"] == "A-1"
    assert "aides@" in said.stdout


def test_what_is_found_has_one_shape_in_the_command_and_in_the_api(
    socle: Socle, tmp_path: Path, database_url: str
) -> None:
    published(socle)

    hits = answer(socle("search", "aide menagere", "--json"))["items"]
    likely = answer(socle("candidates", "aides", "Aide ménagère (dossier)", "--json"))["items"]

    with running(settings_for(tmp_path, database_url)) as app:
        client = app.test_client()
        assert hits == client.get("/api/v1/search?q=aide+menagere").get_json()["items"]
        told = {"label": "Aide ménagère (dossier)", "nomenclature": "aides"}
        assert likely == client.get("/api/v1/candidates", query_string=told).get_json()["items"]
    assert hits[0]["iri"] == "https://socle.example/aides/A-1"
    assert hits[0]["why"]["highlights"] == [[0, 13]]
    assert likely[0]["relation"] == "exactMatch"


def test_the_index_is_level_as_soon_as_a_release_is_published(socle: Socle) -> None:
    created(socle)
    first = drafted(socle, FIRST)
    assert socle("publish", first, "--version", "1.0", "--valid-from", "2024-01-01").exit_code == 0
    before = answer(socle("search", "soins", "--json"))["total"]
    second = drafted(socle, SECOND)
    assert socle("publish", second, "--version", "2.0", "--valid-from", "2025-01-01").exit_code == 0

    after = answer(socle("search", "soins", "--json"))

    assert (before, [one["code"] for one in after["items"]]) == (0, ["A-3"])


def test_a_release_not_yet_in_force_is_latest_and_not_current(socle: Socle) -> None:
    created(socle)
    for csv, version, day in ((FIRST, "1.0", "2024-01-01"), (SECOND, "2.0", "2999-01-01")):
        assert socle("publish", drafted(socle, csv), "--version", version, "--valid-from", day).exit_code == 0

    current = answer(socle("show", "aides/A-1", "--release", "current", "--json"))
    latest = answer(socle("show", "aides/A-1", "--release", "latest", "--json"))
    [listed] = answer(socle("nomenclatures", "--json"))["items"]

    assert (current["release"], latest["release"]) == ("1.0", "2.0")
    assert (listed["current"], listed["latest"]) == ("1.0", "2.0")
    assert answer(socle("search", "domicile", "--json"))["items"][0]["release"] == "1.0"


def test_warnings_are_accepted_in_writing_and_changed_texts_declared(socle: Socle) -> None:
    created(socle)
    alike = FIRST.replace("A-2,Portage de repas,Repas livrés à domicile.,A", "A-2,Aide ménagère,Repas livrés.,")
    refused = answer(socle("draft", "check", drafted(socle, alike), "--json"), 1)
    rules = sorted({problem["rule"] for problem in refused["problems"]})
    accepted = [part for rule in rules for part in ("--accept", f"{rule}:A-1,A-2=homonymes")]
    first = drafted(socle, alike, *accepted)
    reworded = alike.replace("Repas livrés", "Repas portés")

    checked = socle("draft", "check", first)
    done = socle("publish", first, "--version", "1.0", "--valid-from", "2024-01-01")
    undeclared = socle("draft", "check", drafted(socle, reworded, *accepted))
    declared = socle("draft", "check", drafted(socle, reworded, *accepted, "--same-meaning", "A-2"))

    assert {problem["severity"] for problem in refused["problems"]} == {"warning"}
    assert (checked.exit_code, done.exit_code) == (0, 0)
    assert (undeclared.exit_code, declared.exit_code) == (1, 0)
    assert "changed_meaning_is_declared" in undeclared.stderr


def test_a_draft_can_begin_from_an_earlier_release(socle: Socle) -> None:
    published(socle)

    drafted = answer(socle("draft", "new", "aides", "--from-release", "2.0", "--json"))

    assert (drafted["base"], drafted["changes"]) == ("2.0", 0)


def test_an_erratum_says_which_release_it_corrects(socle: Socle) -> None:
    published(socle)
    mended = SECOND.replace("Repas livrés", "Repas portés")
    draft = drafted(socle, mended, "--same-meaning", "A-2")

    done = answer(
        socle("publish", draft, "--version", "2.1", "--valid-from", "2025-01-01", "--corrects", "2.0", "--json")
    )

    assert (done["corrects"], done["predecessor"]) == ("2.0", "2.0")
    assert "corrige 2.0" in socle("releases", "aides").stdout


# --- Crosswalks -----------------------------------------------------------------------------------------------------

CODES = "code,label\n1,Ménage\n2,Repas\n3,Autre\n"
MAPPINGS = "local_code,relation,target_code\n1,narrowMatch,A-1\n2,exactMatch,A-2\n"
NEW_LIST = ("--list", "liste.csv", "--organisation-name", "Saône-et-Loire", "--author", "Référente", "--publish")


def crosswalk_files(codes: str = CODES, mappings: str = MAPPINGS) -> None:
    Path("liste.csv").write_text(codes, encoding="utf-8")
    Path("table.csv").write_text(mappings, encoding="utf-8")


def test_a_department_publishes_its_crosswalk_and_sees_its_coverage(socle: Socle) -> None:
    published(socle)
    crosswalk_files()

    done = answer(socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST, "--json"))
    [status] = answer(socle("crosswalk", "status", "dep-71/solis", "--json"))["items"]
    exported = socle("crosswalk", "export", "dep-71/solis", "aides")

    assert (done["edition"], done["listEdition"], done["release"]) == (1, 1, "2.0")
    assert (status["mapped"], status["noMatch"], status["unreviewed"]) == (2, 0, 1)
    assert exported.stdout.splitlines()[1].startswith("1,narrowMatch,A-1,")


def test_the_next_edition_of_a_crosswalk_keeps_the_list_when_its_codes_are_the_same(socle: Socle) -> None:
    published(socle)
    crosswalk_files()
    assert socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST).exit_code == 0
    more = socle("crosswalk", "export", "dep-71/solis", "aides").stdout + "3,noMatch,,,,,,\n"

    again = answer(
        socle("crosswalk", "import", "dep-71/solis", "aides", "-", *NEW_LIST, "--json", given=more),
    )

    assert (again["edition"], again["listEdition"]) == (2, 1)
    first = socle("crosswalk", "export", "dep-71/solis@1", "aides").stdout
    assert len(first.splitlines()) == 3


def test_a_crosswalk_is_refused_whole_with_every_problem(socle: Socle) -> None:
    published(socle)
    crosswalk_files(mappings=MAPPINGS + "4,exactMatch,A-2\n3,exactMatch,NOWHERE\n")

    refused = answer(socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST, "--json"), 1)

    assert {problem["rule"] for problem in refused["problems"]} >= {"local_code_exists", "target_exists"}
    assert answer(socle("crosswalk", "status", "--json"))["total"] == 0
    assert socle("crosswalk", "status", "dep-71/solis").exit_code == 3


def test_an_edition_that_exists_leaves_nothing_of_what_came_with_it(socle: Socle, database_url: str) -> None:
    published(socle)
    crosswalk_files()
    assert socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST).exit_code == 0
    crosswalk_files(CODES + "4,Nouveau\n")

    refused = socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST, "--edition", "1")

    store = Store(database_url, Path("blobs"))
    editions = [one.edition for one in store.list_editions("dep-71")]
    store.close()
    assert (refused.exit_code, editions) == (4, [1])


def test_two_codes_exact_to_one_concept_are_only_a_warning(socle: Socle) -> None:
    published(socle)
    crosswalk_files(mappings=MAPPINGS + "3,exactMatch,A-2\n")

    done = socle("crosswalk", "import", "dep-71/solis", "aides", "table.csv", *NEW_LIST)

    assert done.exit_code == 0
    assert "avertissement : 2, 3" in done.stderr


# --- What is refused leaves nothing --------------------------------------------------------------------------------

BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "an unknown encoding": ("csv", b"code,libelle\nA,\x81\x8d\n", "encodage inconnu"),
    "a code given twice": ("csv", b"code,libelle\nA,Un\nA,Deux\n", "ligne 3, colonne code"),
    "an unknown column": ("csv", b"code,libelle,couleur\nA,Un,bleu\n", "couleur"),
    "a row too short": ("csv", b"code,libelle\nA\n", "ligne 2"),
    "a quote never closed": ("csv", b'code,libelle\nA,"Un\n', "illisible"),
    "nothing at all": ("csv", b"", "fichier vide"),
    "a NUL": ("csv", b"code,libelle\nA,U\x00n\n", "caractère nul"),
    "too many rows": ("csv", b"code,libelle\n" + b"A,B\n" * 200_001, "lignes"),
    "Turtle cut short": ("turtle", b"<https://socle.example/aides/A> a ", "ligne"),
    "Turtle in another encoding": ("turtle", '<http://a> <http://b> "é" .'.encode("utf-16"), "erreur"),
    "JSON that is a list": ("json", b"[]", "concepts"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_and_leaves_no_draft(socle_on_sqlite: Socle, fault: str) -> None:
    format, data, said = BAD_FILES[fault]
    created(socle_on_sqlite)

    refused = socle_on_sqlite("draft", "new", "aides", "-", "--format", format, given=data)

    assert refused.exit_code == 1
    assert said in refused.stderr
    assert refused.stdout == ""
    assert socle_on_sqlite("draft", "check", 1).exit_code == 3


def test_a_circle_is_found_by_check_and_refused_by_publish_which_writes_nothing(socle: Socle, tmp_path: Path) -> None:
    created(socle)
    draft = drafted(socle, "code,libelle,definition,code_parent\nA,Un,Un.,B\nB,Deux,Deux.,A\n")

    checked = socle("draft", "check", draft)
    refused = socle("publish", draft, "--version", "1.0", "--valid-from", "2024-01-01")

    assert (checked.exit_code, refused.exit_code) == (1, 1)
    assert "broader_has_no_cycle" in checked.stderr
    assert answer(socle("releases", "aides", "--json"))["total"] == 0
    assert answer(socle("log", "--json"))["total"] == 0
    assert list(tmp_path.glob("blobs/sha256/*/*")) == []


def test_problems_in_json_say_place_value_and_what_is_accepted(socle_on_sqlite: Socle) -> None:
    created(socle_on_sqlite)
    data = "code,libelle,date_debut\nA,Un,hier\nB,Deux,2024-13-01\n"

    refused = answer(socle_on_sqlite("draft", "new", "aides", "-", "--format", "csv", "--json", given=data), 1)

    assert (refused["error"], refused["total"]) == ("Invalid", 2)
    assert refused["problems"][0] == {
        "rule": "csv_cell",
        "severity": "error",
        "message": "date illisible",
        "codes": ["A"],
        "where": "ligne 2, colonne date_debut",
        "value": "hier",
        "accepted": "AAAA-MM-JJ",
    }


@pytest.mark.parametrize(
    "document",
    [b"{", b"[]", b'"x"', b"{}", b'{"title": 1}', json.dumps({**HEADING, "license": "javascript:alert(1)"}).encode()],
)
def test_a_nomenclature_badly_described_is_refused(socle_on_sqlite: Socle, document: bytes) -> None:
    refused = socle_on_sqlite("nomenclatures", "create", "aides", "-", given=document)

    assert refused.exit_code == 1
    assert answer(socle_on_sqlite("nomenclatures", "--json"))["total"] == 0


@pytest.mark.parametrize("slug", ["Aides", "api", "a/b", "é"])
def test_a_nomenclature_without_an_address_of_its_own_is_refused(socle_on_sqlite: Socle, slug: str) -> None:
    refused = socle_on_sqlite("nomenclatures", "create", slug, "-", given=json.dumps(HEADING))

    assert refused.exit_code == 1


# --- Exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "types-aide"],
        ["show", "types-aide/TA-AUT-110", "--at", "20240301"],
        ["show", "types-aide/TA-AUT-110", "--at", "2024-03-01", "--release", "2.0"],
        ["show", "types-aide/TA-AUT-110", "--known-at", "2024-03-01T12:00:00"],
        ["show", "types-aide/TA-AUT-110", "--release", "2"],
        ["export", "types-aide", "--format", "pdf"],
        ["export", "types-aide", "--format", "csv", "-o", "no/such/folder/file.csv"],
        ["changes", "--since", "nonsense"],
        ["changes", "--limit", "0"],
        ["draft", "check", "two"],
        ["draft", "check", str(2**63)],
        ["draft", "new", "types-aide", "aides.csv", "--from-release", "1.0"],
        ["draft", "new", "types-aide", "absent.csv"],
        ["crosswalk", "status", "mon-suivi-social"],
        ["serve", "--port", "70000"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_2(shipped: Socle, arguments: list[str]) -> None:
    result = shipped(*arguments)

    assert result.exit_code == 2
    assert result.stderr


def test_a_wrong_setting_is_2_and_names_the_variable(alone: Socle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCLE_PORT", "http")

    result = alone("settings")

    assert result.exit_code == 2
    assert "SOCLE_PORT" in result.stderr
    assert "a port from 1 to 65535" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["show", "mesures/ME-CON-500", "--release", "1.0"], "versions qui l'ont : 2.0"),
        (["show", "types-aide/TA-AUT-110", "--release", "9.0"], "1.0, 2.0"),
        (["show", "types-aide/TA-AUT-110", "--at", "1900-01-01"], "en vigueur à partir du : 2022-01-01"),
        (["history", "types-aide/NOWHERE"], "NOWHERE"),
        (["releases", "nowhere"], "types-aide"),
        (["diff", "mesures", "1.0", "9.0"], "1.0, 2.0"),
        (["export", "types-aide@9.0", "--format", "csv"], "1.0, 2.0"),
        (["draft", "check", "99"], "projet 99"),
        (["crosswalk", "export", "dep-99/nothing", "mesures"], "dep-99/nothing"),
    ],
)
def test_not_found_is_3_and_says_where_to_look(shipped: Socle, arguments: list[str], hint: str) -> None:
    result = shipped(*arguments)

    assert result.exit_code == 3
    assert hint in result.stderr
    assert "Traceback" not in result.output


def test_not_found_in_json_holds_the_hints(shipped: Socle) -> None:
    found = answer(shipped("show", "mesures/ME-CON-500", "--release", "1.0", "--json"), 3)

    assert (found["kind"], found["releases"]) == ("concept", ["2.0"])


def test_what_somebody_did_first_is_4(socle: Socle) -> None:
    published(socle)
    one, other = (drafted(socle, SECOND + "A-4,Téléalarme,Alarme à domicile.,A,,,\n") for _ in range(2))
    assert socle("publish", one, "--version", "2.1", "--valid-from", "2025-01-01").exit_code == 0

    again = socle("publish", one, "--version", "2.2", "--valid-from", "2025-01-01")
    late = socle("publish", other, "--version", "2.2", "--valid-from", "2025-01-01")
    name = socle("nomenclatures", "create", "aides", "-", given=json.dumps(HEADING))

    assert (again.exit_code, late.exit_code, name.exit_code) == (4, 4, 4)


def test_a_registry_that_is_not_there_yet_is_5_and_nothing_is_made(alone: Socle, tmp_path: Path) -> None:
    result = alone("nomenclatures")

    assert result.exit_code == 5
    assert "socle init" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 400])
def test_a_lost_database_is_never_replaced_by_an_empty_one(alone: Socle, tmp_path: Path, content: bytes | None) -> None:
    blob = tmp_path / "data" / "blobs" / "sha256" / "ab" / "abcd"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"a release")
    database = tmp_path / "data" / "socle.db"
    if content is not None:
        database.write_bytes(content)

    results = [alone(name) for name in ("init", "migrate", "nomenclatures", "doctor", "serve")]

    assert [result.exit_code for result in results] == [5] * 5
    assert (database.read_bytes() if database.exists() else None) == content
    assert blob.read_bytes() == b"a release"


def test_a_schema_newer_than_the_code_is_5(socle: Socle, database_url: str) -> None:
    store = Store(database_url, Path("blobs"))
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()

    results = [socle(name) for name in ("init", "migrate", "nomenclatures", "doctor")]

    assert [result.exit_code for result in results] == [5] * 4
    assert all("9999" in result.stderr for result in results)


def test_a_server_that_does_not_answer_is_5(alone: Socle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", f"postgresql+psycopg:///socle?host={tmp_path}")

    result = alone("nomenclatures")

    assert result.exit_code == 5


def test_an_altered_file_is_never_exported(socle: Socle, tmp_path: Path) -> None:
    published(socle)
    for file in tmp_path.glob("blobs/sha256/*/*"):
        file.write_bytes(file.read_bytes() + b" ")

    result = socle("export", "aides", "--format", "csv", "-o", "out.csv")

    assert result.exit_code == 5
    assert "altered" in result.stderr
    assert not Path("out.csv").exists()


def test_every_error_of_the_registry_has_an_exit_code() -> None:
    names = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.SocleError)]

    for error in set(names) - {errors.SocleError}:
        assert any(issubclass(error, kind) for kind in EXIT_CODES), error


class Interrupted(io.BytesIO):
    """A standard input at which somebody presses Ctrl-C."""

    def read(self, size: int | None = -1, /) -> bytes:
        # click reads nothing at all to see whether this is binary.
        if size == 0:
            return b""
        raise KeyboardInterrupt


def test_ctrl_c_is_130(shipped: Socle) -> None:
    result = shipped("draft", "new", "types-aide", "-", "--format", "csv", given=Interrupted())

    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_reader_that_goes_away_is_not_an_error_to_talk_of(shipped_folder: Path) -> None:
    arguments = command("export", "types-aide", "--format", "ntriples")
    process = subprocess.Popen(
        arguments, env=environment(shipped_folder), cwd=shipped_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()

    said = process.stderr.read()
    process.stderr.close()

    process.wait(20)
    assert said == b""


# --- The registry made ready, and the service -----------------------------------------------------------------------


def test_init_is_done_once_and_says_so(shipped: Socle) -> None:
    again = shipped("init")

    assert again.exit_code == 0
    assert "rien à faire" in again.stdout
    assert len(answer(shipped("nomenclatures", "--json"))["items"]) == 4


def test_init_on_postgresql_loads_the_same_log_as_on_sqlite(
    shipped: Socle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_url: str
) -> None:
    expected = shipped("log", "--verify").stdout
    monkeypatch.setenv("SOCLE_DATABASE_URL", postgres_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))

    done = run("init")

    assert done.exit_code == 0
    assert run("log", "--verify").stdout == expected


def test_reindex_builds_the_index_again(shipped: Socle) -> None:
    result = shipped("reindex")

    assert result.exit_code == 0
    assert answer(shipped("search", "aemo", "--json"))["items"][0]["code"] == "ME-MOU-100"


def test_settings_are_printed_without_passwords(alone: Socle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", "postgresql+psycopg://socle:secret@db/socle")

    shown = alone("settings", "--json")

    assert "secret" not in shown.output
    assert answer(shown)["SOCLE_PORT"] == "8000"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def service(shipped_folder: Path, free_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The running service, with two workers, in a session of its own as a terminal gives it."""
    process = subprocess.Popen(
        command("serve", "--port", str(free_port), "--workers", "2"),
        env=environment(shipped_folder),
        cwd=shipped_folder,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(free_port))
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nomenclatures", timeout=5) as response:
            return int(response.status) == 200
    except OSError:
        return False


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_service_says_where_it_is_and_stops_cleanly(
    service: subprocess.Popen[bytes], free_port: int, stop: signal.Signals
) -> None:
    # A terminal sends Ctrl-C to the whole group of processes, systemd and Docker send SIGTERM to the main one.
    started = time.monotonic()
    if stop == signal.SIGINT:
        os.killpg(service.pid, stop)
    else:
        service.send_signal(stop)

    said, _ = service.communicate(timeout=60)

    assert service.returncode == 0
    assert time.monotonic() - started < 20, "a worker had to be killed"
    for path in (b"/", b"/api/docs", b"/concepts/"):
        assert f"http://127.0.0.1:{free_port}".encode() + path[:1] in said
        assert path in said


def test_a_port_that_answers_is_refused(service: subprocess.Popen[bytes], free_port: int, shipped: Socle) -> None:
    result = shipped("serve", "--port", free_port)

    assert result.exit_code == 4
    assert str(free_port) in result.stderr


def test_workers_end_when_the_main_process_is_killed(service: subprocess.Popen[bytes], free_port: int) -> None:
    service.kill()
    service.wait()

    wait_until(lambda: not answers(free_port))


# --- Help -----------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[list[str], click.Command]]:
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield [name], command
        if isinstance(command, click.Group):
            yield from (([name, under], one) for under, one in command.commands.items())


def test_every_command_says_what_it_does_and_every_option_too() -> None:
    for name, command in commands():
        assert command.help, name
        assert CliRunner().invoke(main, [*name, "--help"]).exit_code == 0
        assert all(one.help for one in command.params if isinstance(one, click.Option)), name


def test_whatever_reads_answers_in_json_too() -> None:
    writes_bytes = {("export",), ("catalogue",), ("crosswalk", "export"), ("draft", "export")}
    acts: set[tuple[str, ...]] = {("serve",), ("work",), ("init",), ("migrate",), ("reindex",)}
    acts |= {("key", "generate"), ("key", "rotate"), ("organisation", "join"), ("organisation", "leave")}
    acts |= {("person", "erase"), ("token", "revoke")}

    for name, command in commands():
        only_names = isinstance(command, click.Group) and not command.invoke_without_command
        if tuple(name) not in writes_bytes | acts and not only_names:
            assert any("--json" in one.opts for one in command.params), name


def test_help_lists_the_commands_without_importing_what_they_need() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cli.main import main;"
        "assert 'crosswalk' in CliRunner().invoke(main, ['--help']).output;"
        "print([name for name in ('sqlalchemy', 'rdflib', 'whoosh', 'granian', 'alembic') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.output.startswith("socle")


def test_releases_that_lack_no_format_get_none(monkeypatch: pytest.MonkeyPatch, shipped_settings: Settings) -> None:
    monkeypatch.setenv("SOCLE_DATA_DIR", str(shipped_settings.data_dir))

    told, one = run("renditions"), run("renditions", "types-aide@2.0", "--json")

    assert (told.exit_code, told.stdout) == (0, "rien à faire\n")
    assert answer(one) == {"items": [], "total": 0}
    assert run("renditions", "types-aide@9.9").exit_code == 3
