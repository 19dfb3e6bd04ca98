"""Signing in by a printed link, sessions, and that what a browser sends was meant."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api import sessions
from cli.main import main
from registry import access, opening
from registry.access import Actor
from registry.errors import Forbidden, NotFound, Unauthenticated, WrongSetting
from registry.sessions import SESSION_LASTS, create_sign_in_link, sign_in
from registry.settings import Settings
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_member, a_release, a_token, bearer, published, the_operator

API = "/api/v1"
NAME = "Camille Essai"


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A browser, on a registry with one release, on each kind of database."""
    with running(settings_for(tmp_path, database_url)) as app:
        published(app.extensions["socle"].store, a_release())
        yield app.test_client()


@pytest.fixture
def another(client: FlaskClient) -> FlaskClient:
    """Another visitor's browser."""
    return client.application.test_client()


@pytest.fixture
def registry(client: FlaskClient) -> Store:
    """The store behind the client."""
    found: Store = client.application.extensions["socle"].store
    return found


def a_link(store: Store, actor: Actor) -> str:
    """The secret of a link by which a person signs in."""
    return create_sign_in_link(store, actor.person, actor=the_operator(store))


def csrf(page: TestResponse) -> str:
    """The token of the forms on a page."""
    found = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
    return str(found[0])


def signed_in(client: FlaskClient, store: Store, actor: Actor, **more: str) -> TestResponse:
    """Sign a person in, as their browser does by a printed link."""
    secret = a_link(store, actor)
    page = client.get(f"/connexion?jeton={secret}")
    return client.post("/connexion", data={"jeton": secret, "csrf_token": csrf(page), **more})


def journal(store: Store) -> list[dict[str, Any]]:
    """The journal, parsed."""
    return [orjson.loads(entry) for entry in store.journal_entries(0)]


def cookie(response: TestResponse, name: str) -> str:
    """A cookie as the response sets it."""
    return next(line for line in response.headers.getlist("Set-Cookie") if line.startswith(f"{name}="))


# A printed link


def test_the_command_prints_a_link_that_signs_in_once(
    client: FlaskClient, another: FlaskClient, registry: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings: Settings = client.application.extensions["socle"].settings
    monkeypatch.setenv("SOCLE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SOCLE_DATABASE_URL", settings.database)
    monkeypatch.chdir(tmp_path)
    member = a_member(registry, "member")

    printed = CliRunner().invoke(main, ["sign-in", member.person, "--json"])

    link = json.loads(printed.output)["link"]
    address = link.removeprefix("http://127.0.0.1:8000")
    page = client.get(address)
    secret = address.partition("jeton=")[2]
    first = client.post("/connexion", data={"jeton": secret, "csrf_token": csrf(page)})
    second = another.post("/connexion", data={"jeton": secret, "csrf_token": csrf(another.get(address))})
    assert link.startswith("http://127.0.0.1:8000/connexion?jeton=")
    assert (first.status_code, first.headers["Location"]) == (303, "/compte")
    assert NAME in client.get("/compte").text
    assert second.status_code == 422
    assert "déjà servi" in second.text
    assert another.get("/compte").status_code == 303


def test_opening_a_link_without_pressing_the_button_does_not_use_it_up(client: FlaskClient, registry: Store) -> None:
    secret = a_link(registry, a_member(registry, "member"))
    for _ in range(3):
        assert client.get(f"/connexion?jeton={secret}").status_code == 200

    assert sign_in(registry, secret).person


def test_a_link_is_over_after_a_quarter_of_an_hour(store: Store) -> None:
    secret = a_link(store, a_member(store, "member"))
    with store.database.writing() as connection:
        connection.execute(text("UPDATE sign_in_link SET expires = '2024-01-01T00:00:00Z'"))

    with pytest.raises(Unauthenticated):
        sign_in(store, secret)


@pytest.mark.parametrize("secret", ["", "x", "é\ud800", "x" * 10_000, "' OR 1=1 --"])
def test_no_other_text_signs_in(store: Store, secret: str) -> None:
    a_link(store, a_member(store, "member"))

    with pytest.raises(Unauthenticated):
        sign_in(store, secret)


def test_links_are_made_on_the_machine_alone_and_by_administrators(store: Store) -> None:
    member = a_member(store, "member")
    over_the_network = a_member(store, "administrator", organisation="comite")

    with pytest.raises(Forbidden):
        create_sign_in_link(store, member.person, actor=over_the_network)
    with pytest.raises(Forbidden):
        create_sign_in_link(store, member.person, actor=access.actor_of(store, member.person, door="terminal"))


def test_nobody_who_was_erased_gets_a_link(store: Store) -> None:
    member = a_member(store, "member")
    access.erase(store, member.person, actor=the_operator(store))

    with pytest.raises(NotFound):
        a_link(store, member)


def test_of_links_and_sessions_only_hashes_are_kept(client: FlaskClient, registry: Store) -> None:
    secret = a_link(registry, a_member(registry, "member"))
    made = sign_in(registry, secret)

    with registry.database.reading() as connection:
        rows = "".join(
            str(list(connection.execute(text(f"SELECT * FROM {table}"))))
            for table in ("sign_in_link", "session", "journal")
        )
    assert secret not in rows
    assert made.secret not in rows
    assert len(made.secret) == 43


# Sessions


def test_the_cookies_are_for_this_site_alone_and_not_for_scripts(client: FlaskClient, registry: Store) -> None:
    found = signed_in(client, registry, a_member(registry, "member"))
    local = cookie(found, sessions.COOKIE)
    elsewhere = client.get("/demandes/nouvelle", base_url="http://socle.example")

    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(local.split("; "))
    assert f"Max-Age={int(SESSION_LASTS.total_seconds())}" in local
    assert "Secure" not in local
    assert "Domain" not in local
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie(elsewhere, sessions.FORM_COOKIE).split("; "))


@pytest.mark.parametrize(
    ("address", "secure"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://localhost", False),
        ("http://[::1]:8000", False),
        ("https://127.0.0.1", True),
        ("http://127.0.0.1.evil.example", True),
        ("https://socle.example", True),
    ],
)
def test_the_session_goes_over_https_alone_but_on_the_machine_itself(
    client: FlaskClient, registry: Store, address: str, secure: bool
) -> None:
    secret = a_link(registry, a_member(registry, "member"))
    page = client.get(f"/connexion?jeton={secret}", base_url=address)

    found = client.post("/connexion", data={"jeton": secret, "csrf_token": csrf(page)}, base_url=address)

    assert ("Secure" in cookie(found, sessions.COOKIE).split("; ")) == secure


def test_a_session_that_was_planted_before_is_not_the_one_that_is_signed_in(
    client: FlaskClient, another: FlaskClient, registry: Store
) -> None:
    planted = sign_in(registry, a_link(registry, a_member(registry, "reader")))
    client.set_cookie(sessions.COOKIE, planted.secret)
    another.set_cookie(sessions.COOKIE, planted.secret)
    client.get("/demandes/nouvelle")
    before = client.get_cookie(sessions.FORM_COOKIE)

    signed_in(client, registry, a_member(registry, "member"))

    after = client.get_cookie(sessions.COOKIE)
    assert after is not None
    assert after.value != planted.secret
    assert another.get("/compte").status_code == 303
    assert before is not None
    with client.session_transaction() as kept:
        assert dict(kept) == {}


def test_a_session_acts_in_all_roles_and_through_the_api_too(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "member", "mapper")
    signed_in(client, registry, member)

    me = client.get(f"{API}/me")

    assert me.get_json()["person"] == member.person
    assert me.get_json()["door"] == "session"
    assert [held["role"] for held in me.get_json()["memberships"]] == ["mapper", "member"]
    assert "no-store" in me.headers["Cache-Control"] or "private" in me.headers["Cache-Control"]


def test_a_token_comes_before_the_session(client: FlaskClient, registry: Store) -> None:
    signed_in(client, registry, a_member(registry, "member"))
    other = a_member(registry, "mapper")

    me = client.get(f"{API}/me", headers=bearer(a_token(registry, other)))

    assert me.get_json()["person"] == other.person


def _sign_out(client: FlaskClient, store: Store, actor: Actor) -> None:
    client.post("/deconnexion", data={"csrf_token": csrf(client.get("/compte"))})


def _erase(client: FlaskClient, store: Store, actor: Actor) -> None:
    access.erase(store, actor.person, actor=the_operator(store))


def _leave(client: FlaskClient, store: Store, actor: Actor) -> None:
    access.leave(store, actor.person, "dep-71", "member", actor=the_operator(store))


def _wait(client: FlaskClient, store: Store, actor: Actor) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with store.database.writing() as connection:
        connection.execute(text("UPDATE session SET expires = :past"), {"past": past})


@pytest.mark.parametrize("ending", [_sign_out, _erase, _leave, _wait])
def test_a_session_ends_even_for_whoever_kept_its_cookie(
    client: FlaskClient, another: FlaskClient, registry: Store, ending: Callable[[FlaskClient, Store, Actor], None]
) -> None:
    member = a_member(registry, "member")
    signed_in(client, registry, member)
    kept = client.get_cookie(sessions.COOKIE)
    assert kept is not None
    another.set_cookie(sessions.COOKIE, kept.value)
    before = another.get(f"{API}/me").status_code

    ending(client, registry, member)

    assert (before, another.get(f"{API}/me").status_code) == (200, 401)
    assert another.get("/compte").status_code == 303
    assert NAME not in another.get("/").text


def test_whoever_loses_one_of_two_roles_stays_signed_in(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "member", "mapper")
    signed_in(client, registry, member)

    access.leave(registry, member.person, "dep-71", "mapper", actor=the_operator(registry))

    assert [held["role"] for held in client.get(f"{API}/me").get_json()["memberships"]] == ["member"]


@pytest.mark.parametrize("secret", ["", "x", "x" * 43, "x" * 3_000, '"quoted', "é"])
def test_a_cookie_that_is_no_session_is_nobody(client: FlaskClient, secret: str) -> None:
    client.set_cookie(sessions.COOKIE, secret)

    assert client.get("/").status_code == 200
    assert client.get("/compte").status_code == 303
    assert client.get(f"{API}/me").status_code == 401


def test_signing_in_and_out_is_in_the_journal(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "member")
    before = len(journal(registry))

    signed_in(client, registry, member)
    _sign_out(client, registry, member)

    told = [(one["operation"], one["person"], one["door"], one["origin"]) for one in journal(registry)[before:]]
    assert told == [
        ("person.write", the_operator(registry).person, "terminal", ""),
        ("session.create", member.person, "link", "127.0.0.0/24"),
        ("session.end", member.person, "session", "127.0.0.0/24"),
    ]


# Where one is led


@pytest.mark.parametrize(
    ("suite", "led"),
    [
        ("demande", "/demandes/nouvelle"),
        ("accueil", "/"),
        ("compte", "/compte"),
        ("", "/compte"),
        ("https://evil.example/", "/compte"),
        ("//evil.example", "/compte"),
        ("/%09/evil.example", "/compte"),
        ("/\t/evil.example", "/compte"),
        ("pages.home", "/compte"),
        ("javascript:alert(1)", "/compte"),
    ],
)
def test_after_signing_in_one_is_led_to_a_page_of_ours_by_name_alone(
    client: FlaskClient, registry: Store, suite: str, led: str
) -> None:
    asked = client.get("/connexion", query_string={"suite": suite})

    found = signed_in(client, registry, a_member(registry, "member"), suite=suite)

    assert found.headers["Location"] == led
    assert "evil" not in asked.text
    assert client.get("/connexion", query_string={"suite": suite}).headers["Location"] == led


# That it was meant


def written(client: FlaskClient, **headers: str) -> int:
    """The status of a write through the API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"organisation": "dep-71", "roles": ["member"]}
    return client.post(f"{API}/tokens", json=body, headers=named).status_code


def test_a_write_by_session_needs_the_token_of_a_page(client: FlaskClient, registry: Store) -> None:
    signed_in(client, registry, a_member(registry, "member"))
    token = csrf(client.get("/compte"))

    assert written(client) == 403
    assert written(client, X_CSRF_Token="x") == 403
    assert written(client, X_CSRF_Token=token[:-1]) == 403
    assert written(client, X_CSRF_Token=token, Origin="https://evil.example") == 403
    assert written(client, X_CSRF_Token=token, Origin="null") == 403
    assert written(client, X_CSRF_Token=token, Origin="http://[") == 403
    assert written(client, X_CSRF_Token=token, Origin="http://localhost") == 201
    assert written(client, X_CSRF_Token=token) == 201


def test_one_visitors_form_token_is_no_use_in_anothers_browser(
    client: FlaskClient, another: FlaskClient, registry: Store
) -> None:
    signed_in(client, registry, a_member(registry, "member"))
    signed_in(another, registry, a_member(registry, "member"))
    token = csrf(another.get("/compte"))
    client.get("/compte")

    assert written(client, X_CSRF_Token=token) == 403


def test_a_write_by_token_needs_nothing_more(client: FlaskClient, registry: Store) -> None:
    token = a_token(registry, a_member(registry, "member"))

    assert written(client, **bearer(token)) == 201
    assert written(client, **bearer(token), Origin="https://evil.example") == 201


def test_what_is_read_by_post_needs_nothing_more(client: FlaskClient, registry: Store) -> None:
    signed_in(client, registry, a_member(registry, "member"))

    answered = client.post(f"{API}/candidates", json={"nomenclature": "aides", "labels": ["Aide A"]})

    assert answered.status_code == 200


@pytest.mark.parametrize("address", ["/connexion", "/deconnexion", "/demandes/nouvelle", "/demandes/confirmer"])
def test_every_form_is_refused_without_its_token_or_from_elsewhere(
    client: FlaskClient, registry: Store, address: str
) -> None:
    signed_in(client, registry, a_member(registry, "member"))
    token = csrf(client.get("/compte"))

    without = client.post(address, data={"jeton": "x", "demande": "1"})
    wrong = client.post(address, data={"csrf_token": "x"})
    foreign = client.post(address, data={"csrf_token": token}, headers={"Origin": "https://evil.example"})

    assert [answered.status_code for answered in (without, wrong, foreign)] == [403, 403, 403]
    assert "Formulaire périmé" in without.text
    assert client.get("/compte").status_code == 200


def test_every_form_of_every_page_that_posts_is_guarded(client: FlaskClient) -> None:
    posts = {
        rule.rule for rule in client.application.url_map.iter_rules() if "POST" in (rule.methods or ()) and rule.rule
    }
    pages = [rule for rule in posts if not rule.startswith(("/api/", "/fhir/", "/reconcile/"))]

    answered = {rule: client.post(re.sub(r"<[^>]+>", "1", rule), data={"x": "y"}).status_code for rule in pages}

    assert len(pages) >= 4
    assert set(answered.values()) == {403}


# What is shown to whom

SHOWN = ("/", "/nomenclatures", "/nomenclatures/aides", "/nomenclatures/aides/A", "/recherche?q=aide", "/demandes")


@pytest.mark.parametrize("address", [*SHOWN, "/api/docs", "/nulle-part"])
def test_what_somebody_signed_in_was_shown_is_nobody_elses(
    client: FlaskClient, another: FlaskClient, registry: Store, address: str
) -> None:
    signed_in(client, registry, a_member(registry, "member"))
    browser = {"Accept": "text/html"}

    mine = client.get(address, headers=browser)
    theirs = another.get(address, headers=browser)
    mine_again = client.get(address, headers={**browser, "If-None-Match": theirs.headers.get("ETag", '"x"')})
    theirs_again = another.get(address, headers=browser)

    assert NAME in mine.text
    assert "Se déconnecter" in mine.text
    assert mine.headers["Cache-Control"] == "private, no-store"
    assert "ETag" not in mine.headers
    assert NAME in mine_again.text
    for page in (theirs, theirs_again):
        assert NAME not in page.text
        assert "Se connecter" in page.text
        assert "csrf" not in page.text
        assert "Set-Cookie" not in page.headers
    assert theirs_again.data == theirs.data


def test_what_was_kept_for_all_is_not_shown_to_somebody_signed_in(
    client: FlaskClient, another: FlaskClient, registry: Store
) -> None:
    before = [another.get(address).text for address in SHOWN]
    signed_in(client, registry, a_member(registry, "member"))

    mine = [client.get(address).text for address in SHOWN]

    assert all(NAME not in page for page in before)
    assert all(NAME in page for page in mine)


def test_what_does_not_depend_on_who_asks_stays_in_caches(client: FlaskClient, registry: Store) -> None:
    signed_in(client, registry, a_member(registry, "member"))

    concept = client.get(f"{API}/nomenclatures/aides/concepts/A?release=1.0")
    [sheet] = re.findall(r'href="(/static/[^"]*/?socle[^"]*\.css[^"]*)"', client.get("/").text)

    assert concept.headers["Cache-Control"].startswith("public")
    assert client.get(sheet).headers["Cache-Control"].startswith("public")


def test_without_a_provider_the_page_says_how_to_get_a_link(client: FlaskClient) -> None:
    page = client.get("/connexion")

    assert "socle sign-in" in page.text
    assert "S’identifier avec" not in page.text
    assert client.get("/connexion/fournisseur").status_code == 404
    assert client.get("/connexion/retour?state=x&code=y").status_code == 404


def test_whoever_is_signed_in_asks_for_a_change_without_an_address(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "member")
    signed_in(client, registry, member)
    form = client.get("/demandes/nouvelle")

    sent = client.post(
        "/demandes/nouvelle",
        data={"nomenclature": "aides", "what": "Préciser.", "why": "La loi.", "csrf_token": csrf(form)},
    )

    assert 'name="email"' not in form.text
    assert sent.status_code == 303
    assert registry.proposals()[0][0].person == member.person


# The secret behind forms


def test_the_secret_is_made_once_private_and_the_same_for_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"

    first, second = opening.secret(path), opening.secret(path)

    assert first == second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) >= 32
    assert [found.name for found in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_others_may_read_stops_the_start(sqlite_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, sqlite_url)
    opening.secret(settings.secret)
    settings.secret.chmod(0o644)

    with pytest.raises(WrongSetting, match="can be read by others"), running(settings):
        pass


def test_an_empty_secret_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)

    with pytest.raises(WrongSetting, match="holds no secret"):
        opening.secret(path)


def test_what_was_read_on_the_account_page_is_not_told_again(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "member")
    with registry.database.writing() as connection:
        values = f"'{member.person}', '2024-01-01T00:00:00Z', 'draft 1', 'Les votes sont annulés.', ''"
        connection.execute(text(f"INSERT INTO notice (person_id, at, object, text, seen) VALUES ({values})"))
    signed_in(client, registry, member)

    shown = client.get("/compte")
    client.post("/compte", data={"csrf_token": csrf(shown), "dernier": "1"})

    assert "Les votes sont annulés." in shown.text
    assert "Rien de nouveau." in client.get("/compte").text
    assert journal(registry)[-1]["operation"] == "notice.see"


@pytest.mark.parametrize(("proxies", "network"), [("0", "127.0.0.0/24"), ("1", "198.51.100.0/24")])
def test_an_address_is_believed_of_as_many_proxies_as_stand_before_the_service(
    sqlite_url: str, tmp_path: Path, proxies: str, network: str
) -> None:
    with running(settings_for(tmp_path, sqlite_url, proxies=proxies)) as app:
        client, registry = app.test_client(), app.extensions["socle"].store
        client.environ_base["HTTP_X_FORWARDED_FOR"] = "203.0.113.9, 198.51.100.7"

        signed_in(client, registry, a_member(registry, "member"))

        assert journal(registry)[-1]["origin"] == network
