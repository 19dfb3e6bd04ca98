"""How the API speaks HTTP: validators, caching, negotiation, compression, problems, limits; on every read address."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import brotli
import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import endings
from api.endings import Ending
from api.translate import MOST
from registry.model import french
from registry.settings import Settings
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import AN_INSTANT, a_concept, a_release, keys_of, published
from tests.test_http_table import FIXED, MOVING

API = "/api/v1"
PINNED = "public, max-age=31536000, immutable"
TYPES = "mon-suivi-social/types-accompagnement"
MESURES = f"{API}/nomenclatures/mesures"

NEGOTIATED = [
    f"{MESURES}/releases/1.0",
    f"{MESURES}/concepts/ME-ACA-300",
    f"{MESURES}/export",
    f"{API}/crosswalks/{TYPES}/types-aide",
]


def problem_of(response: Any, status: int | tuple[int, ...]) -> dict[str, Any]:
    """The problem in a response, which must be one with this status, and without any trace of our code."""
    assert response.status_code in (status if isinstance(status, tuple) else (status,)), response.data[:500]
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = response.get_json(force=True)
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("urn:socle:problem:")
    assert problem["title"]
    assert problem["titleFr"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert "Traceback" not in response.get_data(as_text=True)
    assert 'File "' not in response.get_data(as_text=True)
    return problem


# Validators and caching


@pytest.mark.parametrize("path", NEGOTIATED)
def test_the_tag_of_another_format_is_not_this_one(client: FlaskClient, path: str) -> None:
    document = client.get(path, headers={"Accept": "application/json"})
    other = client.get(path, headers={"Accept": "text/turtle, text/csv;q=0.9"})

    crossed = client.get(path, headers={"Accept": "application/json", "If-None-Match": other.headers["ETag"]})

    assert other.content_type != document.content_type
    assert other.headers["ETag"] != document.headers["ETag"]
    assert (crossed.status_code, crossed.data) == (200, document.data)


def test_a_date_is_a_validator_of_what_is_pinned_alone(client: FlaskClient) -> None:
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    earlier = {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    pinned, moving = f"{MESURES}/concepts?release=1.0", f"{MESURES}/concepts"

    statuses = [client.get(path, headers=since).status_code for path in (pinned, moving) for since in (later, earlier)]
    tagged = client.get(pinned, headers={**later, "If-None-Match": '"other"'})

    assert statuses == [304, 200, 200, 200]
    assert tagged.status_code == 200


# Compression


def test_a_compressed_answer_is_not_sent_again_either(client: FlaskClient) -> None:
    headers = {"Accept-Encoding": "br"}
    tag = client.get(f"{MESURES}/concepts", headers=headers).headers["ETag"]

    again = client.get(f"{MESURES}/concepts", headers={**headers, "If-None-Match": tag})
    otherwise = client.get(f"{MESURES}/concepts", headers={"If-None-Match": tag})

    assert (again.status_code, otherwise.status_code) == (304, 200)


# Methods, negotiation


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/*", "", "nonsense, */*"]
)
@pytest.mark.parametrize("path", NEGOTIATED)
def test_without_preference_the_answer_is_json(client: FlaskClient, path: str, accept: str) -> None:
    response = client.get(path, headers={"Accept": accept})

    assert (response.status_code, response.mimetype) == (200, "application/json")


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("text/turtle", "text/turtle"),
        ("application/rdf+xml", "application/rdf+xml"),
        ("application/ld+json", "application/ld+json"),
        ("application/n-triples", "application/n-triples"),
        ("text/turtle;q=0.5, application/rdf+xml;q=0.6", "application/rdf+xml"),
        ("application/json;q=0.1, text/turtle", "text/turtle"),
        ("application/ld+json; charset=utf-8", "application/ld+json"),
        ("text/turtle;charset=UTF-8;q=0.9, */*;q=0.1", "text/turtle"),
        (
            'application/ld+json;profile="http://www.w3.org/ns/json-ld#flattened", text/turtle;q=0.5',
            "application/ld+json",
        ),
    ],
)
def test_accept_decides_and_format_overrides_it(client: FlaskClient, accept: str, given: str) -> None:
    path = f"{MESURES}/concepts/ME-ACA-300"

    by_accept = client.get(path, headers={"Accept": accept})
    overridden = client.get(f"{path}?format=ntriples", headers={"Accept": "image/png"})

    assert by_accept.mimetype == given
    assert (overridden.status_code, overridden.mimetype) == (200, "application/n-triples")


def test_a_download_has_a_plain_name(client: FlaskClient) -> None:
    response = client.get(f"{MESURES}/export?format=csv-excel&release=1.0")

    assert response.headers["Content-Disposition"] == 'attachment; filename="mesures-1.0.excel.csv"'


def test_an_answer_that_moves_says_where_it_is_pinned(client: FlaskClient) -> None:
    moving = client.get(f"{MESURES}/concepts?at=2022-06-01&limit=5&status=active")

    pinned = client.get(moving.headers["Content-Location"])

    assert pinned.data == moving.data
    assert pinned.headers["Cache-Control"] == PINNED


# Through time


def links_of(response: Any) -> dict[str, str]:
    """The targets of a response's links, each under every relation that it has."""
    found: dict[str, str] = {}
    for one in response.headers.getlist("Link"):
        target, _, relations = one.partition("; rel=")
        found |= dict.fromkeys(relations.strip('"').split(), target.strip("<>"))
    return found


@pytest.fixture
def versions(sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a registry with a nomenclature of three releases, of which the last is withdrawn."""
    settings = settings_for(tmp_path, sqlite_url)
    store = Store(settings.database, settings.blobs)
    release = a_release()
    published(store, release)
    for version, valid_from in (("1.1", date(2025, 7, 1)), ("1.2", date(2025, 9, 1))):
        more = a_concept(f"C-{version}")
        release = release.with_heading(
            version=version, valid_from=valid_from, concepts={**release.concepts, more.code: more}
        )
        published(store, release)
    store.withdraw_release("aides", "1.2", "Erreur.", AN_INSTANT, keys_of(store))
    store.close()
    with running(settings) as app:
        yield app.test_client()


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("Wed, 01 Jan 2020 00:00:00 GMT", "1.0"),  # Before the first, it is the first.
        ("Mon, 30 Jun 2025 21:59:59 GMT", "1.0"),
        ("Mon, 30 Jun 2025 22:00:00 GMT", "1.1"),  # Midnight in Paris.
        ("Fri, 01 Jan 2100 00:00:00 GMT", "1.1"),
    ],
)
def test_a_date_leads_to_the_release_in_force_then(versions: FlaskClient, asked: str, version: str) -> None:
    path = f"{API}/nomenclatures/aides"
    versions.get(path)  # What is kept of it is the answer of today.

    led = versions.get(path, headers={"Accept-Datetime": asked})
    headed = versions.head(path, headers={"Accept-Datetime": asked})
    memento = versions.get(led.headers["Location"])

    assert (led.status_code, led.headers["Location"]) == (302, f"{path}/releases/{version}")
    assert (headed.status_code, headed.headers["Location"], headed.data) == (302, led.headers["Location"], b"")
    assert "accept-datetime" in led.headers["Vary"].lower()
    assert led.headers["Cache-Control"] == "no-cache"
    begun = {"1.0": "Sun, 31 Dec 2023 23:00:00 GMT", "1.1": "Mon, 30 Jun 2025 22:00:00 GMT"}
    assert memento.headers["Memento-Datetime"] == begun[version]
    for response in (led, memento):
        found = links_of(response)
        assert (found["original"], found["timegate"], found["timemap"]) == (path, path, f"{path}/timemap")


BEYOND = (
    f"Thu, 01 Jan {'9' * 20} 00:00:00 GMT",
    f"Thu, 01 Jan 2026 {'9' * 20}:00:00 GMT",
    f"Thu, 01 Jan 2026 00:00:00 +{'9' * 20}",
    "Fri, 31 Dec 9999 23:59:59 -2300",
)
"""Dates beyond what any clock tells."""


def test_a_date_beyond_all_clocks_is_as_none(versions: FlaskClient) -> None:
    path = f"{API}/nomenclatures/aides/export?release=1.0"

    for date_ in BEYOND[:3]:
        again = versions.get(path, headers={"If-Modified-Since": date_})
        part = versions.get(path, headers={"Range": "bytes=0-1", "If-Range": date_})
        assert (again.status_code, part.status_code) == (200, 200), date_
    assert versions.get(path, headers={"If-Modified-Since": BEYOND[3]}).status_code == 304


def test_a_release_from_the_first_or_the_last_of_all_days_is_told(sqlite_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, sqlite_url)
    store = Store(settings.database, settings.blobs)
    published(store, a_release(valid_from=date.min))
    published(store, a_release(a_concept("A"), a_concept("B"), a_concept("C"), version="1.1", valid_from=date.max))
    store.close()

    with running(settings) as app:
        client, path = app.test_client(), f"{API}/nomenclatures/aides"
        answers = [client.get(f"{path}{more}") for more in ("/releases/1.0", "/releases/1.1", "/timemap", "/tree")]

    assert [one.status_code for one in answers] == [200] * 4
    assert answers[0].headers["Memento-Datetime"] == "Mon, 01 Jan 0001 00:00:00 GMT"
    assert answers[1].headers["Memento-Datetime"] == "Thu, 30 Dec 9999 23:00:00 GMT"


def test_a_date_that_is_none_is_refused(versions: FlaskClient) -> None:
    for asked in ("hier", "2024-01-01", "Wed, 01 Jan 9999 00:00:00 GMT", *BEYOND):
        problem_of(versions.get(f"{API}/nomenclatures/aides", headers={"Accept-Datetime": asked}), 400)


def test_the_time_map_lists_what_each_date_leads_to(versions: FlaskClient) -> None:
    path = f"{API}/nomenclatures/aides"

    response = versions.get(f"{path}/timemap")

    span = 'from="Sun, 31 Dec 2023 23:00:00 GMT"; until="Mon, 30 Jun 2025 22:00:00 GMT"'
    assert response.mimetype == "application/link-format"
    assert response.get_data(as_text=True).splitlines() == [
        f'<{path}>; rel="original timegate",',
        f'<{path}/timemap>; rel="self"; type="application/link-format"; {span},',
        f'<{path}/releases/1.0>; rel="first memento"; datetime="Sun, 31 Dec 2023 23:00:00 GMT",',
        f'<{path}/releases/1.1>; rel="last memento"; datetime="Mon, 30 Jun 2025 22:00:00 GMT"',
    ]


def test_each_release_leads_to_those_around_it(versions: FlaskClient) -> None:
    releases = f"{API}/nomenclatures/aides/releases"

    whole = links_of(versions.get(f"{API}/nomenclatures/aides"))
    document, file = (links_of(versions.get(f"{releases}/1.1{query}")) for query in ("", "?format=turtle"))
    first, last = (links_of(versions.get(f"{releases}/{version}/status")) for version in ("1.0", "1.1"))

    assert (whole["latest-version"], whole["version-history"]) == (f"{releases}/latest", releases)
    for found in (document, file):
        assert found["predecessor-version"] == f"{releases}/1.0"
        assert (found["latest-version"], found["version-history"]) == (f"{releases}/latest", releases)
        assert "successor-version" not in found  # Nobody knew of it when these bytes were first given, for ever.
    assert first["successor-version"] == f"{releases}/1.1"
    assert last["predecessor-version"] == f"{releases}/1.0"
    assert "successor-version" not in last  # It is withdrawn.


def test_what_goes_away_says_so_with_what_to_use_instead(shipped_settings: Settings) -> None:
    ending = Ending(
        "nomenclatures.tree",
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        f"{API}/nomenclatures",
    )
    with running(shipped_settings) as app:
        endings.install(app, [ending])
        client = app.test_client()
        answers = [client.get(f"{MESURES}/tree") for _ in ("rendered", "kept")]
        answers.append(client.get(f"{MESURES}/tree", headers={"If-None-Match": answers[0].headers["ETag"]}))
        other = client.get(f"{MESURES}/concepts")

    assert [one.status_code for one in answers] == [200, 200, 304]
    for one in answers:
        assert one.headers["Deprecation"] == "@1767225600"
        assert one.headers["Sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
        assert links_of(one)["deprecation"] == links_of(one)["successor-version"] == f"{API}/nomenclatures"
    assert "Deprecation" not in other.headers


# Refusals


@pytest.mark.parametrize(
    ("query", "pointer", "accepted"),
    [
        ("release=2", "/query/release", "such as 2.0"),
        ("release=01.0", "/query/release", "such as 2.0"),
        ("release=2.0%0A", "/query/release", "such as 2.0"),
        ("release=1.0&at=2024-01-01", "/query/release", "beside"),
        ("at=2024-13-01", "/query/at", "2024-03-01"),
        ("at=hier", "/query/at", "2024-03-01"),
        ("knownAt=hier", "/query/knownAt", "2024-03-01T12:00:00Z"),
        ("lawAt=x", "/query/lawAt", "2024-03-01"),
        ("limit=0", "/query/limit", "1000"),
        ("limit=1001", "/query/limit", "1000"),
        ("limit=x", "/query/limit", "integer"),
        ("limit=" + "9" * 5000, "/query/limit", ""),
        ("cursor=%25%25", "/query/cursor", "the page before"),
        ("cursor=AA", "/query/cursor", "the page before"),
        ("cursor=" + "A" * 501, "/query/cursor", "500"),
        ("status=gone", "/query/status", "active"),
    ],
)
def test_a_bad_parameter_is_refused_with_what_is_accepted(
    client: FlaskClient, query: str, pointer: str, accepted: str
) -> None:
    problem = problem_of(client.get(f"{MESURES}/concepts?{query}"), 422)

    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert accepted in " ".join(error["accepted"] for error in problem["errors"])


@pytest.mark.parametrize(
    "path",
    [
        "/nomenclatures/mesures/releases?cursor=eA",
        "/changes?since=eA",
        "/changes?since=LTE",
        "/log?cursor=eA",
        "/crosswalks?cursor=eA",
        "/search?q=aide&cursor=eA",
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(client: FlaskClient, path: str) -> None:
    problem = problem_of(client.get(API + path), 422)

    assert "the page before" in problem["errors"][0]["accepted"]


@pytest.mark.parametrize(
    "path",
    [
        "/nomenclatures/none",
        "/nomenclatures/none/concepts",
        "/nomenclatures/mesures/releases/9.9",
        "/nomenclatures/mesures/releases/abc/manifest",
        "/nomenclatures/mesures/diff?from=1.0&to=9.9",
        "/changes?nomenclature=none",
        "/organisations/none",
        "/code-lists/none/none",
        "/crosswalks/none/none/none",
        "/nothing/here",
    ],
)
def test_what_is_not_there_is_not_found_and_asked_again_next_time(client: FlaskClient, path: str) -> None:
    response = client.get(API + path)

    problem_of(response, 404)
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.fixture(params=["app", "postgres_app"])
def on_each(request: pytest.FixtureRequest) -> FlaskClient:
    """A client of the application on each kind of database."""
    found: Flask = request.getfixturevalue(request.param)
    return found.test_client()


HOSTILE = {
    "NUL": "a%00b",
    "half a pair": "%ED%A0%80",
    "not UTF-8": "%FF%FE",
    "10 kB": "x" * 10_000,
    "quote": "'%22%3B--",
    "line end": "a%0D%0AX-Injected:%201",
    "slashes": "..%2F..%2Fetc",
}
FOR_POSTGRESQL = ("NUL", "half a pair", "quote")
"""What a database may take otherwise than the other one; the rest never comes so far."""


@pytest.mark.parametrize(
    ("on_each", "text"),
    [
        *(pytest.param("app", text, id=name) for name, text in HOSTILE.items()),
        *(pytest.param("postgres_app", HOSTILE[name], id=f"{name} on PostgreSQL") for name in FOR_POSTGRESQL),
    ],
    indirect=["on_each"],
)
def test_hostile_text_in_any_part_of_an_address_is_never_our_fault(on_each: FlaskClient, text: str) -> None:
    paths = on_each.get(f"{API}/openapi.json").get_json()["paths"]
    known = {read.described: read.address for read in (*MOVING, *FIXED)}
    addresses = [f"{API}/{text}"]
    for path, item in paths.items():
        if path.removeprefix(API) not in known:  # Not open to all: test_authorisation has it.
            continue
        parameters = [*item.get("parameters", []), *item["get"].get("parameters", [])]
        real = API + known[path.removeprefix(API)]
        for parameter in parameters:
            if parameter["in"] == "query":
                bare, _, query = real.partition("?")
                others = [pair for pair in query.split("&") if pair and not pair.startswith(f"{parameter['name']}=")]
                addresses.append(f"{bare}?{'&'.join([*others, parameter['name'] + '=' + text])}")
            else:
                parts = zip(path.split("/"), real.partition("?")[0].split("/"), strict=True)
                hostile = "/".join(text if named == f"{{{parameter['name']}}}" else part for named, part in parts)
                addresses.append(f"{hostile}{''.join(real.partition('?')[1:])}")

    answers = {address: on_each.get(address) for address in addresses}

    for address, response in answers.items():
        assert response.status_code < 500, (address[:200], response.data[:300])
        assert "X-Injected" not in response.headers
        if response.status_code >= 400:
            problem_of(response, (400, 404, 414, 422))
        elif text == HOSTILE["NUL"]:
            raise AssertionError(address)


# POST /translate


def sent(client: FlaskClient, body: bytes, **headers: str) -> Any:
    """The answer to a body, as JSON unless the headers say otherwise."""
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post(f"{API}/translate", data=body, headers=given)


def body_of(*codes: str) -> bytes:
    """A request to translate codes."""
    return orjson.dumps({"from": TYPES, "to": "types-aide", "codes": codes})


def test_ten_thousand_codes_are_translated_at_once_and_not_one_more(on_each: FlaskClient) -> None:
    codes = ["Puma", *(f"code {number}" for number in range(MOST - 1))]

    whole = sent(on_each, body_of(*codes))
    more = sent(on_each, body_of(*codes, "more"))

    assert [item["status"] for item in whole.get_json()["items"]] == ["mapped", *["unknown"] * (MOST - 1)]
    assert problem_of(more, 422)["errors"][0]["pointer"] == "/json/codes"


GOOD = body_of("Puma")
BAD_BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "a repeated key": GOOD[:-1] + b',"codes":["x"]}',
    "deep nesting": b'{"codes":' + b"[" * 60 + b"]" * 60 + b"}",
    "bottomless nesting": b"[" * 100_000,
    "5,000 digits": GOOD[:-1] + b',"n":' + b"9" * 5000 + b"}",
    "beyond 2^53": GOOD[:-1] + b',"n":9007199254740994}',
    "NaN": GOOD[:-1] + b',"n":NaN}',
    "half a pair": GOOD.replace(b"Puma", rb"\ud800"),
    "NUL": GOOD.replace(b"Puma", rb"\u0000"),
    "not UTF-8": GOOD.replace(b"Puma", b"\xff"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "an unknown member": GOOD[:-1] + b',"n":1}',
    "codes that are numbers": b'{"from":"a/b","to":"c","codes":[1]}',
    "no codes": b'{"from":"a/b","to":"c"}',
    "a long code": GOOD.replace(b"Puma", b"x" * 301),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_refused(on_each: FlaskClient, body: bytes) -> None:
    response = sent(on_each, body)

    problem_of(response, (400, 411, 422))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Transfer_Encoding": "chunked"}, 411),
        ({"Accept": "image/png"}, 406),
    ],
)
def test_a_body_sent_in_the_wrong_way_is_refused(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    response = sent(client, GOOD, **headers)

    problem_of(response, status)


@pytest.mark.parametrize(("length", "status"), [("99999999999", 413), (str(len(GOOD) + 1), 400), ("x", 400)])
def test_a_length_that_is_not_that_of_the_body_is_refused(client: FlaskClient, length: str, status: int) -> None:
    response = client.post(
        f"{API}/translate", data=GOOD, content_type="application/json", environ_overrides={"CONTENT_LENGTH": length}
    )

    problem_of(response, status)


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    response = sent(client, b" " * 5_000_001)

    problem_of(response, 413)


def test_only_the_hosts_that_are_trusted_are_answered(shipped_settings: Settings) -> None:
    settings = settings_for(shipped_settings.data_dir, trusted_hosts="socle.example, localhost")
    with running(settings) as app:
        client, path = app.test_client(), f"{MESURES}/releases/1.0"
        trusted = [client.get(path).status_code for _ in ("rendered", "kept")]
        other = client.get(path, headers={"Host": "evil.example"})

    assert trusted == [200, 200]
    problem_of(other, 400)


def test_a_kept_answer_is_given_to_no_other_address(versions: FlaskClient) -> None:
    path = f"{API}/nomenclatures/aides/concepts"
    kept = [versions.get(f"{path}/A?release=1.0") for _ in ("rendered", "kept")]

    others = [versions.get(other) for other in (f"{path}/A%3Frelease=1.0", f"{path}%2FA%3Frelease=1.0?")]

    assert [one.status_code for one in kept] == [200, 200]
    for other in others:
        problem_of(other, (400, 404))


def test_whoever_wants_an_answer_otherwise_gets_no_kept_one(versions: FlaskClient) -> None:
    path = "/fhir/CodeSystem?lang=fr"
    lenient = [versions.get(path).status_code for _ in ("rendered", "kept")]

    strict = versions.get(path, headers={"Prefer": "handling=strict"})

    assert lenient == [200, 200]
    assert strict.status_code == 400
    assert versions.get(path).status_code == 200


# Files


@pytest.fixture(scope="module")
def large(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of a registry with one release of which one file alone is larger than what is kept in memory."""
    folder = tmp_path_factory.mktemp("large")
    shutil.copyfile(sqlite_template, folder / "socle.db")
    settings = settings_for(folder)
    concepts = [
        a_concept(f"C{n:04}", definition=french(f"{n} {'Une longue définition. ' * 100}".strip())) for n in range(430)
    ]
    store = Store(settings.database, settings.blobs)
    published(store, a_release(*concepts))
    store.close()
    with running(settings) as app:
        yield app.test_client()


def test_a_large_file_is_streamed_with_its_validators(large: FlaskClient) -> None:
    path = f"{API}/nomenclatures/aides/export?release=1.0&format=ntriples"
    [sha256] = [
        file["sha256"]
        for file in large.get(f"{API}/nomenclatures/aides/releases/1.0").get_json()["files"]
        if file["format"] == "ntriples"
    ]

    with large.get(path, buffered=False) as whole, large.head(path) as headed:
        streamed, body = whole.is_streamed, whole.get_data()
        again = large.get(path, headers={"If-None-Match": f'W/"{sha256}"'})
        other = large.get(path, headers={"If-None-Match": '"other"'})

    assert streamed
    assert len(body) > 1_000_000
    assert whole.headers["ETag"] == headed.headers["ETag"] == again.headers["ETag"] == f'"{sha256}"'
    assert whole.headers["Cache-Control"] == PINNED
    assert headed.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(body))
    assert (again.status_code, again.data) == (304, b"")
    assert (other.status_code, other.data) == (200, body)
    other.close()


def had(client: FlaskClient, path: str, method: str = "GET", **headers: str) -> TestResponse:
    """An answer read to its end and closed, as a server does."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(path, method=method, headers=given, buffered=True)


LARGE = f"{API}/nomenclatures/aides/export?release=1.0&format=ntriples"
SMALL = f"{API}/nomenclatures/aides/releases/1.0?format=table-schema"


@pytest.mark.parametrize(
    ("coding", "decoded"), [("gzip", gzip.decompress), ("br", brotli.decompress)], ids=["gzip", "br"]
)
def test_a_large_file_is_compressed_as_it_is_sent(
    large: FlaskClient, coding: str, decoded: Callable[[bytes], bytes]
) -> None:
    plain = had(large, LARGE)

    coded = had(large, LARGE, Accept_Encoding=coding)
    headed = had(large, LARGE, "HEAD", Accept_Encoding=coding)
    unchanged = had(large, LARGE, Accept_Encoding=coding, If_None_Match=coded.headers["ETag"])
    other = had(large, LARGE, Accept_Encoding=coding, If_None_Match=plain.headers["ETag"])

    assert coded.headers["Content-Encoding"] == headed.headers["Content-Encoding"] == coding
    assert decoded(coded.data) == plain.data
    assert len(coded.data) < len(plain.data) / 4
    assert "Content-Length" not in headed.headers
    assert coded.headers["ETag"] == headed.headers["ETag"] == unchanged.headers["ETag"] != plain.headers["ETag"]
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert (other.status_code, other.data) == (200, coded.data)


@pytest.mark.parametrize("path", [LARGE, SMALL], ids=["streamed", "kept"])
def test_a_part_of_a_download_is_had_by_its_place(large: FlaskClient, path: str) -> None:
    whole = had(large, path)
    size = len(whole.data)
    parts = {"bytes=0-99": (0, 99), "bytes=100-": (100, size - 1), "BYTES=5-999999999999": (5, size - 1)}

    for asked, (first, last) in {
        **parts,
        "bytes=-7": (size - 7, size - 1),
        f"bytes=-{size + 9}": (0, size - 1),
    }.items():
        # A part is one of the plain bytes, so that it fits whatever comes of a coding later.
        part = had(large, path, Range=asked, Accept_Encoding="br")
        if_same = had(large, path, Range=asked, If_Range=whole.headers["ETag"])
        if_as_old = had(large, path, Range=asked, If_Range=whole.headers["Last-Modified"])
        for one in (part, if_same, if_as_old):
            assert (one.status_code, one.data) == (206, whole.data[first : last + 1]), asked
            assert one.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
            assert one.headers["Content-Length"] == str(len(one.data))
            for name in ("ETag", "Vary", "Cache-Control", "Content-Type", "Content-Location", "Last-Modified"):
                assert one.headers.get(name) == whole.headers.get(name)
    unchanged = had(large, path, Range="bytes=0-1", If_None_Match=whole.headers["ETag"])
    headed = had(large, path, "HEAD", Range="bytes=0-1")

    assert whole.headers["Accept-Ranges"] == "bytes"
    assert unchanged.status_code == 304
    assert (headed.status_code, headed.headers["Content-Length"]) == (200, str(size))


@pytest.mark.parametrize("path", [LARGE, SMALL], ids=["streamed", "kept"])
def test_a_part_that_is_not_there_is_refused_and_what_is_no_part_is_answered_whole(
    large: FlaskClient, path: str
) -> None:
    whole = had(large, path)

    for asked in ("bytes=0-1,5-6", "bytes=9-3", "bytes=-", "lines=0-1", "bytes=a-b", f"bytes={'9' * 5000}-"):
        again = had(large, path, Range=asked)
        assert (again.status_code, again.data) == (200, whole.data), asked
    for other in ('"other"', f"W/{whole.headers['ETag']}", "Sat, 01 Jan 2000 00:00:00 GMT"):
        again = had(large, path, Range="bytes=0-1", If_Range=other)
        assert (again.status_code, again.data) == (200, whole.data), other
    for beyond in (f"bytes={len(whole.data)}-", "bytes=-0"):
        refused = had(large, path, Range=beyond)
        problem_of(refused, 416)
        assert refused.headers["Content-Range"] == f"bytes */{len(whole.data)}"
        assert refused.headers["Cache-Control"] == "no-store"
        assert "ETag" not in refused.headers


@pytest.mark.parametrize("harm", ["altered", "cut", "missing"])
def test_a_damaged_file_is_an_integrity_problem_and_never_wrong_bytes(shipped_settings: Settings, harm: str) -> None:
    with running(shipped_settings) as app:
        client = app.test_client()
        files = client.get(f"{MESURES}/releases/1.0").get_json()["files"]
        sha256 = next(file["sha256"] for file in files if file["format"] == "turtle")
        [blob] = [
            path
            for path in shipped_settings.blobs.rglob("*")
            if path.name.startswith(sha256) or sha256.endswith(path.name)
        ]
        blob.chmod(0o600)
        if harm == "missing":
            blob.unlink()
        else:
            data = bytearray(blob.read_bytes())
            data[100] ^= 1
            blob.write_bytes(data[:-1] if harm == "cut" else data)

        response = client.get(f"{MESURES}/export?release=1.0&format=turtle")
        other = client.get(f"{MESURES}/export?release=1.0&format=csv")

    problem = problem_of(response, 500)
    assert problem["type"] == "urn:socle:problem:integrity"
    assert response.headers["Cache-Control"] == "no-store"
    assert other.status_code == 200


def test_the_service_says_that_it_lives_and_that_it_is_ready(client: FlaskClient) -> None:
    lives = client.get("/livez")
    ready = client.get("/readyz")

    assert (lives.status_code, lives.data) == (200, b"ok\n")
    assert (ready.status_code, ready.get_json()) == (200, {"database": "ok", "search": "ok"})


def test_the_service_says_what_is_not_ready_and_its_log_in_a_line_whatever_was_asked(
    shipped_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with running(shipped_settings) as app:
        for file in shipped_settings.data_dir.glob("socle.db*"):
            file.write_bytes(b"this is no database" * 100)

        ready = app.test_client().get("/readyz")
        app.test_client().get("/api/v1/nomenclatures/x%0AERROR:une%20autre%20ligne%1B%5B31m")

    [said] = [record.getMessage() for record in caplog.records if "autre" in record.getMessage()]
    assert said.startswith("GET /api/v1/nomenclatures/x%0A")
    assert said.isprintable()
    assert ready.status_code == 503
    assert ready.get_json()["database"] != "ok"
