"""FHIR's terminology service: what the health sector's software asks, by an independent client too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.codesystem import CodeSystem
from fhirclient.models.conceptmap import ConceptMap
from fhirclient.models.valueset import ValueSet
from flask import Flask
from flask.testing import FlaskClient

from registry.store import Store
from tests.browser import served
from tests.conftest import running, settings_for
from tests.factories import a_concept, a_deprecated_concept, a_link, a_nomenclature, a_release, published

TYPES = "https://socle.example/types-aide"
ALL = f"{TYPES}?vs"
APA = "TA-AUT-110"


def told(client: FlaskClient, path: str, status: int = 200, *, body: Any = None, **query: Any) -> Any:
    """What the service answers, of which each is a resource that the standard's own models accept."""
    asked = {name.rstrip("_").replace("__", ":"): value for name, value in query.items()}
    if body is None:
        response = client.get(f"/fhir/{path}", query_string=asked)
    else:
        response = client.post(f"/fhir/{path}", json=body, query_string=asked, content_type="application/fhir+json")
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/fhir+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    found = response.get_json()
    kind = found["resourceType"]
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    model.model_validate(found)
    assert (kind == "OperationOutcome") == (status >= 400)
    return found


def parameters(**values: Any) -> dict[str, Any]:
    """A Parameters resource; a text is a code, anything with members a coding or a concept."""
    kinds = {str: "String", bool: "Boolean", int: "Integer"}
    listed = []
    for name, value in values.items():
        kind = kinds.get(type(value), "CodeableConcept" if isinstance(value, dict) and "coding" in value else "Coding")
        listed.append({"name": name, f"value{kind}": value})
    return {"resourceType": "Parameters", "parameter": listed}


def values(found: Any) -> dict[str, Any]:
    """The values of a Parameters resource by name, those with parts left out."""
    return {
        one["name"]: next(value for key, value in one.items() if key.startswith("value"))
        for one in found["parameter"]
        if "part" not in one
    }


def parts(found: Any, name: str) -> list[dict[str, Any]]:
    """The parts of each parameter of a name."""
    return [
        {part["name"]: next(value for key, value in part.items() if key != "name") for part in one["part"]}
        for one in found["parameter"]
        if one["name"] == name
    ]


def test_the_service_says_what_it_can_do_and_of_which_code_systems(client: FlaskClient) -> None:
    able = told(client, "metadata")
    terminology = told(client, "metadata", mode="terminology")
    told(client, "metadata", 400, mode="everything")

    [rest] = able["rest"]
    assert (able["fhirVersion"], rest["mode"]) == ("4.0.1", "server")
    operations = {
        (resource["type"], operation["name"]) for resource in rest["resource"] for operation in resource["operation"]
    }
    assert len(operations) == 6
    for kind, name in operations:
        assert client.get(f"/fhir/{kind}/${name}").status_code == 400, "what it can do, it does"
    known = {system["uri"]: system for system in terminology["codeSystem"]}
    assert [version["code"] for version in known[TYPES]["version"] if version["isDefault"]] == ["2.0"]


def test_resources_are_searched_and_read(client: FlaskClient) -> None:
    both = told(client, "CodeSystem", url=TYPES)
    one = told(client, "CodeSystem", url=f"{TYPES}|1.0")
    by_form = client.post("/fhir/CodeSystem/_search", data={"url": TYPES, "version": "1.0"}).get_json()
    titled = told(client, "ValueSet", title="types d'AIDE", status_="active")
    first = told(client, "ConceptMap", _count="1")
    whole = told(client, "CodeSystem/types-aide-2.0")

    assert [entry["resource"]["version"] for entry in both["entry"]] == ["1.0", "2.0"]
    assert [entry["resource"]["id"] for entry in one["entry"]] == ["types-aide-1.0"]
    assert by_form["total"] == one["total"] == 1
    assert [entry["resource"]["url"] for entry in titled["entry"]] == [ALL, ALL]
    assert "concept" not in one["entry"][0]["resource"]
    assert one["entry"][0]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert first["total"] > 50
    [following] = [link["url"] for link in first["link"] if link["relation"] == "next"]
    second = client.get(following.partition("8000")[2]).get_json()
    assert second["entry"][0]["resource"]["id"] > first["entry"][0]["resource"]["id"]
    assert whole["url"] == TYPES
    assert whole["count"] == len(whole["concept"])
    assert told(client, "CodeSystem", name__contains="TYPES", _summary="count")["total"] == 2
    assert told(client, "CodeSystem", url="https://nowhere.example")["total"] == 0
    assert told(client, "ValueSet/types-aide-2.0")["compose"]["include"] == [{"system": TYPES, "version": "2.0"}]
    [kept] = told(client, "CodeSystem/types-aide-2.0/_history")["entry"]
    version = kept["resource"]["meta"]["versionId"]
    assert told(client, f"CodeSystem/types-aide-2.0/_history/{version}") == whole
    told(client, "CodeSystem/types-aide-2.0/_history/7", 404)
    told(client, "CodeSystem/types-aide", 404)


def test_a_code_is_looked_up_by_address_and_by_parameters(client: FlaskClient) -> None:
    found = told(client, "CodeSystem/$lookup", system=TYPES, code=APA)
    posted = told(client, "CodeSystem/$lookup", body=parameters(coding={"system": TYPES, "code": APA}))
    pinned = told(client, "CodeSystem/$lookup", system=f"{TYPES}|1.0", code=APA, property="parent")
    dated = told(client, "CodeSystem/$lookup", system=TYPES, code=APA, date="2023-05-01T10:00:00Z")

    assert posted == found
    assert values(found) | {"definition": ""} == {
        "name": "Types d'aide",
        "version": "2.0",
        "display": "APA à domicile",
        "definition": "",
    }
    properties = {one["code"]: one for one in parts(found, "property")}
    assert properties["parent"]["value"] == "TA-AUT-100"
    assert properties["parent"]["description"] == "Allocation personnalisée d'autonomie"
    assert "APAD" in {one["value"] for one in parts(found, "designation")}
    assert values(pinned)["version"] == values(dated)["version"] == "1.0"
    assert {one["code"] for one in parts(pinned, "property")} == {"parent"}
    assert "child" in {
        one["code"] for one in parts(told(client, "CodeSystem/$lookup", system=TYPES, code="TA-AUT"), "property")
    }


def test_a_code_is_validated_with_its_name(client: FlaskClient) -> None:
    def valid(kind: str = "CodeSystem", identifier: str = "", **asked: Any) -> dict[str, Any]:
        return values(told(client, f"{kind}{identifier}/$validate-code", **asked))

    right = valid(url=TYPES, code=APA, display="apa à DOMICILE")
    by_another_name = valid(url=TYPES, code=APA, display="APAD")
    misnamed = valid(url=TYPES, code=APA, display="Aide sociale à l'enfance")
    unknown = valid(url=TYPES, code="TA-ZZZ")
    in_set = valid("ValueSet", url=ALL, system=TYPES, code=APA)
    in_version = valid("ValueSet", "/types-aide-1.0", system=TYPES, code=APA)
    elsewhere = valid("ValueSet", url=ALL, system="https://elsewhere.example", code=APA)
    several = {"coding": [{"system": "https://elsewhere.example", "code": "x"}, {"system": TYPES, "code": APA}]}
    concept = values(told(client, "ValueSet/$validate-code", body=parameters(url=ALL, codeableConcept=several)))

    assert right == {"result": True, "display": "APA à domicile", "code": APA, "system": TYPES, "version": "2.0"}
    assert all(one["result"] for one in (by_another_name, in_set, in_version, concept))
    assert in_version["version"] == "1.0"
    assert not misnamed["result"]
    assert "APA à domicile" in misnamed["message"]
    assert not unknown["result"]
    assert not elsewhere["result"]


def test_a_value_set_is_expanded_whole_page_by_page_or_by_words(client: FlaskClient) -> None:
    whole = told(client, "ValueSet/$expand", url=ALL)["expansion"]
    page = told(client, "ValueSet/$expand", url=ALL, count="3", offset="2")["expansion"]
    none = told(client, "ValueSet/$expand", url=ALL, count="0")["expansion"]
    active = told(client, "ValueSet/$expand", body=parameters(url=ALL, activeOnly=True, count=1000))["expansion"]
    asked: dict[str, Any] = {"url": f"{ALL}|1.0", "filter": "apa", "includeDesignations": "true", "count": "5"}
    words = told(client, "ValueSet/$expand", **asked)["expansion"]
    by_id = told(client, "ValueSet/types-aide-1.0/$expand", filter="apa", count="5")["expansion"]

    codes = [one["code"] for one in whole["contains"]]
    assert (whole["total"], len(codes)) == (len(codes), len(set(codes)))
    assert ([one["code"] for one in page["contains"]], page["offset"]) == (codes[2:5], 2)
    assert (none["total"], "contains" in none) == (len(codes), False)
    assert active["total"] == len(codes) - sum("inactive" in one for one in whole["contains"])
    assert not any(one.get("inactive") for one in active["contains"])
    assert {one["version"] for one in words["contains"]} == {"1.0"}
    assert len(words["contains"]) <= 5
    assert "APA" in {name["value"] for one in words["contains"] for name in one["designation"]}
    assert [one["code"] for one in by_id["contains"]] == [one["code"] for one in words["contains"]]
    assert {"name": "version", "valueUri": f"{TYPES}|2.0"} in page["parameter"]


def test_codes_are_translated_both_ways_by_a_map_or_without_naming_one(client: FlaskClient) -> None:
    name = "dep-35.thematiques.types-aide.1"
    table = told(client, f"ConceptMap/{name}")
    [group] = table["group"]
    first = next(one for one in group["element"] if one["target"][0]["equivalence"] == "wider")
    local, shared = group["source"], first["target"][0]["code"]

    by_map = told(client, f"ConceptMap/{name}/$translate", system=local, code=first["code"])
    by_url = told(client, "ConceptMap/$translate", url=table["url"], code=first["code"])
    back = told(client, "ConceptMap/$translate", url=table["url"], system=TYPES, code=shared, reverse="true")
    free = told(client, "ConceptMap/$translate", system=local, code=first["code"], targetsystem=TYPES)
    coding = {"system": local, "code": first["code"]}
    posted = told(client, "ConceptMap/$translate", body=parameters(coding=coding, target=ALL))
    releases = told(client, "ConceptMap/$translate", system=TYPES, version="1.0", code=APA, target=f"{ALL}|2.0")
    unknown = told(client, f"ConceptMap/{name}/$translate", code="no such code")

    found = {one["concept"]["code"]: one for one in parts(by_map, "match")}
    assert values(by_map) == {"result": True}
    assert found.keys() == {target["code"] for target in first["target"]}
    assert (found[shared]["equivalence"], found[shared]["concept"]["system"]) == ("wider", TYPES)
    assert found[shared]["source"] == f"{table['url']}|1"
    assert by_url == by_map
    turned = {one["concept"]["code"]: one for one in parts(back, "match")}
    assert turned[first["code"]]["equivalence"] == "narrower"
    assert turned[first["code"]]["concept"]["system"] == local
    assert {one["concept"]["code"] for one in parts(free, "match")} == found.keys()
    assert posted == free
    assert [one["equivalence"] for one in parts(releases, "match")] == ["equivalent"]
    assert values(unknown) == {"result": False, "message": "code inconnu de la liste de départ"}
    told(client, f"ConceptMap/{name}/$translate", 422, system=TYPES, code=APA)


@pytest.fixture
def small(sqlite_url: str, tmp_path: Any) -> Iterator[FlaskClient]:
    """A client over a small nomenclature whose hierarchy is one of kinds, in two releases."""
    with running(settings_for(tmp_path, sqlite_url)) as app:
        store: Store = app.extensions["socle"].store
        kinds = a_nomenclature(generic=True)
        first = (
            a_concept("A"),
            a_concept("B", broader=("A",)),
            a_concept("C", broader=("B",)),
            a_concept("D", broader=("A",)),
        )
        published(store, a_release(*first, nomenclature=kinds))
        gone = a_deprecated_concept("D", broader=("A",), history_note=())
        second = (*first[:3], gone, a_concept("E", broader=("A",)))
        links = frozenset({a_link("D", "E")})
        published(store, a_release(*second, nomenclature=kinds, version="2.0", links=links))
        yield app.test_client()


def test_subsumption_follows_a_hierarchy_of_kinds_and_no_other(small: FlaskClient, client: FlaskClient) -> None:
    system = "https://socle.example/aides"

    def outcome(first: str, second: str) -> Any:
        return values(told(small, "CodeSystem/$subsumes", system=system, codeA=first, codeB=second))["outcome"]

    assert outcome("A", "C") == "subsumes"
    assert outcome("C", "A") == "subsumed-by"
    assert outcome("C", "D") == "not-subsumed"
    assert outcome("B", "B") == "equivalent"
    ends = {"codingA": {"system": system, "code": "A"}, "codingB": {"system": system, "code": "B"}}
    assert values(told(small, "CodeSystem/$subsumes", body=parameters(**ends))) == {"outcome": "subsumes"}
    told(small, "CodeSystem/$subsumes", 404, system=system, codeA="A", codeB="Z")
    refused = told(client, "CodeSystem/$subsumes", 422, system=TYPES, codeA="TA-AUT", codeB=APA)
    assert refused["issue"][0]["code"] == "not-supported"


def test_what_a_release_changed_is_a_map_and_the_rest_stays_what_it_was(small: FlaskClient) -> None:
    table = told(small, "ConceptMap/aides-1.0-2.0")
    moved = told(small, "ConceptMap/$translate", url=table["url"], code="D")
    kept = told(small, "ConceptMap/$translate", url=table["url"], code="A")
    old = values(told(small, "CodeSystem/$validate-code", url="https://socle.example/aides", code="D"))

    [group] = table["group"]
    assert [(one["code"], one["target"][0]["code"]) for one in group["element"]] == [("D", "E")]
    assert group["unmapped"] == {"mode": "provided"}
    assert [(one["equivalence"], one["concept"]["code"]) for one in parts(moved, "match")] == [("wider", "E")]
    assert [one["concept"]["code"] for one in parts(kept, "match")] == ["A"]
    assert (old["result"], old["inactive"]) == (True, True)


HOSTILE: tuple[tuple[str, dict[str, str], int], ...] = (
    ("CodeSystem/$lookup", {"system": TYPES}, 400),
    ("CodeSystem/$lookup", {"code": "x"}, 400),
    ("CodeSystem/$lookup", {"system": TYPES, "code": "x" * 2_000}, 400),
    ("CodeSystem/$lookup", {"system": TYPES, "code": "a\x00"}, 400),
    ("CodeSystem/$lookup", {"system": TYPES, "code": "TA-ZZZ"}, 404),
    ("CodeSystem/$lookup", {"system": f"{TYPES}|9.9", "code": APA}, 404),
    ("CodeSystem/$lookup", {"system": f"{TYPES}|1.0", "version": "2.0", "code": APA}, 400),
    ("CodeSystem/$lookup", {"system": TYPES, "code": APA, "date": "tomorrow"}, 400),
    ("CodeSystem/$lookup", {"system": "javascript:alert(1)", "code": APA}, 404),
    ("ValueSet/$expand", {"url": ALL, "count": "-1"}, 400),
    ("ValueSet/$expand", {"url": ALL, "count": "99999999999999999999"}, 400),
    ("ValueSet/$expand", {"url": ALL, "offset": "٣"}, 400),
    ("ValueSet/$expand", {"url": ALL, "activeOnly": "perhaps"}, 400),
    ("ValueSet/$expand", {"url": TYPES}, 404),
    ("ValueSet/$expand", {"url": ALL, "context": "x"}, 422),
    ("ConceptMap/$translate", {"url": "https://nowhere.example", "code": "x"}, 404),
    ("ConceptMap/$translate", {"system": TYPES, "code": APA}, 400),
    ("ConceptMap/$translate", {"system": TYPES, "code": APA, "targetsystem": "https://socle.example/mesures"}, 422),
    ("ConceptMap/$translate", {"system": "https://socle.example/code-lists/a/b/c", "code": "x", "target": ALL}, 422),
    ("CodeSystem", {"_count": "x"}, 400),
    ("CodeSystem", {"name:below": "x"}, 400),
    ("CodeSystem", {"_format": "xml"}, 406),
    ("CodeSystem/%2e%2e%2fmetadata", {}, 404),
    ("Patient", {}, 404),
    ("", {}, 404),
)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/fhir+json; charset=utf-8", 200),
        ("application/fhir+json;fhirVersion=4.0", 200),
        ("application/fhir+xml;q=0.9, application/fhir+json; fhirVersion=4.0; q=0.8", 200),
        ("application/fhir+json;fhirVersion=5.0", 406),
        ("application/fhir+xml", 406),
    ],
)
def test_what_clients_say_of_the_version_and_the_characters_is_understood(
    client: FlaskClient, accept: str, status: int
) -> None:
    response = client.get("/fhir/metadata", headers={"Accept": accept})

    assert (response.status_code, response.mimetype) == (status, "application/fhir+json")


@pytest.mark.parametrize(("path", "query", "status"), HOSTILE)
def test_what_can_not_be_answered_is_told_as_an_outcome(
    client: FlaskClient, path: str, query: dict[str, str], status: int
) -> None:
    response = client.get(f"/fhir/{path}", query_string=query)

    outcome = response.get_json()
    assert (response.status_code, outcome["resourceType"]) == (status, "OperationOutcome")
    assert all(issue["severity"] == "error" and issue["details"]["text"] for issue in outcome["issue"])
    assert "Traceback" not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/fhir+json", 400),
        (b'{"resourceType":"Patient"}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters","parameter":{}}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters","parameter":[1]}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters","parameter":[{"name":"coding"}]}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters","parameter":[{"name":"coding","valueCoding":{}}]}', "application/json", 400),
        (b'{"resourceType":"Parameters","parameter":[{"name":"code","valueCode":[]}]}', "application/json", 400),
        (b"[" * 100_000, "application/fhir+json", 400),
        (b"<Parameters/>", "application/fhir+xml", 415),
        (b"", "application/fhir+json", 411),
    ],
)
def test_a_body_that_is_no_parameters_is_refused(client: FlaskClient, body: bytes, kind: str, status: int) -> None:
    response = client.post("/fhir/CodeSystem/$lookup", data=body, content_type=kind)

    assert (response.status_code, response.get_json()["resourceType"]) == (status, "OperationOutcome")


def test_an_independent_client_finds_reads_expands_and_translates(app: Flask) -> None:
    with served(app) as site:
        smart = FHIRClient({"app_id": "socle", "api_base": f"{site}/fhir"})
        smart.prepare()
        statement = smart.server.capabilityStatement
        [found] = CodeSystem.where({"url": TYPES, "version": "2.0"}).perform_resources_iter(smart.server)
        whole = CodeSystem.read(found.id, smart.server)
        [value_set] = ValueSet.where({"url": ALL, "version": "2.0"}).perform_resources_iter(smart.server)
        expanded = ValueSet(smart.server.request_json(f"ValueSet/{value_set.id}/$expand?filter=apa&count=3"))
        table = ConceptMap.read("dep-35.thematiques.types-aide.1", smart.server)
        looked_up = smart.server.post_json(
            "CodeSystem/$lookup", parameters(coding={"system": TYPES, "code": APA})
        ).json()

    assert statement.fhirVersion == "4.0.1"
    assert (whole.url, whole.version, whole.count) == (TYPES, "2.0", len(whole.concept))
    assert expanded.expansion.contains[0].system == TYPES
    assert table.group[0].element[0].target
    assert values(looked_up)["display"] == "APA à domicile"
