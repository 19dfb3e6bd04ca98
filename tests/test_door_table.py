"""Every read address of the doors, walked: what HTTP promises on the API's own addresses holds on theirs too.

A new route joins the table with an address that answers; one that does not fails the first test.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.test_http_table import PINNED, decoded, of

CODE = "ME-CON-500"
SYSTEM = "https://socle.example/mesures"
IRI = f"{SYSTEM}/{CODE}"
TYPES = "mon-suivi-social/types-accompagnement"
SET = f"url={SYSTEM}?vs"
MAPPED = "/fhir/ConceptMap/mesures-1.0-2.0"

Kind = Literal["pinned", "moving", "leading"]


class Read(NamedTuple):
    """An address that answers: for ever the same, as things stand, or by leading elsewhere."""

    kind: Kind
    address: str


def _reads(kind: Kind, *addresses: str) -> tuple[Read, ...]:
    return tuple(Read(kind, address) for address in addresses)


READS = (
    *_reads(
        "leading",
        "/mesures",
        f"/mesures/{CODE}",
        f"/mesures@2.0/-/collection/{CODE}",
        f"/code-lists/{TYPES}",
        f"/code-lists/{TYPES}/Puma",
        f"/crosswalks/{TYPES}/types-aide",
        "/organisations/dep-28",
        "/rest/v1/mesures/data",
    ),
    *_reads(
        "moving",
        "/catalog",
        "/catalog?format=turtle",
        "/.well-known/void",
        "/opensearch.xml",
        "/reconcile/mesures",
        "/reconcile/mesures@2.0",
        '/reconcile/mesures?queries={"q0":{"query":"aide"}}',
        "/reconcile/mesures/suggest/entity?prefix=aide",
        "/reconcile/mesures/suggest/type?prefix=con",
        "/reconcile/mesures/suggest/property?prefix=d",
        "/reconcile/mesures/properties",
        f"/reconcile/mesures/preview?id={CODE}",
        "/fhir/metadata",
        "/fhir/CodeSystem",
        "/fhir/CodeSystem/mesures-2.0",
        "/fhir/CodeSystem/mesures-2.0/_history",
        "/fhir/CodeSystem/mesures-2.0/_history/1",
        f"/fhir/CodeSystem/$lookup?system={SYSTEM}&code={CODE}",
        f"/fhir/CodeSystem/$validate-code?url={SYSTEM}&code={CODE}",
        f"/fhir/CodeSystem/mesures-2.0/$validate-code?code={CODE}",
        f"/fhir/ValueSet/$validate-code?{SET}&system={SYSTEM}&code={CODE}",
        f"/fhir/ValueSet/mesures-2.0/$validate-code?system={SYSTEM}&code={CODE}",
        f"/fhir/ValueSet/$expand?{SET}",
        "/fhir/ValueSet/mesures-2.0/$expand",
        MAPPED,
        f"/fhir/ConceptMap/$translate?system={SYSTEM}&version=1.0&code=ME-ACA-300&target={SYSTEM}&targetsystem={SYSTEM}",
        f"{MAPPED}/$translate?system={SYSTEM}&code=ME-ACA-300",
        "/rest/v1/vocabularies?lang=fr",
        "/rest/v1/search?query=aide*",
        "/rest/v1/types",
        "/rest/v1/mesures/types",
        f"/rest/v1/label?uri={IRI}",
        f"/rest/v1/data?uri={IRI}&format=text/turtle",
        "/rest/v1/mesures/",
        "/rest/v1/mesures/topConcepts",
        "/rest/v1/mesures/search?query=aide*",
        "/rest/v1/mesures/lookup?label=Contrat d'engagement",
        "/rest/v1/mesures/groups",
        "/rest/v1/mesures/vocabularyStatistics",
        "/sdmx/v2/structure/codelist/SOCLE/CL_MESURES",
        "/sdmx/v2/structure/codelist/SOCLE?detail=allstubs",
        "/sdmx/v2/structure/codelist?detail=allstubs",
    ),
    *_reads(
        "pinned",
        f"/rest/v1/mesures@1.0/label?uri={SYSTEM}/ME-ACA-300",
        f"/rest/v1/mesures@1.0/broader?uri={SYSTEM}/ME-ACA-300",
        f"/rest/v1/mesures@1.0/children?uri={SYSTEM}/ME-ACA-300",
        f"/rest/v1/mesures@1.0/broaderTransitive?uri={SYSTEM}/ME-ACA-300",
        f"/rest/v1/mesures@1.0/hierarchy?uri={SYSTEM}/ME-ACA-300",
        "/sdmx/v2/structure/codelist/SOCLE/CL_MESURES/2.0",
    ),
)
ELSEWHERE = {
    "fhir.subsumes": "No shipped nomenclature is one of kinds: tests/test_fhir.py asks for it.",
    **{f"{door}.others": "It only says that there is nothing." for door in ("fhir", "sdmx", "skosmos")},
    "skosmos.group_members": "No shipped nomenclature has collections: tests/test_doors.py asks for it.",
}
"""Routes that nothing shipped answers 200 at, and why."""
DOORS = ("reconciliation", "linked_data", "fhir", "skosmos", "sdmx", "opensearch")

each_read = pytest.mark.parametrize("read", READS, ids=lambda read: f"{read.kind} {read.address}")


def test_the_table_has_every_read_address_of_the_doors(app: Flask) -> None:
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and rule.endpoint.partition(".")[0] in DOORS
    ]
    urls = app.url_map.bind("localhost")

    reached = {urls.match(read.address.partition("?")[0], "GET", return_rule=True)[0].rule for read in READS}

    missed = [rule.rule for rule in rules if rule.rule not in reached and rule.endpoint not in ELSEWHERE]
    assert missed == []


@each_read
def test_a_door_answers_as_the_api_does(client: FlaskClient, read: Read) -> None:
    response = client.get(read.address)

    assert response.status_code in ((302, 303) if read.kind == "leading" else (200,)), response.data[:300]
    assert response.headers["Cache-Control"] == (PINNED if read.kind == "pinned" else "no-cache")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert len(response.headers["X-Request-Id"]) == 16
    if read.address != "/opensearch.xml":  # A browser asks for it, and no page.
        asked = client.options(read.address, headers={"Origin": "https://page.example"})
        assert response.headers["Access-Control-Allow-Origin"] == asked.headers["Access-Control-Allow-Origin"] == "*"
        assert {"GET", "HEAD", "OPTIONS"} <= set(asked.headers["Access-Control-Allow-Methods"].split(", "))
    refused = client.delete(read.address)
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]


@each_read
def test_what_a_door_gave_already_is_not_sent_again(client: FlaskClient, read: Read) -> None:
    whole = client.get(read.address)
    varying = ("X-Request-Id", "Date")

    headed = client.head(read.address)

    assert (headed.status_code, headed.data) == (whole.status_code, b"")
    assert [one for one in headed.headers.items() if one[0] not in varying] == [
        one for one in whole.headers.items() if one[0] not in varying
    ]
    if read.kind == "leading":
        assert "ETag" not in whole.headers
        return
    assert {"Accept", "Accept-Encoding"} <= {name.strip() for name in whole.headers["Vary"].split(",")}
    for asked in (whole.headers["ETag"], f"W/{whole.headers['ETag']}", "*"):
        again = client.get(read.address, headers={"If-None-Match": asked})
        assert (again.status_code, again.data) == (304, b"")
        kept = ("ETag", "Vary", "Cache-Control", "Content-Security-Policy", "Access-Control-Allow-Origin")
        assert of(again, *kept) == of(whole, *kept)
    other = client.get(read.address, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.data) == (200, whole.data)


@each_read
def test_a_door_gives_the_same_bytes_in_each_coding_and_nothing_that_is_not_accepted(
    client: FlaskClient, read: Read
) -> None:
    plain = client.get(read.address)
    coded = {coding: client.get(read.address, headers={"Accept-Encoding": coding}) for coding in ("gzip", "br")}
    image = client.get(read.address, headers={"Accept": "image/png"})

    # What somebody asks of their own table is asked once: it is not kept, nor compressed for the next one.
    small = len(plain.data) < 500 or read.kind == "leading" or read.address.startswith(("/reconcile", "/opensearch"))
    for coding, answer in coded.items():
        assert decoded(answer) == plain.data
        assert answer.headers.get("Content-Encoding") == (None if small else coding)
        assert (answer.headers.get("ETag") == plain.headers.get("ETag")) == small
    if "format=" not in read.address and plain.headers.get("Vary", "").startswith("Accept"):
        assert image.status_code == 406
        assert image.headers["Cache-Control"] == "no-store"
