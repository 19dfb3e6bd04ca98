"""Pages in a real Chromium: from the keyboard, without scripts, at 320 px, to axe in light and dark."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from registry import sessions
from registry.settings import Settings
from tests.browser import launched, served
from tests.conftest import running, settings_for
from tests.factories import a_member, a_release, published, the_operator
from tests.test_pages import PAGES

# The largest pages are looked at on smaller nomenclatures: axe reads every element of a page.
SMALLER = {
    "/nomenclatures/types-aide/-/index": "/nomenclatures/mesures/-/index",
    "/nomenclatures/data-inclusion-thematiques/-/changements?page=2": "/nomenclatures/mesures/-/changements",
    "/nomenclatures/types-aide?obsoletes=non": "/nomenclatures/mesures?obsoletes=non",
    "/nomenclatures/types-aide?release=1.0": "/nomenclatures/mesures?release=1.0",
}
ERRORS = (
    "/nulle-part",
    "/recherche?q=aide&nomenclature=types-aide&release=9.9",
    "/recherche?q=aide&release=1.0&at=2024-03-01",
    "/nomenclatures/types-aide?at=2010-01-01",
    "/nomenclatures/types-aide/TA-INS-450?release=1.0",
)
LOOKED_AT = (*(SMALLER.get(address, address) for address in PAGES), *ERRORS)

EVERY_PAGE = os.environ.get("SOCLE_FUZZ") == "full"
"""Whether every page is looked at in the dark too; ordinary runs take a third: they share one stylesheet."""

_PATIENCE = 20_000
"""Milliseconds: a busy machine is no failure."""

expect.set_options(timeout=_PATIENCE)

EVERY_RULE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
    "iframes": False,
    "preload": False,
}
RULES_OF_LOOKS = {**EVERY_RULE, "runOnly": {"type": "rule", "values": ["color-contrast", "target-size"]}}
"""What another colour scheme or width can change; the rest reads the same elements again."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """This worker's browser."""
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def site(app: Flask) -> Iterator[str]:
    """The address of this worker's server."""
    with served(app) as address:
        yield address


def _context(browser: Browser, site: str, **options: Any) -> BrowserContext:
    context = browser.new_context(base_url=site, **options)
    context.set_default_timeout(_PATIENCE)
    return context


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page of a wide window; it fails the test if anything is said on the console."""
    context = _context(browser, site, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said = _listened(page)
    yield page
    context.close()
    assert said == []


def _listened(page: Page) -> list[str]:
    """What the page says on the console, as it says it: a breach of the policy, a missing file, an error."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def test_a_concept_is_found_from_the_keyboard_alone(page: Page) -> None:
    page.goto("/")

    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "combobox":
            break
    field = page.get_by_role("combobox")
    expect(field).to_be_focused()
    page.keyboard.type("aide menag")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_have_count(1)
    wanted = page.get_by_role("option", selected=True).text_content() or ""
    page.keyboard.press("Enter")

    page.wait_for_url(re.compile("/nomenclatures/.+/.+"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("aide ménagère", re.IGNORECASE))
    assert (page.get_by_role("heading", level=1).text_content() or "") in wanted


def test_escape_closes_the_suggestions_and_enter_sends_the_form(page: Page) -> None:
    page.goto("/recherche")
    field = page.get_by_role("combobox", name="Mots, sigle ou code")
    field.focus()

    page.keyboard.type("hebergement")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.keyboard.press("Enter")

    page.wait_for_url("**/recherche?q=hebergement**")
    expect(page.get_by_role("heading", level=2)).to_contain_text(re.compile(r"pour «\s*hebergement\s*»"))


def test_the_tree_opens_and_closes_from_the_keyboard(page: Page) -> None:
    page.goto("/nomenclatures/types-aide")
    tree = page.get_by_role("navigation", name="Arbre de la nomenclature")
    button = tree.get_by_role("button", name=re.compile("TA-AUT-100 "))

    expect(button).to_have_attribute("aria-expanded", "false")
    expect(tree.get_by_role("link", name=re.compile("TA-AUT-110"))).to_be_hidden()
    button.focus()
    page.keyboard.press("Enter")

    expect(button).to_have_attribute("aria-expanded", "true")
    expect(tree.get_by_role("link", name=re.compile("TA-AUT-110"))).to_be_visible()


def test_the_code_can_be_copied(browser: Browser, site: str) -> None:
    context = _context(browser, site, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/nomenclatures/types-aide/TA-AUT-310")

    page.get_by_role("button", name="Copier le code").click()

    expect(page.get_by_role("button", name="Copié")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "TA-AUT-310"
    context.close()


def test_another_day_is_chosen_and_the_page_says_so(page: Page) -> None:
    page.goto("/nomenclatures/types-aide/TA-INS-440")

    page.get_by_text("Lire une autre version ou à une autre date").click()
    page.get_by_label("En vigueur le").fill("2024-03-01")
    page.get_by_role("button", name="Lire à cette date").click()

    page.wait_for_url("**?at=2024-03-01")
    expect(page.get_by_text("Vous lisez la version 1.0, qui n’est plus en vigueur")).to_be_visible()
    expect(page.get_by_text("Ce qui a changé depuis")).to_be_visible()
    page.get_by_role("link", name="Lire la version en vigueur").click()
    page.wait_for_url("**/TA-INS-440")


def test_a_search_is_filtered_from_the_keyboard_and_errors_lead_to_their_field(page: Page) -> None:
    page.goto("/recherche?q=garantie+jeunes&nomenclature=types-aide")

    version = page.get_by_label("Version")
    version.focus()
    page.keyboard.type("1.0")
    page.get_by_label("En vigueur le").press("Enter")
    page.wait_for_url("**release=1.0**")
    expect(page.get_by_text("Recherche dans la version Types d'aide 1.0 (remplacée).")).to_be_visible()
    page.get_by_role("link", name=re.compile("TA-INS-440")).focus()
    page.keyboard.press("Enter")

    page.wait_for_url("**/TA-INS-440?release=1.0")


def test_without_scripts_a_wrong_filter_is_told_and_mended_at_320_pixels(browser: Browser, site: str) -> None:
    context = _context(browser, site, java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto("/recherche?q=allocation&nomenclature=types-aide&release=2.0&at=2024-03-01")

    page.get_by_role("link", name="En vigueur le").click()
    expect(page.get_by_label("En vigueur le")).to_be_focused()
    page.get_by_label("Version").select_option("")
    page.get_by_role("button", name="Rechercher", exact=True).click()

    expect(page.get_by_text("Recherche dans la version Types d'aide 1.0 (en vigueur le")).to_be_visible()
    context.close()


def test_without_scripts_everything_is_there(browser: Browser, site: str) -> None:
    context = _context(browser, site, java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = context.new_page()

    page.goto("/")
    expect(page.get_by_role("navigation", name="Menu principal").get_by_role("link", name="Recherche")).to_be_visible()
    page.get_by_role("searchbox", name="Rechercher un concept").fill("aide menagere")
    page.get_by_role("button", name="Rechercher").click()
    page.wait_for_url("**/recherche?q=aide+menagere")
    page.get_by_role("link", name=re.compile("TA-ENF-220")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Aide ménagère aux familles")
    expect(page.get_by_role("button", name="Copier le code")).to_be_hidden()
    page.goto("/nomenclatures/types-aide")
    expect(page.get_by_role("link", name=re.compile("TA-AUT-110"))).to_be_visible()

    context.close()


def test_the_menu_opens_and_closes_on_a_narrow_screen(browser: Browser, site: str) -> None:
    context = _context(browser, site, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto("/nomenclatures/types-aide")
    menu = page.get_by_role("navigation", name="Menu principal")

    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu", exact=True).click()
    expect(menu.get_by_role("link", name="Recherche")).to_be_visible()
    page.keyboard.press("Escape")

    expect(menu).to_be_hidden()
    context.close()


@pytest.mark.fuzz
@pytest.mark.parametrize("part", [0, 1])
def test_axe_and_the_policy_find_nothing_in_light_wide_nor_in_dark_narrow_nor_does_a_page_scroll_sideways(
    browser: Browser, site: str, part: int
) -> None:
    context = _context(browser, site)
    page = context.new_page()
    said = _listened(page)

    found = []
    for number, address in enumerate(LOOKED_AT[part::2]):
        page.goto(address)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 900})
        found += [f"{address}: {violation}" for violation in _violations(page, EVERY_RULE)]
        page.set_viewport_size({"width": 320, "height": 900})
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 320:
            found.append(f"{address}: {width} pixels wide at 320")
        if not EVERY_PAGE and number % 3:
            continue
        page.emulate_media(color_scheme="dark")
        found += [f"{address}, dark and narrow: {violation}" for violation in _violations(page, RULES_OF_LOOKS)]

    assert found == []
    # The browser says each error page's own status.
    assert [text for text in said if "404" not in text and "422" not in text] == []
    context.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_signs_in_asks_for_a_change_and_signs_out_at_320_px(
    browser: Browser, shipped_settings: Settings, scripts: bool
) -> None:
    with running(shipped_settings) as app, served(app) as site:
        store = app.extensions["socle"].store
        secret = sessions.create_sign_in_link(store, a_member(store, "proposer").person, actor=the_operator(store))
        context = _context(browser, site, java_script_enabled=scripts, viewport={"width": 320, "height": 900})
        page = context.new_page()
        said, found, wide = _listened(page), [], []

        def looked_at() -> None:
            if page.evaluate("document.documentElement.scrollWidth") > 320:
                wide.append(page.url)
            if scripts:
                found.extend(_violations(page, EVERY_RULE))

        page.goto(f"/connexion?jeton={secret}")
        page.get_by_role("button", name="Me connecter").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Mon compte")
        looked_at()
        page.goto("/nomenclatures/types-aide/TA-AUT-310")
        page.get_by_role("main").get_by_role("link", name="Proposer une évolution").click()
        page.get_by_label("Pourquoi").fill("La loi a changé.")
        page.get_by_role("button", name="Envoyer la demande").click()
        expect(page.get_by_role("heading", level=2).first).to_contain_text("erreur")
        expect(page.get_by_label("Pourquoi")).to_have_value("La loi a changé.")
        expect(page.get_by_label("Code du concept")).to_have_value("TA-AUT-310")
        looked_at()
        page.get_by_label("Le changement demandé").fill("Préciser.")
        page.get_by_role("button", name="Envoyer la demande").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Demande 1")
        looked_at()
        page.goto("/demandes")
        looked_at()
        page.goto("/compte")
        page.get_by_role("main").get_by_role("button", name="Se déconnecter").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Vous êtes déconnecté")
        looked_at()
        context.close()

    assert (found, wide) == ([], [])
    assert [text for text in said if "422" not in text] == []


LISTE = "N°;Intitulé;Effectif\n007;Aide A;120\n008;Garantie jeunes;30\n009;Divers;5\n"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_referent_maps_codes_and_publishes_and_recodes_a_file_at_320_px(
    browser: Browser, sqlite_url: str, tmp_path: Path, scripts: bool
) -> None:
    with running(settings_for(tmp_path, sqlite_url)) as app, served(app) as site:
        store = app.extensions["socle"].store
        published(store, a_release())
        referent = a_member(store, "mapper", organisation="dep-35")
        secret = sessions.create_sign_in_link(store, referent.person, actor=the_operator(store))
        context = _context(browser, site, java_script_enabled=scripts, viewport={"width": 320, "height": 900})
        page = context.new_page()
        said, found, wide = _listened(page), [], []

        def looked_at() -> None:
            if page.evaluate("document.documentElement.scrollWidth") > 320:
                wide.append(page.url)
            if scripts:
                found.extend(_violations(page, EVERY_RULE))

        page.goto(f"/connexion?jeton={secret}&suite=importer")
        page.get_by_role("button", name="Me connecter").click()
        page.goto("/correspondances/importer")
        page.get_by_label("Nom court de la liste").fill("solis")
        page.get_by_label("Nomenclature visée").select_option("aides")
        page.set_input_files("#import-fichier", _a_file(LISTE + "009;Autre;1\n"))
        page.get_by_role("button", name="Vérifier").click()
        expect(page.get_by_text("ligne refusée")).to_be_visible()
        looked_at()
        page.set_input_files("#import-fichier", _a_file(LISTE))
        page.get_by_role("button", name="Vérifier de nouveau").click()
        page.get_by_role("button", name="Enregistrer comme projet").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Projet")
        page.get_by_role("group", name=re.compile("Divers")).get_by_text("Un autre concept").click()
        page.get_by_role("button", name="Enregistrer ces").click()
        page.get_by_role("link", name="009", exact=True).click()
        expect(page.get_by_role("group", name=re.compile("Divers"))).to_be_focused()
        looked_at()
        page.get_by_role("group", name=re.compile("Divers")).get_by_text("Aucun équivalent").click()
        page.get_by_role("button", name="Enregistrer ces").click()
        expect(page.get_by_text("1 code enregistré.")).to_be_visible()
        page.get_by_role("link", name="Relire et publier").click()
        looked_at()
        page.get_by_role("button", name="Publier l’édition 1").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("solis")
        page.goto("/recodage")
        page.set_input_files("#recodage-fichier", _a_file("dossier;code\n1;009\n2;007\n"))
        page.get_by_role("button", name="Lire les colonnes").click()
        page.get_by_label("Vos codes sont ceux de").select_option("dep-35/solis")
        page.get_by_label("Les recoder vers").select_option("aides")
        page.get_by_role("button", name="Voir ce que devient le fichier").click()
        expect(page.get_by_text("examiné, sans équivalent")).to_be_visible()
        looked_at()
        with page.expect_download() as download:
            page.get_by_role("button", name="Télécharger le fichier recodé").click()
        assert download.value.suggested_filename == "recodage.csv"
        context.close()

    assert (found, wide) == ([], [])
    assert [text for text in said if "422" not in text] == []


def _a_file(text: str) -> FilePayload:
    return {"name": "liste.csv", "mimeType": "text/csv", "buffer": text.encode()}


def _violations(page: Page, options: dict[str, Any]) -> list[str]:
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']} {node['target']} {node['failureSummary']}" for one in violations for node in one["nodes"][:3]]


def test_the_dark_theme_is_dark_without_any_script(browser: Browser, site: str) -> None:
    context = _context(browser, site, color_scheme="dark", java_script_enabled=False)
    page = context.new_page()
    page.goto("/")

    expect(page.locator("body")).to_have_css("background-color", "rgb(22, 22, 22)")
    context.close()
