"""The pages on which an organisation maps its codes, publishes the table, follows releases and recodes files."""

from __future__ import annotations

import csv
import io
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.pages import uploads, wording
from registry import recoding
from registry.crosswalks import LocalCode, Mapping
from registry.editions import Source, publish
from registry.model import Link, Release, french
from registry.recoding import Plan
from registry.store import Store
from registry.store.draft_editions import CrosswalkName
from tests.conftest import running, settings_for
from tests.factories import (
    A_DAY,
    a_code_list,
    a_concept,
    a_deprecated_concept,
    a_member,
    a_release,
    published,
)
from tests.test_sign_in import signed_in

NAME = CrosswalkName("dep-71", "solis", "aides")
TABLE = "/correspondances/dep-71/solis/aides"
PROJECT = f"{TABLE}/projet"
LABELS = {"A": "Aide ménagère", "B": "Portage de repas", "C": "Téléassistance", "D": "Aide aux transports"}
FILE = "N°;Intitulé;Effectif\n007;Aide ménagère;120\n008;Repas livrés;30\n009 ;Divers;5\n010;Téléassistance;7\n"
SEARCH = Path(__file__).parent.parent / "docs" / "search.md"


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The application over one nomenclature in one release."""
    with running(settings_for(tmp_path, sqlite_url)) as app:
        published(
            store_of(app), a_release(*(a_concept(code, pref_label=french(told)) for code, told in LABELS.items()))
        )
        yield app


@pytest.fixture
def referent(site: Flask) -> FlaskClient:
    """The browser of whoever keeps the tables of a département."""
    client = site.test_client()
    signed_in(client, store_of(site), a_member(store_of(site), "mapper"))
    return client


def the_release() -> Release:
    """The release of ``aides`` whose concepts are called as ``LABELS`` says."""
    return a_release(*(a_concept(code, pref_label=french(told)) for code, told in LABELS.items()))


def store_of(app: Flask) -> Store:
    """The store behind an application."""
    found: Store = app.extensions["socle"].store
    return found


def text_of(response: TestResponse) -> str:
    """What a page says, as one line."""
    shown = re.sub(r"<[^>]+>", " ", response.text.partition("<main")[2].partition("</main>")[0])
    return " ".join(unescape(shown).split())


def hidden(page: TestResponse) -> dict[str, str]:
    """What the page carries for its form."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    return {name: unescape(value) for name, value in found}


def sent(client: FlaskClient, address: str, page: TestResponse, **typed: Any) -> TestResponse:
    """Send the form of a page with what it carries and what is typed."""
    return client.post(address, data={**hidden(page), **typed}, content_type="multipart/form-data")


def a_file(text: str | bytes, name: str = "liste.csv") -> tuple[io.BytesIO, str]:
    """A file as a browser sends it."""
    return io.BytesIO(text.encode() if isinstance(text, str) else text), name


def imported(client: FlaskClient, text: str | bytes = FILE, **typed: Any) -> TestResponse:
    """Have a file checked, then let the draft hold it."""
    given = {"organisme": "dep-71", "liste": "solis", "nomenclature": "aides", **typed}
    form = client.get("/correspondances/importer")
    checked = sent(client, "/correspondances/importer", form, fichier=a_file(text), faire="verifier", **given)
    return sent(client, "/correspondances/importer", checked, faire="enregistrer", **given)


def test_a_referent_goes_from_the_own_file_to_a_published_edition_and_over_to_the_next_release(
    site: Flask, referent: FlaskClient
) -> None:
    store = store_of(site)
    given = {"organisme": "dep-71", "liste": "solis", "nomenclature": "aides", "intitule": "Codes de Solis"}

    # The file as it is: one row is refused, said with its line, and comes back to be mended.
    form = referent.get("/correspondances/importer")
    refused = sent(
        referent,
        "/correspondances/importer",
        form,
        fichier=a_file((FILE + "011;Autre;beaucoup\n").encode("cp1252")),
        faire="verifier",
        **given,
    )
    back = sent(referent, "/correspondances/importer", refused, faire="refus", **given)
    assert refused.status_code == 422
    assert "ligne 6, colonne Effectif" in text_of(refused)
    assert "5 lignes lues, 4 sont acceptées" in text_of(refused)
    assert store.draft_editions("dep-71") == []
    assert "motif du refus" in back.data.decode("cp1252").splitlines()[0]

    checked = sent(referent, "/correspondances/importer", form, fichier=a_file(FILE), faire="verifier", **given)
    assert checked.status_code == 200
    assert "4 lignes lues, toutes acceptées" in text_of(checked)
    assert "« N° » : code local" in text_of(checked)
    assert store.draft_editions("dep-71") == []
    kept = sent(referent, "/correspondances/importer", checked, faire="enregistrer", **given)
    assert (kept.status_code, kept.headers["Location"]) == (303, PROJECT)

    # The page of codes: what needs most attention first; the sure ones in one go, with what was measured.
    page = referent.get(PROJECT)
    order = re.findall(r'name="code-\d+" value="([^"]+)"', page.text)
    assert set(order) == {"007", "008", "009", "010"}
    assert order[-2:] == ["007", "010"]
    assert f"{wording.SURE[1]} suggestions sûres, {wording.SURE[0]} justes" in text_of(page)
    sure = sent(referent, f"{PROJECT}/accepter", page, quoi="surs")
    assert sure.headers["Location"].endswith("?ecrits=2")
    left = referent.get(sure.headers["Location"])
    assert "2 codes enregistrés" in text_of(left)

    # One code by another concept than those proposed, one without equivalent; what lacks a relation is told beside it.
    codes = re.findall(r'name="code-(\d+)" value="([^"]+)"', left.text)
    place = {code: number for number, code in codes}
    typed = {
        f"choix-{place['008']}": "autre",
        f"autre-{place['008']}": "B",
        f"choix-{place['009']}": "aucun",
        f"commentaire-{place['009']}": "Fourre-tout.",
    }
    wrong = sent(referent, PROJECT, left, **typed)
    assert wrong.status_code == 422
    assert "choisissez la relation" in text_of(wrong)
    assert 'value="Fourre-tout."' in wrong.text
    done = sent(referent, PROJECT, wrong, **{**typed, f"relation-{place['008']}": "closeMatch"})
    assert done.status_code == 303
    assert "Tout est examiné" in text_of(referent.get(PROJECT))

    # Publication restates what will happen.
    restated = referent.get(f"{PROJECT}/publication")
    assert "3 codes avec correspondance, 1 code sans équivalent, 0 code à examiner" in text_of(restated)
    terms = {
        "depuis": "2024-03-01",
        "auteur": "Camille",
        "licence": next(iter(wording.LICENCES)),
        "intitule": "Codes de Solis",
    }
    no_day = sent(referent, f"{PROJECT}/publication", restated, **{**terms, "depuis": "demain"})
    out = sent(referent, f"{PROJECT}/publication", restated, **terms)
    assert (no_day.status_code, out.headers["Location"]) == (422, f"{TABLE}?edition=1")
    edition = site.test_client().get(TABLE)
    assert "Codes de Solis → Aides" in text_of(edition)
    assert "008 Repas livrés" in text_of(edition)
    assert "concept très proche : B Portage de repas" in text_of(edition)
    assert "Fourre-tout." in text_of(site.test_client().get(f"{TABLE}?etat=noMatch"))
    assert referent.get(PROJECT).status_code == 404

    # A release touches two of the concepts: the page says what to look at again, and why.
    after = a_release(
        a_deprecated_concept("A", pref_label=french("Aide ménagère"), history_note=()),
        a_concept("A2", pref_label=french("Aide et accompagnement à domicile")),
        *(a_concept(code, pref_label=french(LABELS[code])) for code in "BD"),
        a_deprecated_concept("C", pref_label=french("Téléassistance"), history_note=french("N'est plus aidée.")),
        version="2.0",
        links=frozenset({Link("A", "A2", A_DAY, "wider")}),
    )
    published(store, after)
    told = text_of(referent.get("/correspondances"))
    assert "2 codes à revoir" in told
    review = referent.get(f"{TABLE}/a-revoir")
    assert "un successeur est proposé concept plus large : A2" in text_of(review)
    assert "N'est plus aidée." in text_of(review)
    carried = sent(referent, f"{TABLE}/a-revoir", review)
    assert (carried.status_code, carried.headers["Location"]) == (303, PROJECT)
    assert "Un projet vise déjà cette version" in text_of(referent.get(f"{TABLE}/a-revoir"))
    again = referent.get(PROJECT)
    assert "En version 1.0 : équivalent exact : A Aide ménagère" in text_of(again)
    assert "successeur de A, d’après la filiation" in text_of(again)
    sent(referent, f"{PROJECT}/accepter", again, quoi="successeurs")
    rows = {row.code.code: row.mappings for row in store.draft_rows(store.draft_edition(NAME))}
    assert [(item.mapping.target_code, item.mapping.relation) for item in rows["007"]] == [("A2", "broadMatch")]
    sent(referent, f"{PROJECT}/publication", referent.get(f"{PROJECT}/publication"), **terms)
    differences = text_of(referent.get(f"{TABLE}/differences"))
    assert "de l’édition 1" in referent.get(f"{TABLE}/differences").text
    assert "Correspondances ajoutées (1) 007 : concept plus large : A2" in differences
    assert "Correspondances retirées (2)" in differences


def test_a_draft_is_seen_and_written_by_its_own_organisation_alone(site: Flask, referent: FlaskClient) -> None:
    imported(referent)
    other = site.test_client()
    signed_in(other, store_of(site), a_member(store_of(site), "mapper", organisation="dep-72"))
    token = hidden(other.get("/correspondances/importer"))["csrf_token"]
    form = {"csrf_token": token, "organisme": "dep-71", "liste": "solis", "nomenclature": "aides"}

    reads = [other.get(address).status_code for address in (PROJECT, f"{PROJECT}/publication", f"{TABLE}2/projet")]
    writes = [
        other.post(address, data=form).status_code
        for address in (
            "/correspondances/importer",
            PROJECT,
            f"{PROJECT}/accepter",
            f"{PROJECT}/abandonner",
            f"{PROJECT}/publication",
            f"{TABLE}/a-revoir",
        )
    ]
    listed = text_of(other.get("/correspondances"))
    nobody = site.test_client().get(PROJECT)

    assert (reads, writes) == ([403] * 3, [403] * 6)
    assert "solis" not in listed
    assert nobody.status_code == 401
    assert "/connexion?suite=correspondances" in nobody.text
    assert site.test_client().get("/correspondances/importer").headers["Location"] == "/connexion?suite=importer"


def test_what_was_typed_while_somebody_else_changed_the_draft_is_kept_and_nothing_is_written(
    site: Flask, referent: FlaskClient
) -> None:
    imported(referent)
    mine = referent.get(PROJECT)
    place = {code: number for number, code in re.findall(r'name="code-(\d+)" value="([^"]+)"', mine.text)}
    sent(referent, f"{PROJECT}/accepter", mine, quoi="surs")

    late = sent(referent, PROJECT, mine, **{f"choix-{place['007']}": "aucun", f"commentaire-{place['007']}": "Non."})

    rows = {row.code.code: row.mappings for row in store_of(site).draft_rows(store_of(site).draft_edition(NAME))}
    assert late.status_code == 412
    assert "Quelqu’un a modifié ce projet entre-temps" in text_of(late)
    assert "Décidé entre-temps : équivalent exact A" in text_of(late)
    assert 'value="Non."' in late.text
    assert rows["007"][0].mapping.relation == "exactMatch"
    assert sent(referent, PROJECT, late, **{f"choix-{place['007']}": "aucun"}).status_code == 303


def test_a_file_that_would_drop_decisions_says_so_and_asks(site: Flask, referent: FlaskClient) -> None:
    imported(
        referent,
        FILE.replace("Effectif", "Code socle")
        .replace("120", "A")
        .replace(";30", ";")
        .replace(";5", ";")
        .replace(";7", ";"),
        relation="exactMatch",
    )
    given = {"organisme": "dep-71", "liste": "solis", "nomenclature": "aides"}
    shorter = "code;libellé;code socle\n008;Repas livrés;B\n"

    form = referent.get("/correspondances/importer")
    checked = sent(referent, "/correspondances/importer", form, fichier=a_file(shorter), relation="closeMatch", **given)
    asked = sent(referent, "/correspondances/importer", checked, faire="enregistrer", relation="closeMatch", **given)
    done = sent(
        referent,
        "/correspondances/importer",
        asked,
        faire="enregistrer",
        relation="closeMatch",
        abandonner="oui",
        **given,
    )

    store = store_of(site)
    assert "ferait perdre 1 correspondance décidée" in text_of(checked)
    assert asked.status_code == 409
    assert "Cochez cette case" in text_of(asked)
    assert done.status_code == 303
    [row] = store.draft_rows(store.draft_edition(NAME))
    assert row.mappings[0].mapping.target_code == "B"


WRONG_IMPORTS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("a;b\n1;2\n", {}, "import-fichier-erreur"),
    (FILE, {"version": "9.9"}, "import-version-erreur"),
    (FILE, {"version": "deux"}, "import-version-erreur"),
    (FILE, {"liste": ""}, "import-liste-erreur"),
    (FILE, {"liste": "Pas Un Nom"}, "import-liste-erreur"),
    (FILE, {"nomenclature": "rien"}, "import-nomenclature-erreur"),
    (FILE, {"colonne-code": "absente"}, "import-fichier-erreur"),
    ("code;code\n1;2\n", {}, "import-colonne-code-erreur"),
    ("", {}, "import-fichier-erreur"),
)
"""A file, what is typed beside it, and the field that says what is wrong."""


def test_whatever_is_wrong_with_an_import_is_told_beside_its_field(referent: FlaskClient) -> None:
    form = referent.get("/correspondances/importer")
    good = {"organisme": "dep-71", "liste": "solis", "nomenclature": "aides"}
    too_large = uploads.Upload("", b"x" * (uploads.LARGEST + 1)).carried

    wrong = []
    for text, typed, said in WRONG_IMPORTS:
        given = {**good, "intitule": "Tapé", **typed}
        response = sent(referent, "/correspondances/importer", form, fichier=a_file(text), **given)
        expected = (f'id="{said}"', f'href="#{said.removesuffix("-erreur")}"', 'value="Tapé"')
        if response.status_code != 422 or not all(part in response.text for part in expected):
            wrong.append((text, typed, response.status_code))
    bomb = sent(referent, "/correspondances/importer", form, porte=too_large, **good)
    damaged = sent(referent, "/correspondances/importer", form, porte="AAAA", **good)

    assert wrong == []
    assert "dépasse 3,5 Mo" in text_of(bomb)
    assert "est abîmé" in text_of(damaged)


def test_a_workbook_to_fill_in_is_given_and_read_back(site: Flask, referent: FlaskClient) -> None:
    given = referent.get("/correspondances/modele?nomenclature=aides")
    workbook = openpyxl.load_workbook(io.BytesIO(given.data))
    for column, text in enumerate(("007", "Ménage", "", "", "", "exacte", "A — Aide ménagère"), 1):
        workbook.worksheets[0].cell(2, column, text or None)
    filled = io.BytesIO()
    workbook.save(filled)

    answer = imported(referent, filled.getvalue())

    store = store_of(site)
    [row] = store.draft_rows(store.draft_edition(NAME))
    assert answer.status_code == 303
    assert (row.code.label, row.mappings[0].mapping.target_code) == ("Ménage", "A")


def test_several_narrower_concepts_are_written_at_once_and_a_draft_is_given_up_only_by_who_means_it(
    site: Flask, referent: FlaskClient
) -> None:
    imported(referent)
    page = referent.get(f"{PROJECT}?code=009")
    typed = {"choix-0": "autre", "autre-0": "B, D Aide aux transports", "relation-0": "narrowMatch", "couvre-0": "oui"}

    unknown = sent(referent, PROJECT, page, **{**typed, "autre-0": "B, Z"})
    sent(referent, PROJECT, page, **typed)
    store = store_of(site)
    [row] = store.draft_rows(store.draft_edition(NAME), codes=["009"])
    kept = sent(referent, f"{PROJECT}/abandonner", page)
    given_up = sent(referent, f"{PROJECT}/abandonner", page, certain="oui")

    assert unknown.status_code == 422
    assert 'id="ligne-code-0-erreur"' in unknown.text
    assert 'value="B, Z"' in unknown.text
    assert [(one.mapping.target_code, one.mapping.covers) for one in row.mappings] == [("B", True), ("D", True)]
    assert kept.status_code == 422
    assert (given_up.status_code, store.draft_editions("dep-71")) == (303, [])


def test_what_is_said_of_sure_suggestions_is_what_was_measured() -> None:
    measured = SEARCH.read_text()

    right, sure, labels = wording.SURE
    assert f"({right} of {sure})" in measured
    assert f"candidates ({labels} labels" in measured


# Recoding


@pytest.fixture(scope="module")
def mapped(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with a published table, to be read only: 007 is A exactly, 008 is under B, 009 is nothing."""
    folder = tmp_path_factory.mktemp("mapped")
    shutil.copyfile(sqlite_template, folder / "socle.db")
    with running(settings_for(folder)) as app:
        store = store_of(app)
        published(store, the_release())
        a_member(store, "mapper")
        publish_table(store)
        yield app


def publish_table(store: Store) -> None:
    """Publish the table of ``mapped``."""
    rows = [
        Mapping("007", "A", "exactMatch"),
        Mapping("008", "B", "broadMatch"),
        Mapping("009", "", "noMatch"),
        Mapping("010", "C", "narrowMatch", weight="0.5"),
        Mapping("010", "D", "narrowMatch", weight="0.5"),
    ]
    codes = [LocalCode(code, f"Code {code}") for code in ("007", "008", "009", "010", "011")]
    publish(
        store,
        Source(a_code_list(), codes),
        "aides",
        rows,
        release="1.0",
        valid_from=A_DAY,
        author="Camille",
        license="MIT",
    )


DATA = "dossier;code aide;commune\n0012;007;Mâcon\n0013;008;Chalon\n0014;009;Le Creusot\n0015;010;Autun\n0016;;Digoin\n"
ASKED = {"colonne": "code aide", "de": "dep-71/solis", "vers": "aides"}


def recoded(client: FlaskClient, data: bytes, name: str = "données.csv", **asked: str) -> list[TestResponse]:
    """The answers of the three steps, then the recoded file and the report."""
    answers = [client.get("/recodage")]
    answers.append(sent(client, "/recodage", answers[0], fichier=a_file(data, name), faire="lire"))
    for step in ("apercu", "fichier", "rapport"):
        answers.append(sent(client, "/recodage", answers[-1 if step == "apercu" else 2], faire=step, **asked))
    return answers


def test_a_file_is_recoded_on_the_page_as_on_the_terminal_and_nothing_of_it_is_kept(
    mapped: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store, raw = store_of(mapped), DATA.encode("cp1252")
    journal = list(store.journal_entries(0))
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(raw)
    report = recoding.recode(store, Plan("code aide", "dep-71/solis", "aides"), source, target)
    # Whoever would write a temporary file now can't.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    _, columns, preview, file, page = recoded(mapped.test_client(), raw, **ASKED)

    assert "5 premières lignes de données.csv" in text_of(columns)
    assert '<option value="code aide" selected>' in columns.text
    assert "5 lignes lues. Le recodage n’est pas réversible" in text_of(preview)
    assert "équivalent exact exact 1 1 007" in text_of(preview).replace("Lignes : ", "").replace(
        "Codes : ", ""
    ).replace("Par exemple : ", "")
    assert 'attachment; filename="recodage.csv"' in file.headers["Content-Disposition"]
    assert file.headers["Content-Type"] == "text/csv; charset=windows-1252"
    rows = [
        list(csv.reader(io.StringIO(data.decode("cp1252")), delimiter=";")) for data in (file.data, target.read_bytes())
    ]
    assert rows[0] == rows[1]
    assert rows[0][1] == ["0012", "007", "Mâcon", "A", "Aide ménagère", "1.0", "exactMatch", "exact"]
    assert report.done.read in page.text
    assert "<h1>Recodage de" in page.text
    assert (page.mimetype, page.headers["Cache-Control"]) == ("text/html", "no-store")
    # Nothing of it is anywhere.
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert not re.search("Mâcon|Digoin|0012|données", told)
    assert list(store.journal_entries(0)) == journal
    assert all(answer.headers["Cache-Control"] == "no-store" for answer in (columns, preview, file, page))


def test_a_large_file_stays_in_memory(mapped: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = mapped.test_client()
    token = hidden(client.get("/recodage"))["csrf_token"]
    head = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n'
    parts = [
        head.format("csrf_token", "") + token,
        head.format("faire", "") + "lire",
        head.format("fichier", '; filename="x.csv"') + "code;autre\n" + "007;x\n" * 120_000,
    ]
    body = "".join(f"--limit\r\n{part}\r\n" for part in parts) + "--limit--\r\n"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    answer = client.post("/recodage", data=body.encode(), content_type="multipart/form-data; boundary=limit")

    assert answer.status_code == 413
    assert "au plus 100000 lignes" in text_of(answer)


def test_a_workbook_comes_back_as_a_workbook_with_its_title_lines_passed_over(mapped: Flask) -> None:
    workbook = openpyxl.Workbook()
    for row in (["Aides versées"], ["dossier", "code", "date"], ["1", "007", "2024-02-01"], ["2", "010", "hier"]):
        workbook.worksheets[0].append(row)
    data = io.BytesIO()
    workbook.save(data)

    asked = {**ASKED, "colonne": "code", "plusieurs": "rows", "dates": "date", "selon": "release"}
    answers = recoded(mapped.test_client(), data.getvalue(), "aides.xlsx", **asked)

    found = openpyxl.load_workbook(io.BytesIO(answers[3].data)).worksheets[0]
    told = [[cell.value or "" for cell in row] for row in found.iter_rows()]
    assert told[0][:4] == ["dossier", "code", "date", "code_aides"]
    assert told[1][3:] == ["A", "Aide ménagère", "1.0", "exactMatch", "exact", "1"]
    assert told[2][7] == "dateUnreadable"


WRONG_RECODINGS: tuple[tuple[str, dict[str, str], str], ...] = (
    (DATA, {"colonne": ""}, "colonne"),
    (DATA, {"de": ""}, "de"),
    (DATA, {"vers": "nulle-part"}, "vers"),
    (DATA, {"de": "dep-71/rien"}, "vers"),
    (DATA, {"le": "hier"}, "le"),
    (DATA, {"niveau": "-1"}, "niveau"),
    (DATA, {"masque": "beaucoup"}, "masque"),
    (DATA, {"dates": "absente"}, "dates"),
    (DATA, {"selon": "law", "plusieurs": "error"}, "plusieurs"),
    (DATA.replace("commune", "code aide_label"), {}, "colonne"),
)


def test_whatever_is_wrong_with_a_recoding_is_told_beside_its_field(mapped: Flask) -> None:
    client = mapped.test_client()
    first = client.get("/recodage")

    wrong = []
    for text, typed, name in WRONG_RECODINGS:
        columns = sent(client, "/recodage", first, fichier=a_file(text), faire="lire")
        answer = sent(client, "/recodage", columns, faire="apercu", **{**ASKED, **typed})
        if answer.status_code != 422 or f'id="recodage-{name}-erreur"' not in answer.text:
            wrong.append((typed, name, answer.status_code))
    unreadable = [
        sent(client, "/recodage", first, fichier=a_file(data), faire="lire")
        for data in (b"a\0b", "", "a;b\n1\n", b"PAR1")
    ]

    assert wrong == []
    assert [answer.status_code for answer in unreadable] == [422] * 4
    assert all('id="recodage-fichier-erreur"' in answer.text for answer in unreadable)
