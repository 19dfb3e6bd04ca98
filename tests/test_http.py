"""How the API speaks HTTP: validators, caching, negotiation, compression, problems, limits; on every read address."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.translate import MOST
from registry.model import french
from registry.settings import Settings
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_concept, a_release, published

API = "/api/v1"
PINNED = "public, max-age=31536000, immutable"
TYPES = "mon-suivi-social/types-accompagnement"
MESURES = f"{API}/nomenclatures/mesures"

# Every read address of the description, with the parameters that make it answer; then those that are pinned.
MOVING = {
    "/nomenclatures": "/nomenclatures",
    "/nomenclatures/{slug}": "/nomenclatures/mesures",
    "/nomenclatures/{slug}/releases": "/nomenclatures/mesures/releases",
    "/nomenclatures/{slug}/releases/{version}/status": "/nomenclatures/mesures/releases/1.0/status",
    "/nomenclatures/{slug}/concepts": "/nomenclatures/mesures/concepts",
    "/nomenclatures/{slug}/concepts/{code}": "/nomenclatures/mesures/concepts/ME-ACA-300",
    "/nomenclatures/{slug}/concepts/{code}/history": "/nomenclatures/mesures/concepts/ME-ACA-300/history",
    "/nomenclatures/{slug}/tree": "/nomenclatures/mesures/tree",
    "/nomenclatures/{slug}/export": "/nomenclatures/mesures/export",
    "/search": "/search?q=aide",
    "/suggest": "/suggest?q=aide",
    "/candidates": "/candidates?label=aide&nomenclature=mesures",
    "/changes": "/changes?limit=3",
    "/changes.atom": "/changes.atom",
    "/log": "/log?limit=3",
    "/log/checkpoint": "/log/checkpoint",
    "/keys": "/keys",
    "/decisions": "/decisions",
    "/nomenclatures/{slug}/rules": "/nomenclatures/mesures/rules",
    "/translate": f"/translate?from={TYPES}&to=types-aide&code=Puma",
    "/proposals": "/proposals",
    "/organisations": "/organisations",
    "/organisations/{slug}": "/organisations/dep-28",
    "/code-lists/{organisation}/{slug}": f"/code-lists/{TYPES}",
    "/code-lists/{organisation}/{slug}/codes": f"/code-lists/{TYPES}/codes",
    "/crosswalks": "/crosswalks?limit=3",
    "/crosswalks/{organisation}/{slug}/{nomenclature}": f"/crosswalks/{TYPES}/types-aide",
    "/crosswalks/{organisation}/{slug}/{nomenclature}/editions": f"/crosswalks/{TYPES}/types-aide/editions",
    "/crosswalks/{organisation}/{slug}/{nomenclature}/status": f"/crosswalks/{TYPES}/types-aide/status",
    "/crosswalks/{organisation}/{slug}/{nomenclature}/review": f"/crosswalks/{TYPES}/types-aide/review?limit=3",
}
FIXED = {
    "/translate": f"/translate?from={TYPES}@1&to=types-aide@2.0&code=Puma",
    "/nomenclatures/{slug}/releases/{version}": "/nomenclatures/mesures/releases/1.0",
    "/nomenclatures/{slug}/releases/{version}/manifest": "/nomenclatures/mesures/releases/1.0/manifest",
    "/nomenclatures/{slug}/diff": "/nomenclatures/mesures/diff?from=1.0&to=2.0",
    "/nomenclatures/{slug}/concepts": "/nomenclatures/mesures/concepts?release=1.0",
    "/nomenclatures/{slug}/concepts/{code}": "/nomenclatures/mesures/concepts/ME-ACA-300?release=1.0",
    "/nomenclatures/{slug}/tree": "/nomenclatures/mesures/tree?release=1.0",
    "/nomenclatures/{slug}/export": "/nomenclatures/mesures/export?release=1.0",
    "/crosswalks/{organisation}/{slug}/{nomenclature}": f"/crosswalks/{TYPES}/types-aide?edition=1",
    "/crosswalks/{organisation}/{slug}/{nomenclature}/status": f"/crosswalks/{TYPES}/types-aide/status?edition=1",
    "/crosswalks/{organisation}/{slug}/{nomenclature}/diff": f"/crosswalks/{TYPES}/types-aide/diff?from=1&to=1",
}
READS = [API + path for path in [*MOVING.values(), *FIXED.values()]]
NEGOTIATED = [
    f"{MESURES}/releases/1.0",
    f"{MESURES}/concepts/ME-ACA-300",
    f"{MESURES}/export",
    f"{API}/crosswalks/{TYPES}/types-aide",
]


def with_(path: str, name: str, value: str) -> str:
    """An address with one more parameter, already quoted."""
    return f"{path}{'&' if '?' in path else '?'}{name}={value}"


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


def test_the_tables_of_this_file_hold_every_read_address_of_the_description(client: FlaskClient) -> None:
    paths = client.get(f"{API}/openapi.json").get_json()["paths"]

    open_ = {path for path, item in paths.items() if "get" in item and "security" not in item["get"]}
    # Nothing is proposed in the shipped data: tests/test_proposals.py reads one.
    assert {path.removeprefix(API) for path in open_} == {*MOVING, *FIXED, "/proposals/{number}"}


# Validators and caching


@pytest.mark.parametrize("path", READS)
def test_what_is_pinned_may_be_kept_for_ever_and_the_rest_is_asked_again(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    pinned = path.removeprefix(API) in FIXED.values()
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == (PINNED if pinned else "no-cache")
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert response.headers["ETag"].startswith('"')
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert len(response.headers["X-Request-Id"]) == 16


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("shape", ["{}", "W/{}", "*", '"other", {} , "more"', '"other",W/{}'])
def test_what_the_client_has_already_is_not_sent_again(client: FlaskClient, path: str, shape: str) -> None:
    whole = client.get(path)

    response = client.get(path, headers={"If-None-Match": shape.format(whole.headers["ETag"])})

    assert (response.status_code, response.data) == (304, b"")
    for name in ("ETag", "Vary", "Cache-Control", "Access-Control-Allow-Origin"):
        assert response.headers[name] == whole.headers[name]
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("path", NEGOTIATED)
def test_the_tag_of_another_format_is_not_this_one(client: FlaskClient, path: str) -> None:
    document = client.get(path, headers={"Accept": "application/json"})
    other = client.get(path, headers={"Accept": "text/turtle, text/csv;q=0.9"})

    crossed = client.get(path, headers={"Accept": "application/json", "If-None-Match": other.headers["ETag"]})

    assert other.content_type != document.content_type
    assert other.headers["ETag"] != document.headers["ETag"]
    assert (crossed.status_code, crossed.data) == (200, document.data)


@pytest.mark.parametrize("path", READS)
def test_head_has_the_headers_of_get_and_no_body(client: FlaskClient, path: str) -> None:
    got = client.get(path)

    headed = client.head(path)

    varying = {"X-Request-Id", "Date"}
    assert (headed.status_code, headed.data) == (200, b"")
    assert {item for item in headed.headers.items() if item[0] not in varying} == {
        item for item in got.headers.items() if item[0] not in varying
    }


def test_a_date_is_a_validator_of_what_is_pinned_alone(client: FlaskClient) -> None:
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    earlier = {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    pinned, moving = f"{MESURES}/concepts?release=1.0", f"{MESURES}/concepts"

    statuses = [client.get(path, headers=since).status_code for path in (pinned, moving) for since in (later, earlier)]
    tagged = client.get(pinned, headers={**later, "If-None-Match": '"other"'})

    assert statuses == [304, 200, 200, 200]
    assert tagged.status_code == 200


# Compression


@pytest.mark.parametrize("path", READS)
def test_compressed_answers_hold_the_same_bytes_under_tags_of_their_own(client: FlaskClient, path: str) -> None:
    plain = client.get(path)
    zipped = client.get(path, headers={"Accept-Encoding": "gzip"})
    brotlied = client.get(path, headers={"Accept-Encoding": "gzip, br"})
    refused = client.get(path, headers={"Accept-Encoding": "br;q=0, gzip;q=0"})

    def decoded(response: Any) -> bytes:
        coding = response.headers.get("Content-Encoding")
        body: bytes = {"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}[coding](response.data)
        return body

    assert decoded(zipped) == decoded(brotlied) == refused.data == plain.data
    tags = {response.headers["ETag"] for response in (plain, zipped, brotlied)}
    assert len(tags) == (3 if len(plain.data) >= 500 else 1)
    assert zipped.headers.get("Content-Encoding") == ("gzip" if len(plain.data) >= 500 else None)


def test_a_compressed_answer_is_not_sent_again_either(client: FlaskClient) -> None:
    headers = {"Accept-Encoding": "br"}
    tag = client.get(f"{MESURES}/concepts", headers=headers).headers["ETag"]

    again = client.get(f"{MESURES}/concepts", headers={**headers, "If-None-Match": tag})
    otherwise = client.get(f"{MESURES}/concepts", headers={"If-None-Match": tag})

    assert (again.status_code, otherwise.status_code) == (304, 200)


# Methods, negotiation


@pytest.mark.parametrize("path", READS)
def test_options_says_what_may_be_done_from_any_origin(client: FlaskClient, path: str) -> None:
    response = client.options(path, headers={"Origin": "https://example.org"})

    posts = path.startswith((f"{API}/translate", f"{API}/candidates"))
    methods = {"GET", "HEAD", "OPTIONS"} | ({"POST"} if posts else set())
    assert response.status_code == 200
    assert {item.strip() for item in response.headers["Allow"].split(",")} >= methods
    assert {item.strip() for item in response.headers["Access-Control-Allow-Methods"].split(",")} == methods
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE"])
def test_another_method_is_refused_with_those_that_there_are(client: FlaskClient, path: str, method: str) -> None:
    allowed = client.options(path).headers["Allow"]

    response = client.open(path, method=method, data=b"")

    if method in allowed:  # A write, which an anonymous visitor is refused.
        problem_of(response, (401, 411))
    else:
        problem = problem_of(response, 405)
        assert "GET" in response.headers["Allow"]
        assert problem["titleFr"] == "Méthode non admise à cette adresse"


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "accept",
    ["*/*;q=0", "application/json;q=0, text/turtle;q=0", "image/png", ", ".join(["application/json"] * 1500)],
    ids=["nothing", "refused", "unknown", "1500"],
)
def test_a_format_that_is_not_offered_is_not_acceptable(client: FlaskClient, path: str, accept: str) -> None:
    response = client.get(path, headers={"Accept": accept})

    problem = problem_of(response, 406)
    assert problem["detail"].startswith("Accept: ")
    assert response.headers["Vary"] == "Accept, Accept-Encoding"


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


def test_links_lead_to_the_other_releases(client: FlaskClient) -> None:
    response = client.get(f"{MESURES}/releases/2.0")

    links = {
        relation: target
        for target, _, relation in (one.partition("; rel=") for one in response.headers.getlist("Link"))
    }
    assert links['"predecessor-version"'] == f"<{MESURES}/releases/1.0>"
    assert links['"latest-version"'] == f"<{MESURES}/releases/latest>"
    assert links['"version-history"'] == f"<{MESURES}/releases>"


def test_an_answer_that_moves_says_where_it_is_pinned(client: FlaskClient) -> None:
    moving = client.get(f"{MESURES}/concepts?at=2022-06-01&limit=5&status=active")

    pinned = client.get(moving.headers["Content-Location"])

    assert pinned.data == moving.data
    assert pinned.headers["Cache-Control"] == PINNED


# Refusals


@pytest.mark.parametrize("path", READS)
def test_a_parameter_that_does_not_exist_is_refused_by_name(client: FlaskClient, path: str) -> None:
    problem = problem_of(client.get(with_(path, "relase", "2.0")), 422)

    assert problem["errors"][0]["pointer"] == "/query/relase"
    assert "/api/docs" in problem["errors"][0]["accepted"]


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


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_in_any_part_of_an_address_is_never_our_fault(on_each: FlaskClient, text: str) -> None:
    paths = on_each.get(f"{API}/openapi.json").get_json()["paths"]
    known = {**MOVING, **FIXED}
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
        trusted = app.test_client().get(f"{API}/nomenclatures")
        other = app.test_client().get(f"{API}/nomenclatures", headers={"Host": "evil.example"})

    assert trusted.status_code == 200
    problem_of(other, 400)


# Files


@pytest.fixture
def large(tmp_path: Path, sqlite_url: str) -> Iterator[FlaskClient]:
    """A client of a registry with one release that is larger than what is kept in memory."""
    settings = settings_for(tmp_path, sqlite_url)
    concepts = [
        a_concept(f"C{n:04}", definition=french(f"{n} {'Une longue définition. ' * 100}".strip())) for n in range(600)
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


def test_the_service_says_what_is_not_ready(shipped_settings: Settings) -> None:
    with running(shipped_settings) as app:
        for file in shipped_settings.data_dir.glob("socle.db*"):
            file.write_bytes(b"this is no database" * 100)

        ready = app.test_client().get("/readyz")

    assert ready.status_code == 503
    assert ready.get_json()["database"] != "ok"
