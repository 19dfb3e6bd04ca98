"""Every read address of the API's description, walked: the promises of HTTP hold on each of them, whoever wrote it.

A new route joins the table with an address that answers; one that does not fails the first test.
"""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import brotli
import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from registry.access import ROLES
from registry.signing import sha256
from tests.conftest import running, settings_for
from tests.factories import a_member, a_token, bearer

API = "/api/v1"
PINNED = "public, max-age=31536000, immutable"
CACHING = {"pinned": PINNED, "moving": "no-cache", "private": "private, no-cache"}
TYPES = "mon-suivi-social/types-accompagnement"
CROSSWALK = "/crosswalks/{organisation}/{slug}/{nomenclature}"
RELEASE = "/nomenclatures/{slug}/releases/{version}"
CONCEPT = "/nomenclatures/mesures/concepts/ME-ACA-300"


class Read(NamedTuple):
    """A read address of the description, and one that answers there: pinned, moving, or private (it needs a token)."""

    described: str
    kind: Literal["pinned", "moving", "private"]
    address: str


def _reads(kind: Literal["pinned", "moving", "private"], *pairs: tuple[str, str] | str) -> tuple[Read, ...]:
    return tuple(Read(*((one, kind, one) if isinstance(one, str) else (one[0], kind, one[1]))) for one in pairs)


MOVING = _reads(
    "moving",
    "/nomenclatures",
    ("/nomenclatures/{slug}", "/nomenclatures/mesures"),
    ("/nomenclatures/{slug}/releases", "/nomenclatures/mesures/releases"),
    (f"{RELEASE}/status", "/nomenclatures/mesures/releases/1.0/status"),
    ("/nomenclatures/{slug}/concepts", "/nomenclatures/mesures/concepts"),
    ("/nomenclatures/{slug}/concepts/{code}", CONCEPT),
    ("/nomenclatures/{slug}/concepts/{code}/history", f"{CONCEPT}/history"),
    ("/nomenclatures/{slug}/tree", "/nomenclatures/mesures/tree"),
    ("/nomenclatures/{slug}/export", "/nomenclatures/mesures/export"),
    ("/nomenclatures/{slug}/timemap", "/nomenclatures/mesures/timemap"),
    ("/nomenclatures/{slug}/rules", "/nomenclatures/mesures/rules"),
    ("/search", "/search?q=aide"),
    ("/suggest", "/suggest?q=aide"),
    ("/candidates", "/candidates?label=aide&nomenclature=mesures"),
    ("/changes", "/changes?limit=3"),
    "/changes.atom",
    ("/log", "/log?limit=3"),
    "/log/checkpoint",
    "/keys",
    "/decisions",
    ("/translate", f"/translate?from={TYPES}&to=types-aide&code=Puma"),
    "/proposals",
    ("/proposals/{number}", "/proposals/1"),
    "/organisations",
    ("/organisations/{slug}", "/organisations/dep-28"),
    ("/code-lists/{organisation}/{slug}", f"/code-lists/{TYPES}"),
    ("/code-lists/{organisation}/{slug}/codes", f"/code-lists/{TYPES}/codes"),
    ("/crosswalks", "/crosswalks?limit=3"),
    (CROSSWALK, f"/crosswalks/{TYPES}/types-aide"),
    (f"{CROSSWALK}/editions", f"/crosswalks/{TYPES}/types-aide/editions"),
    (f"{CROSSWALK}/status", f"/crosswalks/{TYPES}/types-aide/status"),
    (f"{CROSSWALK}/review", f"/crosswalks/{TYPES}/types-aide/review?limit=3"),
)
FIXED = _reads(
    "pinned",
    ("/translate", f"/translate?from={TYPES}@1&to=types-aide@2.0&code=Puma"),
    (RELEASE, "/nomenclatures/mesures/releases/1.0"),
    (f"{RELEASE}/manifest", "/nomenclatures/mesures/releases/1.0/manifest"),
    ("/nomenclatures/{slug}/diff", "/nomenclatures/mesures/diff?from=1.0&to=2.0"),
    ("/nomenclatures/{slug}/diff", "/nomenclatures/mesures/diff?from=1.0&to=2.0&format=ndjson"),
    ("/nomenclatures/{slug}/concepts", "/nomenclatures/mesures/concepts?release=1.0"),
    ("/nomenclatures/{slug}/concepts/{code}", f"{CONCEPT}?release=1.0"),
    ("/nomenclatures/{slug}/tree", "/nomenclatures/mesures/tree?release=1.0"),
    ("/nomenclatures/{slug}/export", "/nomenclatures/mesures/export?release=1.0"),
    ("/nomenclatures/{slug}/export", "/nomenclatures/mesures/export?release=1.0&format=archive"),
    (CROSSWALK, f"/crosswalks/{TYPES}/types-aide?edition=1"),
    (CROSSWALK, f"/crosswalks/{TYPES}/types-aide?edition=1&format=sssom"),
    (f"{CROSSWALK}/status", f"/crosswalks/{TYPES}/types-aide/status?edition=1"),
    (f"{CROSSWALK}/diff", f"/crosswalks/{TYPES}/types-aide/diff?from=1&to=1"),
)
PRIVATE = _reads(
    "private",
    "/drafts",
    ("/drafts/{number}", "/drafts/{draft}"),
    ("/drafts/{number}/changes", "/drafts/{draft}/changes"),
    ("/drafts/{number}/concepts/{code}", "/drafts/{draft}/concepts/ME-ACA-300"),
    ("/drafts/{number}/export", "/drafts/{draft}/export?format=turtle"),
    ("/drafts/{number}/impact", "/drafts/{draft}/impact"),
    ("/drafts/{number}/problems", "/drafts/{draft}/problems"),
    (f"{CROSSWALK}/draft", f"/crosswalks/{TYPES}/types-aide/draft"),
    (f"{CROSSWALK}/draft/diff", f"/crosswalks/{TYPES}/types-aide/draft/diff"),
    (f"{CROSSWALK}/draft/export", f"/crosswalks/{TYPES}/types-aide/draft/export?format=csv"),
    (f"{CROSSWALK}/draft/problems", f"/crosswalks/{TYPES}/types-aide/draft/problems"),
    (f"{CROSSWALK}/draft/review", f"/crosswalks/{TYPES}/types-aide/draft/review"),
    ("/journal", "/journal?limit=3"),
    "/me",
    "/tokens",
    "/webhooks",
    ("/webhooks/{number}", "/webhooks/1"),
    ("/webhooks/{number}/deliveries", "/webhooks/1/deliveries"),
)
READS = (*MOVING, *FIXED, *PRIVATE)
GATE = "/nomenclatures/{slug}"
"""The address that leads, by a date, to the release in force then."""
OF_THE_WHOLE_DRAFT = f"{CROSSWALK}/draft"
"""Its tag is that of the draft, whatever the page: the next change is made from it."""
DATED = re.compile(r".*(concepts|ME-ACA-300|tree|export|diff|releases/1\.0|manifest|types-aide(/status)?)(\?.*)?")
"""Addresses where one release or edition is read: what they give is as old as that."""

OF_ONE_RELEASE = re.compile(r".*/(concepts|ME-ACA-300|tree|export|types-aide(/status)?)")
"""Moving addresses that follow from one release or edition alone."""
OF_CONTENT = re.compile(
    r"(?i)(from|join) (state|parent|note|label|lineage|member|mapping|local_code|code_state|draft)\b"
)
"""Statements that touch what a release, an edition or a draft holds."""

each_read = pytest.mark.parametrize("read", READS, ids=lambda read: f"{read.kind} {read.address}")


class Reader(NamedTuple):
    """A client that shows its token where one is needed."""

    client: FlaskClient
    token: str
    draft: str

    def url(self, read: Read) -> str:
        """Where to ask: drafts have the numbers that they are given."""
        return API + read.address.replace("{draft}", self.draft)

    def ask(self, read: Read, *, method: str = "GET", more: str = "", **headers: str) -> TestResponse:
        """Ask at an address of the table, perhaps with one more parameter."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url(read)}{('&' if '?' in read.address else '?') + more if more else ''}"
        return self.client.open(
            url, method=method, headers=given | (bearer(self.token) if read.kind == "private" else {})
        )


@pytest.fixture(scope="module")
def registry(shipped_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, str, str]]:
    """All that is shipped with one of each thing that only some may read, and the token of somebody who may."""
    folder = shutil.copytree(shipped_folder, tmp_path_factory.mktemp("table") / "data")
    with running(settings_for(folder, webhooks_hosts="vendor.example")) as app:
        store, client = app.extensions["socle"].store, app.test_client()
        token = a_token(store, a_member(store, *ROLES, organisation="mon-suivi-social"))
        row = "code;libellé;cible;relation\nPuma;Puma;;\n".encode()
        said = {"nomenclature": "mesures", "code": "ME-ACA-300", "what": "Un mot de plus.", "why": "Il manque."}
        made = (
            client.post(f"{API}/drafts", json={"nomenclature": "mesures"}, headers=bearer(token)),
            client.post(f"{API}/proposals", json=said, headers=bearer(token)),
            client.post(f"{API}/webhooks", json={"url": "https://vendor.example/"}, headers=bearer(token)),
            client.put(
                f"{API}/crosswalks/{TYPES}/types-aide/draft?drop=true",
                data=row,
                headers=bearer(token, If_None_Match="*"),
            ),
        )
        assert [one.status_code for one in made] == [201] * 4, [one.get_data(as_text=True)[:300] for one in made]
        yield app, token, made[0].headers["Location"].rpartition("/")[2]


@pytest.fixture
def reader(registry: tuple[Flask, str, str]) -> Reader:
    """Somebody who may read every address of the table."""
    app, token, draft = registry
    return Reader(app.test_client(), token, draft)


def of(response: TestResponse, *names: str) -> dict[str, str | None]:
    """Some headers of a response."""
    return {name: response.headers.get(name) for name in names}


def decoded(response: TestResponse) -> bytes:
    """The body without its content coding."""
    decode: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}
    return decode[response.headers.get("Content-Encoding")](response.data)


def test_the_table_has_every_read_address_of_the_description(reader: Reader) -> None:
    paths = reader.client.get(f"{API}/openapi.json").get_json()["paths"]

    described = {
        path.removeprefix(API): bool(item["get"].get("security")) for path, item in paths.items() if "get" in item
    }

    assert described == {read.described: read.kind == "private" for read in READS}


@each_read
def test_an_answer_carries_its_validators_and_says_who_may_keep_it(reader: Reader, read: Read) -> None:
    response = reader.ask(read)

    negotiated = {name.strip() for name in response.headers["Vary"].split(",")}
    dated = read.kind != "private" and DATED.fullmatch(read.address) is not None
    assert response.status_code == 200, response.data[:300]
    assert response.headers["Cache-Control"] == CACHING[read.kind]
    more = "Authorization" if read.kind == "private" else "Accept-Datetime" if read.described == GATE else "Accept"
    assert negotiated == {"Accept", "Accept-Encoding", more}
    assert int(response.headers["Content-Length"]) == len(response.data)
    if read.described != OF_THE_WHOLE_DRAFT:
        assert response.headers["ETag"] == f'"{sha256(response.data)}"'
    assert ("Last-Modified" in response.headers) == dated
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert len(response.headers["X-Request-Id"]) == 16
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Link", "Content-Location"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))


@each_read
def test_what_the_client_has_already_is_not_sent_again(reader: Reader, read: Read) -> None:
    whole = reader.ask(read)
    tag = whole.headers["ETag"]

    shapes = ("{}", "W/{}", "*", '"other", {} , "more"', '"other",W/{}')
    for shape in shapes[: 2 if read.kind == "private" else None]:
        again = reader.ask(read, If_None_Match=shape.format(tag))
        assert (again.status_code, again.data) == (304, b""), shape
        kept = ("ETag", "Vary", "Cache-Control", "Content-Location", "Link", "Access-Control-Allow-Origin")
        assert of(again, *kept) == of(whole, *kept)
        assert not {"Content-Type", "Content-Length", "Content-Encoding"} & {name for name, _ in again.headers}
    headed = reader.ask(read, method="HEAD", If_None_Match=tag)
    other = reader.ask(read, If_None_Match='"other"')

    assert headed.status_code == 304
    assert (other.status_code, other.data) == (200, whole.data)


@pytest.mark.parametrize("read", [*MOVING, *FIXED], ids=lambda read: f"{read.kind} {read.address}")
def test_what_is_given_again_is_what_was_rendered_to_the_header(reader: Reader, read: Read) -> None:
    fresh = {"Accept": "*/*;q=0.7", "Accept-Encoding": "gzip;q=0.7"}  # Nobody else asks so: it is rendered now.

    answers = [reader.client.get(reader.url(read), headers=fresh) for _ in ("by Flask", "before Flask")]
    answers.append(reader.client.get(reader.url(read), headers=fresh | bearer(reader.token)))
    fresh["If-None-Match"] = answers[0].headers["ETag"]
    unchanged = [reader.client.get(reader.url(read), headers=fresh | more) for more in ({}, bearer(reader.token))]

    told = [{pair for pair in one.headers.items() if pair[0] != "X-Request-Id"} for one in (*answers, *unchanged)]
    assert [one.status_code for one in (*answers, *unchanged)] == [200, 200, 200, 304, 304]
    assert {one.data for one in answers} == {answers[0].data}
    assert told[0] == told[1] == told[2]
    assert told[3] == told[4]
    assert len({one.headers["X-Request-Id"] for one in (*answers, *unchanged)}) == 5


@pytest.mark.parametrize("read", [*MOVING, *FIXED], ids=lambda read: f"{read.kind} {read.address}")
def test_files_are_had_in_parts_and_nothing_else_is(reader: Reader, read: Read) -> None:
    whole = reader.ask(read)

    part = reader.ask(read, Range="bytes=2-6", Accept_Encoding="br", If_Range=whole.headers["ETag"])

    is_file = "/export" in read.address or "format=sssom" in read.address
    assert whole.headers.get("Accept-Ranges") == ("bytes" if is_file else None)
    assert (part.status_code, part.data) == ((206, whole.data[2:7]) if is_file else (200, whole.data))


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """Every statement that reaches the database meanwhile, as SQLite was given it."""
    engine, found = app.extensions["socle"].store.database.engine, list[str]()

    def watch(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(found.append)

    def unwatch(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(None)

    event.listen(engine, "checkout", watch)
    event.listen(engine, "checkin", unwatch)
    try:
        yield found
    finally:
        event.remove(engine, "checkout", watch)
        event.remove(engine, "checkin", unwatch)


@pytest.mark.parametrize("read", [*MOVING, *FIXED], ids=lambda read: f"{read.kind} {read.address}")
def test_what_has_not_changed_is_known_without_reading_it(
    registry: tuple[Flask, str, str], reader: Reader, read: Read
) -> None:
    app, token, _ = registry
    tag = reader.ask(read, Accept_Encoding="br").headers["ETag"]

    with statements(app) as anonymous:
        polled = reader.ask(read, Accept_Encoding="br", If_None_Match=tag)
    with statements(app) as known:
        by_token = reader.ask(read, Accept_Encoding="br", If_None_Match=tag, **bearer(token))

    assert (polled.status_code, by_token.status_code) == (304, 304)
    stamps = 0 if read.kind == "pinned" else 1
    assert len(anonymous) == stamps
    assert all("max(log.seq)" in one for one in anonymous)
    # Whoever shows a token is looked up first.
    assert not [one for one in known if OF_CONTENT.search(one)]
    assert len([one for one in known if "max(log.seq)" in one]) == stamps


@pytest.mark.parametrize("read", [read for read in MOVING if OF_ONE_RELEASE.fullmatch(read.address)])
def test_a_change_elsewhere_costs_a_poll_of_a_release_one_look_at_the_releases(
    registry: tuple[Flask, str, str], reader: Reader, read: Read
) -> None:
    app, _, _ = registry
    tag = reader.ask(read).headers["ETag"]
    a_member(app.extensions["socle"].store, organisation="dep-28")

    with statements(app) as after:
        polled = reader.ask(read, If_None_Match=tag)
    with statements(app) as again:
        reader.ask(read, If_None_Match=tag)

    assert polled.status_code == 304
    assert not [one for one in after if OF_CONTENT.search(one)]
    assert (len(after), len(again)) == (2, 1)


@each_read
def test_head_has_the_headers_of_get_and_no_body(reader: Reader, read: Read) -> None:
    got = reader.ask(read)

    headed = reader.ask(read, method="HEAD")

    varying = {"X-Request-Id", "Date"}
    assert (headed.status_code, headed.data) == (200, b"")
    assert {item for item in headed.headers.items() if item[0] not in varying} == {
        item for item in got.headers.items() if item[0] not in varying
    }


@each_read
def test_compressed_answers_hold_the_same_bytes_under_tags_of_their_own(reader: Reader, read: Read) -> None:
    plain = reader.ask(read)
    asked = {"gzip": "gzip", "gzip, br": "br", "br;q=0, gzip;q=0": None, "br;q=0, *": "gzip", "identity": None}
    if read.kind == "private":  # They are rendered each time, and never compressed.
        asked = {"gzip, br": "br"}
    answers = {coding: reader.ask(read, Accept_Encoding=coding) for coding in asked}
    again = {
        coding: reader.ask(read, Accept_Encoding=coding, If_None_Match=one.headers["ETag"])
        for coding, one in answers.items()
    }

    assert {decoded(one) for one in answers.values()} == {plain.data}
    assert all(int(one.headers["Content-Length"]) == len(one.data) for one in answers.values())
    # What is told to one person alone is not compressed: its length would tell others what it holds.
    small = len(plain.data) < 500 or read.kind == "private" or "zip" in str(plain.mimetype)
    given = {coding: one.headers.get("Content-Encoding") for coding, one in answers.items()}
    assert given == (dict.fromkeys(asked) if small else asked)
    tags = {(one.headers.get("Content-Encoding"), one.headers["ETag"]) for one in answers.values()}
    assert len(tags) == len({tag for _, tag in tags}) == (1 if small else 3)
    for coding, one in answers.items():
        assert (again[coding].status_code, again[coding].headers["ETag"]) == (304, one.headers["ETag"])


@each_read
def test_what_is_not_offered_or_not_known_is_refused(reader: Reader, read: Read) -> None:
    long = ", ".join(["application/json"] * 1500)
    for accept in ("*/*;q=0", "application/json;q=0, text/turtle;q=0", "image/png", long):
        refused = reader.ask(read, Accept=accept)
        if "format=" in read.address:  # The address overrides what the headers say.
            assert refused.status_code == 200
        else:
            assert (refused.status_code, refused.mimetype) == (406, "application/problem+json")
            assert orjson.loads(refused.data)["detail"].startswith("Accept: ")
            assert {"Accept", "Accept-Encoding"} <= {name.strip() for name in refused.headers["Vary"].split(",")}
    unknown = reader.ask(read, more="relase=2.0")

    problem: dict[str, Any] = orjson.loads(unknown.data)
    assert (unknown.status_code, unknown.mimetype) == (422, "application/problem+json")
    assert problem["errors"][0]["pointer"] == "/query/relase"
    assert "/api/docs" in problem["errors"][0]["accepted"]
    assert unknown.headers["Cache-Control"] == "no-store"


@each_read
def test_other_methods_are_named_or_refused(reader: Reader, read: Read) -> None:
    asked = reader.client.options(reader.url(read), headers={"Origin": "https://example.org"})
    allowed = {method.strip() for method in asked.headers["Allow"].split(",")}

    posts = {"POST"} if read.described in ("/translate", "/candidates") else set()
    assert allowed >= {"GET", "HEAD", "OPTIONS"} | posts
    assert set(asked.headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "HEAD", "OPTIONS"} | posts
    assert asked.headers["Access-Control-Allow-Origin"] == "*"
    for method in {"DELETE", "PUT", "PATCH", "TRACE"} - allowed:
        refused = reader.client.open(reader.url(read), method=method, data=b"")
        assert (refused.status_code, refused.mimetype) == (405, "application/problem+json")
        assert "GET" in refused.headers["Allow"]
    for method in {"DELETE", "PUT", "PATCH"} & allowed:  # A write, which an anonymous visitor is refused.
        assert reader.client.open(reader.url(read), method=method, data=b"").status_code in (401, 411)
