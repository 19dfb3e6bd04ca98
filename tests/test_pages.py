"""Pages as any HTTP client gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import abort
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.pages import tree, wording
from api.pages.results import excerpt, marked
from registry import publishing
from registry.model import Decision, french
from registry.settings import Settings
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_concept, a_member, a_release, keys_of, published

REFUSED = (
    ("nomenclature=types-aide&release=9.9", "release", "n’a pas cette version"),
    ("nomenclature=types-aide&release=deux", "release", "Ce n’est pas un numéro de version"),
    ("release=2.0", "nomenclature", "Choisissez la nomenclature dont vous donnez la version"),
    ("nomenclature=types-aide&release=2.0&at=2024-03-01", "at", "une version ou une date, pas les deux"),
    ("at=hier", "at", "Ce n’est pas une date"),
    ("at=2010-01-01", "at", "Aucune nomenclature n’avait de version en vigueur ce jour-là"),
    ("nomenclature=types-aide&at=2010-01-01", "at", "La première s’applique depuis le 1er janvier 2022"),
    ("nomenclature=inconnue", "nomenclature", "Aucune nomenclature ne porte ce nom"),
    ("etat=nouveau", "etat", "Un concept est actif ou obsolète"),
)
"""Filters of a search that can't be followed: the field that says so, and how."""

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
STATIC = Path(__file__).parent.parent / "api" / "static"
REFERENCE = (Path(__file__).parent.parent / "docs" / "reference.md").read_text()

PAGES = (
    "/",
    "/nomenclatures",
    "/nomenclatures/types-aide",
    "/nomenclatures/types-aide?release=1.0",
    "/nomenclatures/types-aide?obsoletes=non",
    "/nomenclatures/types-aide/-/index",
    "/nomenclatures/types-aide/-/changements",
    "/nomenclatures/types-aide/-/changements?release=1.0",
    "/nomenclatures/data-inclusion-thematiques/-/changements?page=2",
    "/nomenclatures/types-aide/-/a-propos",
    "/nomenclatures/types-aide/TA-AUT-310",
    "/nomenclatures/types-aide/TA-AUT-130",
    "/nomenclatures/types-aide/TA-INS-440?release=1.0",
    "/recherche",
    "/recherche?q=alocation+autonomi",
    "/recherche?q=aide&page=2",
    "/recherche?q=hebregement+xylophone",
    "/recherche?q=allocation&nomenclature=types-aide&etat=active&release=1.0",
    "/recherche?q=allocation&at=2024-03-01",
    "/correspondances",
    "/correspondances?organisme=dep-35&nomenclature=types-aide",
    "/correspondances/dep-35/thematiques/data-inclusion-thematiques",
    "/correspondances/dep-35/thematiques/data-inclusion-thematiques?etat=noMatch",
    "/correspondances/dep-35/thematiques/data-inclusion-thematiques/differences",
    "/correspondances/data-inclusion/thematiques-0-27/types-aide/a-revoir?version=1.0",
    "/recodage",
    "/demandes",
    "/demandes?etat=received",
    "/demandes/nouvelle",
    "/demandes/confirmer?demande=1&jeton=x",
    "/connexion",
    "/connexion?jeton=x",
    "/deconnexion",
    "/plan-du-site",
    "/accessibilite",
    "/mentions-legales",
    "/api/docs",
)


class _Read(HTMLParser):
    """The parts of a page that tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [found for _, attributes in self.tags if (found := attributes.get(name)) is not None]


def _get(client: FlaskClient, address: str) -> TestResponse:
    return client.get(address, headers=BROWSER)


def _text(response: TestResponse) -> str:
    shown = re.sub(r"<[^>]+>", " ", response.text.partition("<main")[2].partition("</main>")[0])
    return " ".join(unescape(shown).split())


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_in_french_html_that_the_policy_allows(client: FlaskClient, address: str) -> None:
    response = _get(client, address)

    page = _Read(response.text)
    assert response.status_code == 200
    assert response.mimetype == "text/html"
    assert ("html", {"lang": "fr"}) in page.tags
    assert page.values("style") == []
    assert [attributes for tag, attributes in page.tags if tag == "script" and "src" not in attributes] == []
    assert [tag for tag, _ in page.tags if tag == "style"] == []
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert len([tag for tag, _ in page.tags if tag == "h1"]) == 1
    assert len(page.values("id")) == len(set(page.values("id")))


def test_every_page_is_in_the_reference(client: FlaskClient) -> None:
    rules = client.application.url_map.iter_rules()
    addresses = {rule.rule for rule in rules if rule.endpoint.startswith("pages.") and rule.endpoint != "pages.asset"}

    told = {re.sub("<(?:int.*?:)?(.*?)>", r"{\1}", address.replace("<slug>", "{n}")) for address in addresses}

    assert [address for address in sorted(told) if f"`{address}`" not in REFERENCE] == []


def test_titles_are_unique(client: FlaskClient) -> None:
    titles = [re.findall(r"<title>(.*?)</title>", _get(client, address).text)[0] for address in PAGES]

    # The tree with and without its deprecated concepts is one page.
    assert len(set(titles)) == len(PAGES) - 1


def test_no_link_of_a_page_is_dead(client: FlaskClient) -> None:
    found = {target for address in PAGES for target in _Read(_get(client, address).text).values("href")}
    own = {unescape(target).partition("#")[0] for target in found if target.startswith("/")}
    sample = {target for target in own if not re.match(r"/nomenclatures/[^/]+/[A-Za-z]{2}", target)}

    dead = [target for target in sorted(sample) if client.get(target).status_code not in (200, 303)]

    assert len(sample) > 60
    assert dead == []


def test_links_to_a_part_of_the_page_lead_to_it(client: FlaskClient) -> None:
    for address in PAGES:
        page = _Read(_get(client, address).text)
        targets = {target[1:] for target in page.values("href") if target.startswith("#")}

        assert targets <= set(page.values("id")), address


def test_a_page_that_did_not_change_is_not_sent_again(client: FlaskClient) -> None:
    first = _get(client, "/nomenclatures/types-aide/TA-AUT-310")

    again = client.get(
        "/nomenclatures/types-aide/TA-AUT-310", headers={**BROWSER, "If-None-Match": first.headers["ETag"]}
    )

    assert first.headers["Cache-Control"] == "no-cache"
    assert "Accept" in first.headers["Vary"]
    assert again.status_code == 304
    assert again.data == b""


def test_dates_are_written_in_french(client: FlaskClient) -> None:
    text = _text(_get(client, "/nomenclatures/types-aide"))

    assert "en vigueur depuis le 1er juillet 2025" in text


def test_the_home_page_says_what_each_release_changed(client: FlaskClient) -> None:
    text = _text(_get(client, "/"))

    assert "Première version : 140 concepts" in text
    assert "2 ajouts, 3 définitions modifiées" in text


def test_the_whole_page_follows_the_release_asked_for(client: FlaskClient) -> None:
    response = _get(client, "/nomenclatures/types-aide?release=1.0")

    inside = [link for link in _Read(response.text).values("href") if re.match("/nomenclatures/types-aide/TA-", link)]
    assert "Vous lisez la version 1.0, qui n’est plus en vigueur" in _text(response)
    assert "Elle s’appliquait du 1er janvier 2022 au 30 juin 2025" in _text(response)
    assert len(inside) == 140
    assert all(link.endswith("?release=1.0") for link in inside)


def test_the_whole_page_follows_the_day_asked_for(client: FlaskClient) -> None:
    response = _get(client, "/nomenclatures/types-aide/TA-INS-440?at=2024-03-01")

    assert "version 1.0" in _text(response)
    assert "/nomenclatures/types-aide?at=2024-03-01" in _Read(response.text).values("href")


def test_an_old_concept_says_what_became_of_it_since(client: FlaskClient) -> None:
    text = _text(_get(client, "/nomenclatures/types-aide/TA-INS-440?release=1.0"))

    assert "Dans la version en vigueur (2.0), ce concept est obsolète." in text
    assert "TA-INS-450 Allocation du contrat d'engagement jeune depuis le 1er mars 2022 (recoupement partiel)" in text


def test_a_deprecated_concept_says_what_replaces_it_since_when_and_how(client: FlaskClient) -> None:
    text = _text(_get(client, "/nomenclatures/types-aide/TA-AUT-130"))

    assert "Ce concept est obsolète" in text
    assert "Il a eu cours jusqu’au 31 décembre 2001" in text
    assert "TA-AUT-100 Allocation personnalisée d'autonomie depuis le 1er janvier 2002 (sens plus large" in text


def test_a_concept_names_the_local_codes_that_lead_to_it(client: FlaskClient) -> None:
    text = _text(_get(client, "/nomenclatures/types-aide/TA-AUT-310"))

    assert "Département d'Eure-et-Loir" in text
    assert "aide ménagère pour les personnes âgées" in text


def test_results_mark_why_and_escape_what_was_typed(client: FlaskClient) -> None:
    found = _get(client, "/recherche?q=alocation+autonomi")
    hostile = _get(client, "/recherche?q=%3Cscript%3Ealert(1)%3C/script%3E%22%27")

    assert "<mark>Allocation</mark>" in found.text
    assert "résultats pour « allocation autonomi »" in _text(found)
    assert "<script>alert" not in hostile.text


def test_results_can_be_filtered(client: FlaskClient) -> None:
    response = _get(client, "/recherche?q=protection&nomenclature=mesures&etat=active")

    links = [link for link in _Read(response.text).values("href") if re.match("/nomenclatures/[^/]+/", link)]
    assert links
    assert all(link.startswith("/nomenclatures/mesures/") for link in links)
    assert "obsolète" not in _text(response).partition("résultat")[2]


def test_a_search_reads_the_version_chosen_and_links_to_what_it_found_there(client: FlaskClient) -> None:
    response = _get(client, "/recherche?q=garantie+jeunes&nomenclature=types-aide&release=1.0&etat=active")

    page, text = _Read(response.text), _text(response)
    assert "Recherche dans la version Types d'aide 1.0 (remplacée)." in text
    assert "Vous lisez la version 1.0, qui n’est plus en vigueur" in text
    assert "/recherche?q=garantie+jeunes&nomenclature=types-aide&etat=active" in page.values("href")
    assert "/nomenclatures/types-aide/TA-INS-440?release=1.0" in page.values("href")
    chosen = [attributes["value"] for tag, attributes in page.tags if tag == "option" and "selected" in attributes]
    assert chosen == ["types-aide", "active", "1.0"]


def test_a_search_reads_every_release_of_a_day_and_says_which(client: FlaskClient) -> None:
    response = _get(client, "/recherche?q=garantie+jeunes&at=2024-03-01")

    text = _text(response)
    links = [link for link in _Read(response.text).values("href") if re.match("/nomenclatures/[^/]+/[A-Za-z]", link)]
    assert "Recherche dans les versions en vigueur le 1er mars 2024 : Catégories d'accompagnement 1.0" in text
    assert "Thématiques" not in text.partition("Recherche dans")[2].partition(".")[0]
    assert links
    assert all(link.endswith("?release=1.0") for link in links)


def test_a_search_of_today_names_its_releases_and_links_to_what_moves(client: FlaskClient) -> None:
    response = _get(client, "/recherche?q=aide+menagere")

    assert "Recherche dans les versions en vigueur aujourd’hui : " in _text(response)
    assert "/nomenclatures/types-aide/TA-AUT-310" in _Read(response.text).values("href")


def test_the_pages_of_results_keep_every_filter(client: FlaskClient) -> None:
    filters = "nomenclature=types-aide&etat=active&release=1.0"

    response = _get(client, f"/recherche?q=allocation&{filters}")
    second = _get(client, f"/recherche?q=allocation&{filters}&page=2")

    assert f"/recherche?q=allocation&{filters}&page=2" in _Read(response.text).values("href")
    assert "page 2" in _text(second)


@pytest.mark.parametrize(("filters", "name", "said"), REFUSED)
def test_a_filter_that_cannot_be_followed_says_so_beside_its_field(
    client: FlaskClient, filters: str, name: str, said: str
) -> None:
    response = _get(client, f"/recherche?q=aide&{filters}")

    page = _Read(response.text)
    field = next(attributes for _, attributes in page.tags if attributes.get("id") == f"recherche-{name}")
    assert response.status_code == 422
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] in page.values("id")
    assert f"#recherche-{name}" in page.values("href")
    assert said in _text(response)
    assert "résultat" not in _text(response)
    assert ("input", "aide") in [(tag, attributes.get("value")) for tag, attributes in page.tags]


def test_where_nothing_is_found_near_spellings_and_trees_are_offered(client: FlaskClient) -> None:
    text = _text(_get(client, "/recherche?q=chauffagiste+nucleaire"))

    assert "Aucun résultat" in text
    assert "Vouliez-vous dire" in text
    assert "parcourir l’arbre « Types d'aide »" in text


@pytest.fixture
def corrected(sqlite_url: str, tmp_path: Path) -> Iterator[Settings]:
    """A nomenclature whose 1.0 is corrected by 1.1; 2.0 overtook both before the erratum came, and 2.1 is to come."""
    settings = settings_for(tmp_path, sqlite_url)
    store = Store(settings.database, settings.blobs)
    wrong = [a_concept(code) for code in ("A", *TABS)]
    right = [a_concept("A", definition=french("Ce que A désigne vraiment.")), *wrong[1:]]
    mended = Decision("Coquille.", same_meaning=("A",))
    published(store, a_release(*wrong))
    published(store, a_release(*right, a_concept("B"), version="2.0", valid_from=date(2025, 1, 1)), decision=mended)
    published(store, a_release(*right, version="1.1"), corrects="1.0", decision=mended)
    later = (*right, a_concept("B"), a_concept("C"))
    published(store, a_release(*later, version="2.1", valid_from=date(2099, 1, 1)))
    yield settings
    store.close()


TABS = ("index", "changements", "a-propos")


@pytest.mark.parametrize("code", TABS)
def test_a_concept_coded_like_a_tab_has_its_page(corrected: Settings, code: str) -> None:
    with running(corrected) as app:
        concept = _get(app.test_client(), f"/nomenclatures/aides/{code}")
        tab = _get(app.test_client(), f"/nomenclatures/aides/-/{code}")

    assert f"Ce que {code} désigne." in _text(concept)
    assert tab.status_code == 200
    assert f"Ce que {code} désigne." not in _text(tab)
    assert f'href="/nomenclatures/aides/-/{code}"' in tab.text


@pytest.mark.parametrize(
    ("version", "title", "said"),
    [
        ("1.0", "Vous lisez la version 1.0, corrigée par la version 1.1", "la version en vigueur (2.0)"),
        ("1.1", "Vous lisez la version 1.1, qui n’est plus en vigueur", "du 1er janvier 2024 au 31 décembre 2024"),
        ("2.0", "Vous lisez la version 2.0, choisie par l’adresse", "C’est aussi la version en vigueur aujourd’hui"),
        ("2.1", "Vous lisez la version 2.1, pas encore en vigueur", "Elle s’appliquera à compter du 1er janvier 2099"),
    ],
)
def test_every_page_of_a_release_says_what_it_is_today(
    corrected: Settings, version: str, title: str, said: str
) -> None:
    pages = ("", "/A", *(f"/-/{tab}" for tab in TABS))
    with running(corrected) as app:
        client = app.test_client()
        found = [_text(_get(client, f"/nomenclatures/aides{page}?release={version}")) for page in pages]

    assert [text.count("Vous lisez") for text in found] == [1] * len(pages)
    assert all(title in text and said in text for text in found)


def test_a_corrected_page_leads_to_the_same_page_of_its_erratum(corrected: Settings) -> None:
    with running(corrected) as app:
        client = app.test_client()
        links = _Read(_get(client, "/nomenclatures/aides/A?release=1.0").text).values("href")
        erratum = _text(_get(client, "/nomenclatures/aides/A?release=1.1"))
        states = _text(_get(client, "/nomenclatures/aides/-/changements")).partition("Toutes les versions")[2]

    assert {"/nomenclatures/aides/A?release=1.1", "/nomenclatures/aides/A"} <= set(links)
    assert "Ce que A désigne vraiment." in erratum
    assert "remplacée, erratum de la 1.0" in states
    assert "à venir" in states
    assert "corrigée" in states


def test_a_search_in_a_corrected_release_says_so_and_leads_to_the_erratum(corrected: Settings) -> None:
    with running(corrected) as app:
        found = _get(app.test_client(), "/recherche?q=aide&nomenclature=aides&release=1.0")

    assert "Recherche dans la version Aides 1.0 (corrigée)." in _text(found)
    assert "/recherche?q=aide&nomenclature=aides&release=1.1" in _Read(found.text).values("href")


def test_a_withdrawn_release_says_so_and_why_and_stays_readable(corrected: Settings) -> None:
    store = Store(corrected.database, corrected.blobs)
    publishing.withdraw(store, "aides", "2.0", "Un code manque.", keys_of(store), actor=a_member(store, "secretary"))
    store.close()

    with running(corrected) as app:
        client = app.test_client()
        pinned = _text(_get(client, "/nomenclatures/aides/A?release=2.0"))
        moving = _text(_get(client, "/nomenclatures/aides"))
        chosen = _text(_get(client, "/recherche?q=aide&nomenclature=aides&release=2.0"))

    assert "Version 2.0 retirée le" in pinned
    assert "Motif : Un code manque." in pinned
    assert "Lire la version en vigueur (1.1)" in pinned
    assert "version 1.1 en vigueur depuis le 1er janvier 2024" in moving
    assert "2.0, dès le 1er janvier 2025 (retirée)" in moving
    assert "Recherche dans la version Aides 2.0 (retirée)." in chosen


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/nulle-part", 404, "Page introuvable"),
        ("/nomenclatures/inconnue", 404, "Nomenclature introuvable"),
        ("/nomenclatures/types-aide?release=9.9", 404, "Version introuvable"),
        ("/nomenclatures/types-aide?release=deux", 422, "ce n’est pas un numéro de version"),
        ("/nomenclatures/types-aide?at=hier", 422, "ce n’est pas une date"),
        ("/nomenclatures/types-aide?at=2010-01-01", 404, "La première s’applique depuis le 1er janvier 2022"),
        ("/nomenclatures/types-aide/INCONNU", 404, "Concept introuvable"),
        ("/nomenclatures/types-aide/TA-INS-450?release=1.0", 404, "TA-INS-450 dans la version 2.0"),
    ],
)
def test_errors_are_pages_in_french_with_a_way_on(client: FlaskClient, address: str, status: int, said: str) -> None:
    response = _get(client, address)

    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert said in _text(response)
    assert "/nomenclatures" in _Read(response.text).values("href")


def test_software_gets_problems_whatever_the_address(client: FlaskClient) -> None:
    under_api = client.get("/api/v1/nulle-part", headers=BROWSER)
    elsewhere = client.get("/nulle-part", headers={"Accept": "application/json"})

    assert under_api.mimetype == elsewhere.mimetype == "application/problem+json"


@pytest.mark.parametrize(("status", "said"), [(403, "Accès réservé"), (500, "Le service a rencontré une erreur")])
def test_a_refusal_and_a_failure_are_pages_too(shipped_folder: Path, status: int, said: str) -> None:
    with running(settings_for(shipped_folder)) as app:

        @app.get("/essai")
        def attempt() -> str:
            if status == 403:
                abort(403)
            raise RuntimeError("secret of the house")

        response = _get(app.test_client(), "/essai")

    assert response.status_code == status
    assert said in _text(response)
    assert "secret" not in response.text
    assert (response.headers["X-Request-Id"] in _text(response)) == (status == 500)


def test_no_page_shows_the_states_marks_unless_the_setting_says_so(client: FlaskClient, shipped_folder: Path) -> None:
    neutral = client.get("/").text

    with running(settings_for(shipped_folder, state_theme="yes")) as app:
        state = app.test_client().get("/").text

    assert "neutral.css" in neutral
    assert "République" not in neutral
    assert "fr-logo" not in neutral
    assert "state.css" in state
    assert "République" in state


def test_static_files_are_kept_for_ever_and_the_script_that_makes_them_is_not_served(client: FlaskClient) -> None:
    sheet = next(link for link in _Read(_get(client, "/").text).values("href") if link.endswith("socle.css"))
    folder = sheet.rpartition("/")[0]

    served = client.get(sheet, headers={"Accept-Encoding": "br"})

    assert "immutable" in served.headers["Cache-Control"]
    assert served.headers["Content-Encoding"] == "br"
    assert client.get("/static/0123456789abcdef/socle.css").headers["Cache-Control"] == "no-cache"
    assert client.get(f"{folder}/vendor_dsfr.py").status_code == 404
    assert client.get(f"{folder}/../app.py").status_code == 404


def test_the_vendored_subset_is_small_and_whole() -> None:
    folder = STATIC / "dsfr"
    sheets = {path: path.read_text() for path in folder.glob("*.css")}
    named = {
        (path.parent / target) for path, text in sheets.items() for target in re.findall(r"url\(([^)\"]+)\)", text)
    }
    templates = "".join(path.read_text() for path in (STATIC.parent / "templates").glob("*.html"))

    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000
    assert [path for path in named if not path.is_file()] == []
    assert [
        icon
        for icon in set(re.findall(r"fr-icon-[a-z0-9-]+", templates))
        if f".{icon}:" not in sheets[folder / "dsfr.css"]
    ] == []
    assert "font-face" not in "".join(sheets.values())
    assert "MIT" in (folder / "LICENSE.md").read_text()


def test_our_own_scripts_stay_short() -> None:
    lines = [line for path in STATIC.glob("*.js") for line in path.read_text().splitlines()]

    assert len(lines) <= 150


def test_marks_follow_the_offsets_and_lose_no_letter() -> None:
    pieces = list(marked("aide ménagère", ((0, 4), (5, 13), (3, 99))))

    assert "".join(text for text, _ in pieces) == "aide ménagère"
    assert [text for text, found in pieces if found] == ["aide", "ménagère"]


def test_an_excerpt_holds_the_first_mark() -> None:
    text = "mot " * 100 + "cible " + "mot " * 100

    part = excerpt(text, ((400, 405),))

    assert [part["text"][start:end] for start, end in part["spans"]] == ["cible"]
    assert part["before"]
    assert part["after"]
    assert len(part["text"]) <= 240


def test_counts_agree_in_number() -> None:
    assert wording.count(0, "concept") == "0\u00a0concept"
    assert wording.count(1, "concept") == "1\u00a0concept"
    assert wording.count(1204, "concept") == "1\u202f204\u00a0concepts"


def test_a_large_tree_shows_the_path_and_what_is_beside_it(
    shipped_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    edition = shipped_store.edition("types-aide", "2.0")
    read_at_once = tree.along(shipped_store, edition, "TA-AUT-310")
    monkeypatch.setattr(tree, "WHOLE", 0)

    level_by_level = tree.along(shipped_store, edition, "TA-AUT-310")

    opened = [node for node in read_at_once if node.opened]
    assert [node.code for node in opened] == ["TA-AUT"]
    assert [node.code for node in opened[0].narrower if node.opened] == ["TA-AUT-300"]
    assert _codes(level_by_level) == _codes(read_at_once)


def _codes(nodes: list[tree.Node]) -> set[str]:
    return {node.code for node in nodes} | {code for node in nodes for code in _codes(node.narrower)}


def test_beyond_500_concepts_branches_open_on_demand(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "WHOLE", 100)

    closed = _get(client, "/nomenclatures/types-aide?obsoletes=")
    opened = _get(client, "/nomenclatures/types-aide?branche=TA-AUT")

    assert "TA-AUT-100" not in closed.text
    assert "/nomenclatures/types-aide?branche=TA-AUT" in _Read(closed.text).values("href")
    assert "TA-AUT-100" in opened.text
    assert "TA-ENF-100" not in opened.text
