"""Every role times every operation of the API that is not open reading, from the API's own description of itself.

A new route joins by being described: one that writes without saying which operation it does fails here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from api import access as api_access
from api.app import PREFIX
from api.reading import Routes
from registry.access import OF_ONE_ORGANISATION, OPERATIONS, ROLES
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_member, a_token, bearer, keys_of
from tests.test_committee import Committee

WRITES = ("post", "put", "patch", "delete")
ORGANISATIONS = ("dep-71", "dep-72")


class Route(NamedTuple):
    """An operation of the description, as it stands there."""

    path: str
    method: str
    described: dict[str, Any]

    @property
    def operation(self) -> str:
        """What it declares to need."""
        return str(self.described.get(api_access.OPERATION, ""))

    @property
    def organisation(self) -> str:
        """The parameter of its path that names an organisation, if it declares one."""
        return str(self.described.get(api_access.ORGANISATION, ""))

    def address(self, organisation: str) -> str:
        """An address of it, of this organisation, and of nothing that exists."""
        kinds = {item["name"]: item["schema"].get("type") for item in self.described["parameters"] if "schema" in item}

        def value(match: re.Match[str]) -> str:
            if match[1] == self.organisation:
                return organisation
            return "2147483647" if kinds.get(match[1]) == "integer" else "nothing"

        return re.sub(r"\{(\w+)\}", value, self.path)

    def request(self) -> dict[str, Any]:
        """Headers and a body that carry the request past its conditions, and no further."""
        headers = {
            item["name"]: "*"
            for item in self.described["parameters"]
            if item.get("in") == "header" and item.get("required")
        }
        kinds = list(self.described.get("requestBody", {}).get("content", {}))
        body = {"data": b"{}", "content_type": kinds[0]} if kinds else {"data": b"{}" if self.method == "post" else b""}
        return {"headers": headers, **body}


def routes(app: Flask) -> list[Route]:
    """Every operation that the application describes."""
    paths = app.test_client().get(f"{PREFIX}/openapi.json").get_json()["paths"]

    def whole(item: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
        return {**described, "parameters": [*item.get("parameters", []), *described.get("parameters", [])]}

    return [
        Route(path, method, whole(item, described))
        for path, item in paths.items()
        for method, described in item.items()
        if method != "parameters"
    ]


def undeclared(app: Flask) -> list[str]:
    """Routes that write and are not described, or do not say which operation they do."""
    known = {(route.method, route.path): route.operation for route in routes(app)}
    wrong = []
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) & {name.upper() for name in WRITES}:
            path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule)
            if rule.rule.startswith("/api/"):
                operation = known.get((method.lower(), path), "")
                if operation not in OPERATIONS and operation != api_access.OPEN:
                    wrong.append(f"{method} {rule.rule}")
    return wrong


@pytest.fixture(scope="module")
def writable(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application over an empty registry, which these tests are refused to write to, or write nothing to."""
    folder = tmp_path_factory.mktemp("authorisation")
    (folder / "socle.db").write_bytes(sqlite_template.read_bytes())
    with running(settings_for(folder)) as app:
        keys_of(app.extensions["socle"].store)
        yield app


@pytest.fixture(scope="module")
def tokens(writable: Flask) -> dict[tuple[str, str], str]:
    """A token of each role in each organisation."""
    store: Store = writable.extensions["socle"].store
    return {
        (role, organisation): a_token(store, a_member(store, role, organisation=organisation))
        for role, organisation in product(ROLES, ORGANISATIONS)
    }


def journal(app: Flask) -> list[dict[str, Any]]:
    """The journal, parsed."""
    store: Store = app.extensions["socle"].store
    entries, after = [], 0
    while page := store.journal_entries(after):
        entries += [orjson.loads(entry) for entry in page]
        after += len(page)
    return entries


def test_every_write_says_which_operation_it_does(writable: Flask) -> None:
    assert undeclared(writable) == []


def test_a_write_that_does_not_say_so_is_found(sqlite_url: str, tmp_path: Path) -> None:
    with running(settings_for(tmp_path, sqlite_url)) as app:
        app.post("/api/v1/anything")(lambda: "")

        assert undeclared(app) == ["POST /api/v1/anything"]


def test_every_operation_that_is_declared_is_described_with_its_refusals(writable: Flask) -> None:
    wrong = []
    for route in routes(writable):
        needed = OPERATIONS.get(route.operation)
        refusals = {"401", "403"} & route.described["responses"].keys()
        secured = {"bearer": []} in route.described.get("security", ())
        if (needed is not None) != (secured and refusals == {"401", "403"}):
            wrong.append((route.method, route.path))
        if route.operation in OF_ONE_ORGANISATION and "organisation" in route.path and not route.organisation:
            wrong.append((route.method, route.path))

    assert wrong == []


def test_each_role_is_refused_what_it_may_not_do_and_nothing_else(
    writable: Flask, tokens: dict[tuple[str, str], str]
) -> None:
    client, wrong, tried = writable.test_client(), [], 0
    for route in routes(writable):
        if not route.operation:
            continue
        needed = OPERATIONS.get(route.operation, ())
        one = route.operation in OF_ONE_ORGANISATION and route.organisation
        for (role, held), token in tokens.items():
            request = route.request()
            request["headers"] = {**request["headers"], **bearer(token)}
            expected = not needed or needed == ROLES or role in needed
            expected = expected and (held == ORGANISATIONS[0] or not one)

            response = client.open(route.address(ORGANISATIONS[0]), method=route.method, **request)

            tried += 1
            if response.status_code >= 500 or (response.status_code not in (401, 403)) != expected:
                wrong.append((route.method, route.path, role, held, response.status_code))

    assert wrong == []
    assert tried >= 14 * 10


def test_without_a_token_whatever_needs_a_role_answers_401_and_leaves_no_entry(writable: Flask) -> None:
    client, wrong, before = writable.test_client(), [], len(journal(writable))
    for route in routes(writable):
        if OPERATIONS.get(route.operation):
            response = client.open(route.address("dep-71"), method=route.method, **route.request())
            if response.status_code != 401 or "WWW-Authenticate" not in response.headers:
                wrong.append((route.method, route.path, response.status_code))

    assert wrong == []
    assert len(journal(writable)) == before


def test_a_refusal_comes_before_anything_of_the_request_is_looked_at(
    writable: Flask, tokens: dict[tuple[str, str], str]
) -> None:
    client, wrong = writable.test_client(), []
    for route in routes(writable):
        needed = OPERATIONS.get(route.operation, ROLES)
        if not needed or needed == ROLES or "reader" in needed or route.method == "get":
            continue
        response = client.open(
            route.address("dep-71"),
            method=route.method,
            headers=bearer(tokens["reader", "dep-71"]),
            query_string={"unknown": "1"},
            data=b"{{{",
            content_type="image/png",
        )
        if response.status_code != 403:
            wrong.append((route.method, route.path, response.status_code))

    assert wrong == []


def test_each_refusal_of_somebody_known_is_in_the_journal(writable: Flask, tokens: dict[tuple[str, str], str]) -> None:
    before = len(journal(writable))

    refused = writable.test_client().post(
        f"{PREFIX}/organisations", headers=bearer(tokens["reader", "dep-71"]), json={"slug": "dep-73"}
    )

    [entry] = journal(writable)[before:]
    assert refused.status_code == 403
    assert (entry["type"], entry["operation"], entry["request"]) == (
        "refusal",
        "organisation.write",
        refused.headers["X-Request-Id"],
    )
    assert entry["object"] == f"POST {PREFIX}/organisations"


# One organisation's own


@pytest.fixture
def guarded(sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an application with one more route, of one organisation's own."""
    blueprint = Routes("guarded", __name__)

    @blueprint.put("/guarded/<organisation>/<name>")  # type: ignore[untyped-decorator] # flask-smorest's are.
    @api_access.needs("crosswalk.write", organisation="organisation")
    def guarded(organisation: str, name: str) -> Response:
        """Change something of an organisation's own."""
        return Response(f"{organisation} {name}")

    with running(settings_for(tmp_path, sqlite_url)) as app:
        app.register_blueprint(blueprint, url_prefix=PREFIX)
        yield app.test_client()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/guarded/dep-71/x", 200),
        ("/guarded/dep-72/x", 403),
        ("/guarded/dep-72/dep-71", 403),
        ("/guarded/dep-72/x?organisation=dep-71", 403),
        ("/guarded/DEP-71/x", 403),
        ("/guarded/dep-71%20/x", 403),
        ("/guarded/nowhere/x", 403),
        ("/guarded/%2e%2e/guarded/dep-71", 404),
        ("/guarded/dep-72/../dep-71/x", 404),
    ],
)
def test_a_role_in_one_organisation_opens_no_other_by_any_address(guarded: FlaskClient, path: str, status: int) -> None:
    store: Store = guarded.application.extensions["socle"].store
    token = a_token(store, a_member(store, "mapper", organisation="dep-71"))

    response = guarded.put(PREFIX + path, headers=bearer(token), data=b"")

    assert response.status_code == status


# Another organisation, named in the body of a request


NAMED: dict[str, dict[str, Any]] = {
    "draft.vote": {"choice": "approve"},
    "token.create": {"roles": ["reader"]},
    "webhook.write": {"url": "https://dep.example/socle"},
}
"""What else is said, so that nothing but the organisation can be refused, by operation."""


def naming(app: Flask) -> Iterator[Route]:
    """The routes in whose body an organisation is named for which something is done."""
    schemas = app.test_client().get(f"{PREFIX}/openapi.json").get_json()["components"]["schemas"]
    for route in routes(app):
        content = route.described.get("requestBody", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if "organisation" in schemas.get(name, {}).get("properties", {}):
            yield route


def test_nobody_acts_for_another_organisation_by_naming_it_in_a_body(sqlite_url: str, tmp_path: Path) -> None:
    wrong: list[tuple[Any, ...]] = []
    tried = set()
    with running(settings_for(tmp_path, sqlite_url)) as app:
        client, store = app.test_client(), app.extensions["socle"].store
        committee = Committee(store)
        draft = committee.submitted()
        theirs = a_token(store, a_member(store, *ROLES, organisation="dep-01"))
        for route in naming(app):
            path = re.sub(r"\{\w+\}", str(draft), route.path)
            before = len(journal(app))
            for organisation, allowed in (("dep-71", False), ("nowhere", False), ("dep-01", True)):
                body = {**NAMED[route.operation], "organisation": organisation}
                headers = {**route.request()["headers"], **bearer(theirs)}

                status = client.open(path, method=route.method, headers=headers, json=body).status_code

                if status != 403 if not allowed else status >= 400:
                    wrong.append((route.method, path, organisation, status))
            tried.add(route.operation)
            refusals = [one["type"] for one in journal(app)[before:]]
            if refusals != ["refusal", "refusal", "action"]:
                wrong.append((route.method, path, "journal", refusals))

        voted = store.votes(draft, 1)
    assert wrong == []
    assert tried == NAMED.keys()
    assert [vote.organisation for vote in voted] == ["dep-01"]


# Hostile content by those who may

HOSTILE: dict[str, Any] = {
    "NUL": "a\x00b",
    "half a pair": "\ud800",
    "10 kB": "x" * 10_000,
    "quote": "'\"; --",
    "line end": "a\r\nX-Injected: 1",
    "right to left": "\u202e",
    "huge number": 2**63,
    "small number": -1,
    "list": [[[]]],
    "null": None,
}


FOR_POSTGRESQL = ("NUL", "half a pair", "huge number")
"""What a database may take otherwise than the other one; the rest never comes so far."""


@pytest.fixture
def anybody(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FlaskClient, str]]:
    """A client on a database of the kind that is asked for, and a token that carries every role."""
    with running(settings_for(tmp_path, request.getfixturevalue(request.param))) as app:
        store: Store = app.extensions["socle"].store
        keys_of(store)
        yield app.test_client(), a_token(store, a_member(store, *ROLES, organisation="comite"))


@pytest.mark.parametrize(
    ("anybody", "hostile"),
    [
        *(pytest.param("sqlite_url", hostile, id=name) for name, hostile in HOSTILE.items()),
        *(pytest.param("postgres_url", HOSTILE[name], id=f"{name} on PostgreSQL") for name in FOR_POSTGRESQL),
    ],
    indirect=["anybody"],
)
def test_hostile_content_of_whoever_may_write_is_never_our_fault(
    anybody: tuple[FlaskClient, str], hostile: Any
) -> None:
    client, token = anybody
    schemas = client.get(f"{PREFIX}/openapi.json").get_json()["components"]["schemas"]
    wrong = []
    for route in routes(client.application):
        if route.operation not in OPERATIONS:
            continue
        request = route.request()
        request["headers"] = {**request["headers"], **bearer(token)}
        if request.get("content_type") == "application/json":
            content = route.described["requestBody"]["content"]["application/json"]["schema"]
            properties = schemas.get(content.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
            request["data"] = json.dumps(dict.fromkeys(properties, hostile))
        text = quote(str(hostile).encode("utf-8", "surrogatepass"))
        for address in (route.address("comite"), re.sub(r"\{\w+\}", text, route.path)):
            response = client.open(address, method=route.method, **request)
            if response.status_code >= 500 or "X-Injected" in response.headers:
                wrong.append((route.method, address, response.status_code))

    assert wrong == []


# Other origins


def test_pages_of_other_origins_may_read_and_not_write(writable: Flask) -> None:
    client, wrong = writable.test_client(), []
    for route in routes(writable):
        origin = {"Origin": "https://example.org", "Access-Control-Request-Method": route.method.upper()}
        allowed = client.options(route.address("dep-71"), headers=origin).headers
        methods = {method.strip() for method in allowed["Access-Control-Allow-Methods"].split(",")}
        expected = route.method == "get" or route.operation == api_access.OPEN
        if (route.method.upper() in methods) != expected or "authorization" in allowed[
            "Access-Control-Allow-Headers"
        ].lower():
            wrong.append((route.method, route.path))
        if not expected:
            answered = client.open(route.address("dep-71"), method=route.method, headers=origin, **_body(route))
            if "Access-Control-Allow-Origin" in answered.headers:
                wrong.append((route.method, route.path))

    assert wrong == []


def _body(route: Route) -> dict[str, Any]:
    return {name: value for name, value in route.request().items() if name != "headers"}
