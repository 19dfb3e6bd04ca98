"""Signing in at an OpenID provider: at a real one, and what is refused of one that lies."""

from __future__ import annotations

import base64
import hmac
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
import pytest
import requests
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from api import provider as provider_
from registry import access
from registry.errors import WrongSetting
from registry.settings import read
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_release, an_organisation, published, the_operator

FOLDER = Path(__file__).parent / "oidc"
SITE = "http://127.0.0.1:8000"
SECRET = "a secret of the tests, of some length"
SIRET = "22710001300688"
CAMILLE = {
    "sub": "c1",
    "given_name": "Camille",
    "usual_name": "Essai",
    "email": "Camille.Essai@exemple.fr",
    "siret": SIRET,
}


def journal(store: Store) -> list[dict[str, Any]]:
    """The journal, parsed."""
    return [orjson.loads(entry) for entry in store.journal_entries(0)]


def a_client(folder: Path, url: str, issuer: str, **others: str) -> Iterator[FlaskClient]:
    """A browser, on a registry whose people sign in at a provider."""
    secret = folder / "client-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n")
    given = {"oidc_issuer": issuer, "oidc_client_id": "socle", "oidc_client_secret_file": str(secret), **others}
    with running(settings_for(folder, url, **given)) as app:
        registry: Store = app.extensions["socle"].store
        published(registry, a_release())
        access.create_organisation(registry, an_organisation(siret=SIRET), actor=the_operator(registry))
        yield app.test_client()


def store_of(client: FlaskClient) -> Store:
    """The store behind a client."""
    found: Store = client.application.extensions["socle"].store
    return found


# At a real provider


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """A real provider, on a port of its own."""
    assert (FOLDER / "node_modules").is_dir(), "run npm ci in tests/oidc, as make test does"
    command = ["node", "provider.js", f"{SITE}/connexion/retour", f"{SITE}/deconnexion"]
    with subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def client(issuer: str, sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A browser, on a registry whose people sign in at the real provider."""
    yield from a_client(tmp_path, sqlite_url, issuer)


def went(issuer: str, address: str, **person: str) -> str:
    """Where a browser comes back to that is sent to the provider, which signs this person in."""
    requests.post(f"{issuer}/person", json=person, timeout=10).raise_for_status()
    with requests.Session() as browser:
        for _ in range(10):
            response = browser.get(address, allow_redirects=False, timeout=10)
            assert response.status_code in (302, 303), response.text
            address = requests.compat.urljoin(address, response.headers["Location"])
            if address.startswith(SITE):
                return address.removeprefix(SITE)
    raise AssertionError(address)


def signed_in(client: FlaskClient, issuer: str, suite: str = "", **changes: str) -> TestResponse:
    """Sign a person in at the real provider."""
    begun = client.get("/connexion/fournisseur", query_string={"suite": suite} if suite else {})
    return client.get(went(issuer, begun.headers["Location"], **{**CAMILLE, **changes}))


def test_a_person_signs_in_and_proposes_for_the_organisation_of_their_siret(client: FlaskClient, issuer: str) -> None:
    page = client.get("/connexion").text

    found = signed_in(client, issuer, suite="demande")

    me = client.get("/api/v1/me").get_json()
    assert "S’identifier avec ProConnect" in page
    assert (found.status_code, found.headers["Location"]) == (303, "/demandes/nouvelle")
    assert (me["name"], me["email"]) == ("Camille Essai", "camille.essai@exemple.fr")
    assert me["memberships"] == [{"organisation": "dep-71", "role": "proposer"}]


def test_what_is_asked_of_the_provider_is_bound_to_this_browser(client: FlaskClient) -> None:
    asked = [
        parse_qs(urlsplit(client.get("/connexion/fournisseur").headers["Location"]).query, strict_parsing=True)
        for _ in range(2)
    ]

    for one in asked:
        assert one["response_type"] == ["code"]
        assert one["redirect_uri"] == [f"{SITE}/connexion/retour"]
        assert one["code_challenge_method"] == ["S256"]
        assert one["scope"] == ["openid given_name usual_name email siret"]
        assert min(len(one[name][0]) for name in ("state", "nonce", "code_challenge")) >= 32
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]


def test_the_same_person_comes_again_as_themselves(client: FlaskClient, issuer: str) -> None:
    signed_in(client, issuer)
    first = client.get("/api/v1/me").get_json()["person"]
    other = client.application.test_client()

    signed_in(other, issuer)

    assert other.get("/api/v1/me").get_json()["person"] == first


def test_whose_siret_nobody_has_signs_in_without_an_organisation_and_is_told_so(
    client: FlaskClient, issuer: str
) -> None:
    signed_in(client, issuer, sub="c2", siret="13002526500013")

    assert client.get("/api/v1/me").get_json()["memberships"] == []
    assert "rattaché à aucun organisme" in client.get("/compte").text


def test_nobody_becomes_another_by_an_address(client: FlaskClient, issuer: str) -> None:
    registry = store_of(client)
    known = access.create_person(registry, "Autre", CAMILLE["email"], actor=the_operator(registry))

    signed_in(client, issuer, sub="c3")

    me = client.get("/api/v1/me").get_json()
    assert me["person"] != known.id
    assert me["email"] == ""


def test_whoever_was_erased_comes_back_as_somebody_new(client: FlaskClient, issuer: str) -> None:
    registry = store_of(client)
    signed_in(client, issuer)
    first = client.get("/api/v1/me").get_json()["person"]
    access.erase(registry, first, actor=the_operator(registry))

    signed_in(client, issuer)

    assert client.get("/api/v1/me").get_json()["person"] != first


def test_signing_out_goes_on_to_the_provider_and_comes_back(client: FlaskClient, issuer: str) -> None:
    signed_in(client, issuer)
    token = re.findall(r'name="csrf_token" value="([^"]+)"', client.get("/compte").text)[0]

    page = client.post("/deconnexion", data={"csrf_token": token})

    [address] = set(re.findall(rf'href="({issuer}[^"]+)"', page.text))
    asked = parse_qs(urlsplit(address.replace("&amp;", "&")).query)
    shown = requests.get(address.replace("&amp;", "&"), timeout=10)
    assert asked["post_logout_redirect_uri"] == [f"{SITE}/deconnexion"]
    assert len(asked["id_token_hint"][0].split(".")) == 3
    assert len(asked["state"][0]) >= 32
    assert shown.status_code == 200
    assert client.get("/api/v1/me").status_code == 401
    assert client.get("/deconnexion").status_code == 200


def test_a_code_that_was_used_is_refused(client: FlaskClient, issuer: str) -> None:
    begun = client.get("/connexion/fournisseur").headers["Location"]
    back = went(issuer, begun, **CAMILLE)
    client.get(back)
    other = client.application.test_client()
    state = parse_qs(urlsplit(other.get("/connexion/fournisseur").headers["Location"]).query)["state"][0]
    used = {name: value[0] for name, value in parse_qs(urlsplit(back).query).items()}

    again = client.get(back)
    replayed = other.get(f"/connexion/retour?{urlencode({**used, 'state': state})}")

    assert (again.status_code, replayed.status_code) == (403, 403)
    assert "n’a pas confirmé" in replayed.text
    assert reasons(client) == ["code"]
    assert other.get("/api/v1/me").status_code == 401


# At one that lies


def reasons(client: FlaskClient) -> list[str]:
    """Why people were not signed in, from the journal."""
    return [
        one["object"]
        for one in journal(store_of(client))
        if (one["type"], one["operation"]) == ("refusal", "session.create")
    ]


class Liar:
    """A small provider, honest but for what a test changes in it."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
        self.issuer = ""
        self.nonce = ""
        self.asked: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.said: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.sign_said: Callable[[dict[str, Any]], str] = self.signed
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.elsewhere = ""

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        """Claims as an honest provider signs them."""
        return jwt.encode({"alg": "RS256", "kid": "k1", **header}, claims, self.key)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """What is answered at an address."""
        if path in self.answers:
            return self.answers[path]
        now = int(time.time())
        whole = {"iss": self.issuer, "aud": "socle", "sub": "c1", "iat": now, "exp": now + 300}
        if path == "/.well-known/openid-configuration":
            endpoints = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token", "userinfo")}
            document: Any = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **endpoints, **self.metadata}
        elif path == "/jwks":
            document = {"keys": [self.key.as_dict(private=False)]}
        elif path == "/token":
            id_token = self.sign(without_none({**whole, "nonce": self.nonce, **self.claims}))
            document = {"access_token": "a", "token_type": "Bearer", "id_token": id_token}
        else:
            told = self.sign_said(without_none({**whole, **CAMILLE, **self.said}))
            return 200, "application/jwt", told.encode()
        return 200, "application/json", orjson.dumps(document)


def without_none(claims: dict[str, Any]) -> dict[str, Any]:
    """Claims, but for those that a test took away."""
    return {name: value for name, value in claims.items() if value is not None}


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A provider that tests change, on a port of its own."""
    found = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append(self.path)
            status, kind, body = found.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if 300 <= status < 400:
                self.send_header("Location", found.elsewhere)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 -- as the standard library calls it.

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, 0.05))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def victim(liar: Liar, sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A browser, on a registry whose people sign in at the provider that tests change."""
    yield from a_client(tmp_path, sqlite_url, liar.issuer)


def came_back(client: FlaskClient, liar: Liar, **changes: str) -> TestResponse:
    """What the registry answers a browser that comes back from the provider."""
    begun = parse_qs(urlsplit(client.get("/connexion/fournisseur").headers["Location"]).query)
    liar.nonce = begun["nonce"][0]
    given = {"state": begun["state"][0], "code": "c", "iss": liar.issuer, **changes}
    return client.get("/connexion/retour", query_string=given)


def _segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(liar: Liar, claims: dict[str, Any], algorithm: str = "none") -> str:
    """Claims that nobody signed."""
    return f"{_segment({'alg': algorithm})}.{_segment(claims)}."


def by_public_key(liar: Liar, claims: dict[str, Any]) -> str:
    """Claims signed by a secret that everybody knows: the public key."""
    public = liar.key.as_pem(private=False)
    told = f"{_segment({'alg': 'HS256', 'kid': 'k1'})}.{_segment(claims)}"
    signature = hmac.new(public, told.encode(), "sha256").digest()
    return f"{told}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def by_another_key(liar: Liar, claims: dict[str, Any]) -> str:
    """Claims signed by somebody else."""
    return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, RSAKey.generate_key(2048))


def changed_after(liar: Liar, claims: dict[str, Any]) -> str:
    """Claims that were changed after they were signed."""
    head, _, signature = liar.signed(claims).split(".")
    return f"{head}.{_segment({**claims, 'sub': 'c9'})}.{signature}"


def test_the_honest_provider_signs_people_in(victim: FlaskClient, liar: Liar) -> None:
    found = came_back(victim, liar)

    assert found.status_code == 303
    assert victim.get("/api/v1/me").get_json()["name"] == "Camille Essai"


PAST, FUTURE = int(time.time()) - 3_600, int(time.time()) + 36_000


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "x" * 43}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": PAST}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "tomorrow"}, "expired"),
        ({"nbf": FUTURE}, "expired"),
        ({"iat": FUTURE}, "expired"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "socle"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"sub": "c9"}, "subject"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
    ],
)
def test_an_id_token_that_does_not_hold_is_refused(
    victim: FlaskClient, liar: Liar, claims: dict[str, Any], reason: str
) -> None:
    liar.claims = claims

    refused = came_back(victim, liar)

    assert (refused.status_code, reasons(victim)) == (403, [reason])
    assert "Set-Cookie" not in refused.headers or "socle_session" not in str(refused.headers.getlist("Set-Cookie"))
    assert victim.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("sign", "reason"),
    [
        (unsigned, "algorithm"),
        (partial(unsigned, algorithm="None"), "algorithm"),
        (by_public_key, "algorithm"),
        (partial(unsigned, algorithm="RS256"), "signature"),
        (by_another_key, "signature"),
        (changed_after, "signature"),
        (lambda liar, claims: "nothing of the kind", "signature"),
        (lambda liar, claims: "é.é.é", "signature"),
        (lambda liar, claims: f"{_segment({'alg': ['RS256']})}.e30.", "algorithm"),
    ],
)
@pytest.mark.parametrize("where", ["sign", "sign_said"])
def test_what_the_provider_did_not_sign_is_refused(
    victim: FlaskClient, liar: Liar, sign: Callable[[Liar, dict[str, Any]], str], reason: str, where: str
) -> None:
    setattr(liar, where, partial(sign, liar))

    refused = came_back(victim, liar)

    assert (refused.status_code, reasons(victim)) == (403, [reason])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"sub": "c9"}, "subject"),
        ({"aud": "another"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": PAST}, "expired"),
    ],
)
def test_what_is_said_of_another_person_or_to_another_registry_is_refused(
    victim: FlaskClient, liar: Liar, said: dict[str, Any], reason: str
) -> None:
    liar.said = said

    assert (came_back(victim, liar).status_code, reasons(victim)) == (403, [reason])


def test_what_is_said_without_a_signature_is_refused(victim: FlaskClient, liar: Liar) -> None:
    liar.answers["/userinfo"] = (200, "application/json", orjson.dumps(CAMILLE))

    assert (came_back(victim, liar).status_code, reasons(victim)) == (403, ["userinfo is not signed"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "x" * 43}, "state"),
        ({"state": "é"}, "state"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"error": "access_denied"}, "refused by the provider"),
        ({"code": ""}, "refused by the provider"),
    ],
)
def test_who_comes_back_otherwise_than_they_went_is_refused(
    victim: FlaskClient, liar: Liar, changes: dict[str, str], reason: str
) -> None:
    refused = came_back(victim, liar, **changes)

    assert (refused.status_code, reasons(victim)) == (403, [reason])
    assert "/token" not in liar.asked


def test_who_comes_back_without_having_gone_is_refused_and_leaves_no_entry(victim: FlaskClient) -> None:
    refused = victim.get("/connexion/retour?state=x&code=y")

    assert (refused.status_code, reasons(victim)) == (403, [])


def test_what_was_begun_too_long_ago_is_refused(
    victim: FlaskClient, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_, "HANDSHAKE_LASTS", -1)

    assert (came_back(victim, liar).status_code, reasons(victim)) == (403, ["handshake expired"])


def test_a_person_whom_the_provider_knows_less_surely_than_asked_is_refused(
    liar: Liar, sqlite_url: str, tmp_path: Path
) -> None:
    for client in a_client(tmp_path, sqlite_url, liar.issuer, oidc_acr="eidas2 eidas3"):
        asked = parse_qs(urlsplit(client.get("/connexion/fournisseur").headers["Location"]).query)
        liar.claims = {"acr": "eidas1"}
        refused = came_back(client, liar)
        liar.claims = {"acr": "eidas3"}
        taken = came_back(client, liar)

        assert asked["acr_values"] == ["eidas2 eidas3"]
        assert (refused.status_code, taken.status_code, reasons(client)) == (403, 303, ["acr"])


def test_new_keys_of_the_provider_are_fetched(victim: FlaskClient, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    came_back(victim, liar)
    monkeypatch.setattr(provider_, "KEYS_HOLD", -1)
    liar.key = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig", "alg": "RS256"})
    liar.sign = liar.sign_said = partial(liar.signed, kid="k2")

    assert came_back(victim.application.test_client(), liar).status_code == 303


@pytest.mark.parametrize(
    "answer",
    [
        (500, "text/plain", b"no"),
        (200, "application/json", b"no"),
        (200, "application/json", b"[]"),
        (200, "application/json", b" " * 1_100_000 + b"{}"),
        (302, "text/plain", b""),
    ],
)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"])
def test_a_provider_that_is_down_is_a_page_that_says_to_come_again(
    victim: FlaskClient, liar: Liar, path: str, answer: tuple[int, str, bytes]
) -> None:
    liar.elsewhere = f"{liar.issuer}/elsewhere"
    liar.answers[path] = answer

    begun = victim.get("/connexion/fournisseur")
    if begun.status_code == 303:
        asked = parse_qs(urlsplit(begun.headers["Location"]).query)
        liar.nonce = asked["nonce"][0]
        begun = victim.get("/connexion/retour", query_string={"state": asked["state"][0], "code": "c"})

    assert begun.status_code in (403, 503)
    assert begun.status_code == 503 or (answer[0] == 200 and path in ("/token", "/userinfo"))
    assert "/elsewhere" not in liar.asked
    assert victim.get("/api/v1/me").status_code == 401


def test_the_provider_is_asked_nothing_until_somebody_signs_in(victim: FlaskClient, liar: Liar) -> None:
    victim.get("/")
    victim.get("/connexion")

    assert liar.asked == []


def test_a_provider_that_is_another_than_was_named_is_not_used(victim: FlaskClient, liar: Liar) -> None:
    liar.metadata = {"issuer": "https://evil.example"}

    answered = victim.get("/connexion/fournisseur")

    assert answered.status_code == 503
    assert "momentanément indisponible" in answered.text


def test_a_provider_with_an_unsafe_address_is_not_used(victim: FlaskClient, liar: Liar) -> None:
    liar.metadata = {"authorization_endpoint": "http://provider.example/authorization"}

    assert victim.get("/connexion/fournisseur").status_code == 503


# Settings


def test_a_provider_needs_an_id_and_a_secret_beside_it() -> None:
    with pytest.raises(WrongSetting, match="SOCLE_OIDC_CLIENT_SECRET_FILE"):
        read({"SOCLE_OIDC_ISSUER": "https://provider.example", "SOCLE_OIDC_CLIENT_ID": "socle"})


@pytest.mark.parametrize("issuer", ["provider.example", "http://provider.example", "ftp://x", "https://x/?a=b"])
def test_a_provider_is_reached_over_https(issuer: str) -> None:
    with pytest.raises(WrongSetting, match="SOCLE_OIDC_ISSUER"):
        read({"SOCLE_OIDC_ISSUER": issuer})


def test_the_lock_of_the_real_provider_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())

    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []
    assert all("integrity" in one for name, one in lock["packages"].items() if name)
