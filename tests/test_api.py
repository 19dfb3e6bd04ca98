"""What people do over HTTP, on all that is shipped: a vendor, a statistician, a department, an agent."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
import rdflib
from flask import Flask
from flask.testing import FlaskClient
from rdflib.namespace import RDF, SKOS

from registry.settings import Settings
from registry.store import Store
from tests import pinned
from tests.conftest import running
from tests.factories import a_concept, a_nomenclature, a_release, published
from tests.shipped_files import ROOT as SHIPPED
from tests.shipped_files import SLUGS, shipped_document, shipped_item, shipped_release

API = "/api/v1"
PINNED = "public, max-age=31536000, immutable"
TYPES = "mon-suivi-social/types-accompagnement"
RELEASES = [(slug, item["version"]) for slug in SLUGS for item in shipped_document(slug)["releases"]]
CROSSWALKS = sorted(
    f"{folder.name}/{file.name}"
    for folder in (SHIPPED / "crosswalks").iterdir()
    for file in folder.iterdir()
    if "--" in file.name
)


def get(client: FlaskClient, path: str, status: int = 200, **query: Any) -> Any:
    """The JSON at an address, which must answer with the status."""
    response = client.get(f"{API}{path}", query_string={name.strip("_"): value for name, value in query.items()})
    assert response.status_code == status, response.get_data(as_text=True)
    return response.get_json()


def translate(client: FlaskClient, source: str, target: str, *codes: str) -> list[dict[str, Any]]:
    """What POST /translate says of each code."""
    response = client.post(f"{API}/translate", json={"from": source, "to": target, "codes": codes})
    assert response.status_code == 200, response.get_data(as_text=True)
    found: list[dict[str, Any]] = response.get_json()["items"]
    return found


# A statistician: what a code meant on a day


def test_a_code_is_read_as_it_is_today_and_as_it_was_on_a_day(client: FlaskClient) -> None:
    today = get(client, "/nomenclatures/types-aide/concepts/TA-AUT-110")
    then = get(client, "/nomenclatures/types-aide/concepts/TA-AUT-110", at="2022-06-01")

    assert (today["release"], then["release"]) == ("2.0", "1.0")
    assert today["prefLabel"] == then["prefLabel"] == {"fr": "APA à domicile"}
    assert today["broader"] == [{"code": "TA-AUT-100", "prefLabel": {"fr": "Allocation personnalisée d'autonomie"}}]


def test_the_release_changes_on_its_first_day(client: FlaskClient) -> None:
    before = get(client, "/nomenclatures/types-aide/concepts", at="2025-06-30")
    after = get(client, "/nomenclatures/types-aide/concepts", at="2025-07-01")

    assert (before["release"], after["release"]) == ("1.0", "2.0")


def test_a_day_before_the_first_release_says_from_when_there_is_one(client: FlaskClient) -> None:
    problem = get(client, "/nomenclatures/types-aide/concepts", 404, at="2021-12-31")

    assert problem["inForceFrom"] == "2022-01-01"


def test_what_was_known_at_an_instant_is_what_was_issued_by_then(client: FlaskClient) -> None:
    issued = shipped_item("types-aide", "2.0")["issued"]

    known = get(client, "/nomenclatures/types-aide/concepts", knownAt=issued)
    unknown = get(client, "/nomenclatures/types-aide/concepts", 404, knownAt="2020-01-01T00:00:00Z")

    assert known["release"] == "2.0"
    assert unknown["type"] == "urn:socle:problem:not-found"


def test_the_concepts_in_law_on_a_day_are_read_whatever_their_status(client: FlaskClient) -> None:
    last = get(
        client, "/nomenclatures/categories-accompagnement/concepts", lawAt="2023-06-29", release="2.0", limit=1000
    )
    next_ = get(
        client, "/nomenclatures/categories-accompagnement/concepts", lawAt="2023-06-30", release="2.0", limit=1000
    )

    assert "CA-AUT-200" in {item["code"] for item in last["items"]}
    assert "CA-AUT-200" not in {item["code"] for item in next_["items"]}


def test_a_deprecated_code_names_its_successor(client: FlaskClient) -> None:
    concept = get(client, "/nomenclatures/categories-accompagnement/concepts/CA-AUT-200")

    assert concept["status"] == "deprecated"
    assert [end["code"] for end in concept["replacedBy"]] == ["CA-AUT-230"]
    assert concept["replacedBy"][0]["prefLabel"] == {"fr": "Service autonomie à domicile"}


def test_a_pinned_answer_does_not_know_what_came_later(client: FlaskClient) -> None:
    concept = get(client, "/nomenclatures/categories-accompagnement/concepts/CA-AUT-200", release="1.0")

    assert (concept["status"], concept["replacedBy"]) == ("active", [])


def test_a_code_of_another_release_only_is_not_found_but_located(client: FlaskClient) -> None:
    response = client.get(f"{API}/nomenclatures/mesures/concepts/ME-CON-410?release=1.0")

    problem = response.get_json()
    assert response.status_code == 404
    assert response.headers["Cache-Control"] == "no-cache"
    assert (problem["releases"], problem["successors"]) == (["2.0"], ["ME-CON-500"])


def test_a_concept_is_named_by_its_iri(client: FlaskClient) -> None:
    iri = get(client, "/nomenclatures/mesures/concepts/ME-CON-500")["iri"]

    found = get(client, "/nomenclatures/mesures/concepts", uri=iri)
    pinned_ = get(client, "/nomenclatures/mesures/concepts", uri=f"{iri}@2.0")
    other = get(client, "/nomenclatures/types-aide/concepts", 422, uri=iri)

    assert [item["code"] for item in found["items"]] == [item["code"] for item in pinned_["items"]] == ["ME-CON-500"]
    assert "/types-aide/" in other["errors"][0]["accepted"]


def test_history_tells_each_release_that_changed_a_code(client: FlaskClient) -> None:
    history = get(client, "/nomenclatures/mesures/concepts/ME-ACA-300/history")

    assert [(item["release"], item["kinds"]) for item in history["items"]] == [
        ("1.0", ["added"]),
        ("2.0", ["annotated", "deprecated", "split"]),
    ]


def test_history_of_an_unknown_code_is_not_found(client: FlaskClient) -> None:
    problem = get(client, "/nomenclatures/mesures/concepts/ME-NONE/history", 404)

    assert problem["detail"] == "concept mesures/ME-NONE"


# The difference between two releases


def test_the_difference_shows_a_split_and_a_merge(client: FlaskClient) -> None:
    difference = get(client, "/nomenclatures/mesures/diff", from_="1.0", to="2.0")

    by_code = {change["code"]: change for change in difference["items"]}
    split = by_code["ME-ACA-300"]
    merged = by_code["ME-CON-500"]
    assert "split" in split["kinds"]
    assert {(link["new"], link["shape"]) for link in split["lineage"]} == {
        ("ME-ACA-310", "split"),
        ("ME-ACA-320", "split"),
    }
    assert {link["old"] for link in merged["lineage"]} == {"ME-CON-100", "ME-CON-200", "ME-CON-300", "ME-CON-410"}
    assert {link["shape"] for link in merged["lineage"]} == {"merged"}
    assert (difference["compatibility"], difference["leastVersion"]) == ("breaking", "2.0")


def test_the_difference_of_one_kind_says_how_many_there_are(client: FlaskClient) -> None:
    split = get(client, "/nomenclatures/mesures/diff", from_="1.0", to="2.0", kind="split")

    assert split["total"] == split["counts"]["split"] == 1


@pytest.mark.parametrize("limit", [1, 7])
def test_pages_of_a_difference_add_up_to_the_whole(client: FlaskClient, limit: int) -> None:
    whole = get(client, "/nomenclatures/mesures/diff", from_="1.0", to="2.0", limit=1000)["items"]

    pages = walked(client, "/nomenclatures/mesures/diff", from_="1.0", to="2.0", limit=limit)

    assert pages == whole


def walked(client: FlaskClient, path: str, **query: Any) -> list[Any]:
    """The items of all pages of a list; none has more than its limit."""
    items: list[Any] = []
    page = get(client, path, **query)
    while True:
        assert len(page["items"]) <= query["limit"]
        items += page["items"]
        if page["cursor"] is None:
            return items
        page = get(client, path, cursor=page["cursor"], **query)


@pytest.mark.parametrize(
    "path",
    [
        "/nomenclatures",
        "/nomenclatures/mesures/releases",
        "/nomenclatures/mesures/concepts",
        "/organisations",
        f"/code-lists/{TYPES}/codes",
        "/crosswalks",
        "/log",
    ],
)
def test_pages_of_a_list_add_up_to_the_whole(client: FlaskClient, path: str) -> None:
    whole = get(client, path, limit=1000)

    pages = walked(client, path, limit=3)

    assert pages == whole["items"]
    assert len(pages) == whole["total"]


# The tree and the lists


@pytest.mark.parametrize(("slug", "version"), RELEASES)
def test_the_tree_holds_every_concept_of_the_release(client: FlaskClient, slug: str, version: str) -> None:
    shipped = shipped_release(slug, version)

    tree = get(client, f"/nomenclatures/{slug}/tree", release=version)

    def codes(nodes: list[dict[str, Any]], parent: str = "") -> set[tuple[str, str]]:
        below = (codes(node["narrower"], node["code"]) for node in nodes)
        return {(parent, node["code"]) for node in nodes}.union(*below)

    expected = {(parent, code) for code, concept in shipped.concepts.items() for parent in concept.broader or ("",)}
    assert codes(tree["items"]) == expected
    assert tree["total"] == len(shipped.concepts)


def test_the_top_and_the_children_are_listed_by_broader(client: FlaskClient) -> None:
    tree = get(client, "/nomenclatures/mesures/tree")["items"]

    top = get(client, "/nomenclatures/mesures/concepts", broader="")["items"]
    children = get(client, "/nomenclatures/mesures/concepts", broader=tree[0]["code"])["items"]

    assert [item["code"] for item in top] == [node["code"] for node in tree]
    assert [item["code"] for item in children] == [node["code"] for node in tree[0]["narrower"]]


@pytest.mark.parametrize("where", ["latest", "current"])
@pytest.mark.parametrize("rest", ["", "/manifest", "/status"])
def test_a_moving_name_redirects_to_the_pinned_address(client: FlaskClient, where: str, rest: str) -> None:
    response = client.get(f"{API}/nomenclatures/mesures/releases/{where}{rest}")

    followed = client.get(response.headers["Location"])
    assert response.status_code == 302
    assert response.headers["Location"] == f"{API}/nomenclatures/mesures/releases/2.0{rest}"
    assert response.headers["Cache-Control"] == "no-cache"
    assert followed.status_code == 200


def test_a_redirect_keeps_the_query(client: FlaskClient) -> None:
    response = client.get(f"{API}/nomenclatures/mesures/releases/latest?format=turtle")

    assert response.headers["Location"] == f"{API}/nomenclatures/mesures/releases/2.0?format=turtle"


def test_the_manifest_chains_to_the_entry_before_it(client: FlaskClient) -> None:
    entries = get(client, "/log", limit=1000)["items"]
    manifest = client.get(f"{API}/nomenclatures/mesures/releases/2.0/manifest").text

    assert manifest in [entry["entry"] for entry in entries]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))


def test_the_status_of_a_release_knows_what_came_later(client: FlaskClient) -> None:
    first = get(client, "/nomenclatures/mesures/releases/1.0/status")
    second = get(client, "/nomenclatures/mesures/releases/2.0/status")

    assert (first["inForce"], first["validUntil"]) == (False, "2025-06-30")
    assert (second["inForce"], second["validUntil"]) == (True, None)


# A vendor: an export, and what changed since


# rdflib's own JSON-LD reader uses a class that rdflib deprecates.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("slug", "version"), RELEASES)
@pytest.mark.parametrize(
    ("format", "parser"), [("turtle", "turtle"), ("rdfxml", "xml"), ("jsonld", "json-ld"), ("ntriples", "nt")]
)
def test_rdflib_reads_as_many_concepts_as_the_release_has(
    client: FlaskClient, slug: str, version: str, format: str, parser: str
) -> None:
    concepts = get(client, f"/nomenclatures/{slug}/releases/{version}")["concepts"]

    response = client.get(f"{API}/nomenclatures/{slug}/export", query_string={"release": version, "format": format})

    graph = rdflib.Graph().parse(data=response.data, format=parser)
    assert len(set(graph.subjects(RDF.type, SKOS.Concept))) == concepts == len(shipped_release(slug, version).concepts)


def test_one_concept_in_rdf_says_what_the_whole_release_says_of_it(client: FlaskClient) -> None:
    iri = rdflib.URIRef(get(client, "/nomenclatures/types-aide/concepts/TA-AUT-110")["iri"])

    alone = client.get(f"{API}/nomenclatures/types-aide/concepts/TA-AUT-110", headers={"Accept": "text/turtle"})
    whole = client.get(f"{API}/nomenclatures/types-aide/export?format=turtle")

    told = rdflib.Graph().parse(data=alone.data, format="turtle")
    expected = rdflib.Graph().parse(data=whole.data, format="turtle")
    of_it = [SKOS.prefLabel, SKOS.altLabel, SKOS.notation, SKOS.broader, SKOS.definition]
    assert alone.content_type.startswith("text/turtle")
    for property in of_it:
        assert set(told.objects(iri, property)) == set(expected.objects(iri, property))


def fed(client: FlaskClient, limit: int, since: str = "", **query: Any) -> tuple[list[dict[str, Any]], str]:
    """All that the feed has to tell after a cursor, page by page, and the cursor to go on from."""
    items: list[dict[str, Any]] = []
    while True:
        page = get(client, "/changes", limit=limit, **({**query, "since": since} if since else query))
        assert len(page["items"]) <= limit
        items += page["items"]
        since = page["cursor"]
        if not page["more"]:
            return items, since


@pytest.mark.parametrize(
    ("limit", "query"), [(1, {"nomenclature": "mesures"}), (7, {"nomenclature": "mesures"}), (100, {})]
)
def test_the_feed_tells_everything_once_whatever_the_limit(
    client: FlaskClient, limit: int, query: dict[str, Any]
) -> None:
    whole, _ = fed(client, 1000, **query)

    items, _ = fed(client, limit, **query)

    assert items == whole


def test_the_feed_tells_every_release_and_every_change_in_the_order_of_the_log(client: FlaskClient) -> None:
    items, _ = fed(client, 1000)

    releases = [(item["nomenclature"], item["release"]) for item in items if item["type"] == "release"]
    told = [(item["seq"], item.get("code", "")) for item in items]
    expected = sum(
        get(client, f"/nomenclatures/{slug}/diff", from_="1.0", to="2.0")["total"]
        if slug != "data-inclusion-thematiques"
        else get(client, f"/nomenclatures/{slug}/diff", from_="0.27", to="1.0")["total"]
        for slug in SLUGS
    ) + sum(len(shipped_release(slug, shipped_document(slug)["releases"][0]["version"]).concepts) for slug in SLUGS)
    assert sorted(releases) == sorted(RELEASES)
    assert told == sorted(set(told))
    assert len(items) - len(releases) == expected


def test_the_feed_of_one_nomenclature_tells_of_it_alone(client: FlaskClient) -> None:
    whole, _ = fed(client, 1000)

    items, _ = fed(client, 7, nomenclature="mesures")

    assert items == [item for item in whole if item["nomenclature"] == "mesures"]


@pytest.fixture
def own(shipped_settings: Settings) -> Iterator[FlaskClient]:
    """A client of a registry of the test's own, with all that is shipped."""
    with running(shipped_settings) as found:
        yield found.test_client()


@pytest.fixture
def elsewhere(shipped_settings: Settings) -> Iterator[Store]:
    """The same registry, as another process has it open."""
    found = Store(shipped_settings.database, shipped_settings.blobs)
    yield found
    found.close()


def test_the_feed_goes_on_where_it_ended_once_a_release_comes(own: FlaskClient, elsewhere: Store) -> None:
    _, cursor = fed(own, 100)
    again, same = fed(own, 100, cursor)

    published(elsewhere, a_release(a_concept("A"), a_concept("B")))
    fresh, _ = fed(own, 1, cursor)

    assert (again, same) == ([], cursor)
    assert [(item["type"], item["nomenclature"], item.get("code")) for item in fresh] == [
        ("release", "aides", None),
        ("change", "aides", "A"),
        ("change", "aides", "B"),
    ]


def test_an_answer_that_moves_is_never_stale_after_another_process_publishes(
    own: FlaskClient, elsewhere: Store
) -> None:
    addresses = [f"{API}/nomenclatures", f"{API}/changes?limit=1000", f"{API}/log", f"{API}/search?q=zzzyx"]
    before = [own.get(address) for address in addresses]
    again = [own.get(address).headers["ETag"] for address in addresses]

    published(elsewhere, a_release(a_concept("A", pref_label=(("fr", "Zzzyx"),))))
    after = [
        own.get(address, headers={"If-None-Match": response.headers["ETag"]})
        for address, response in zip(addresses, before, strict=True)
    ]

    assert again == [response.headers["ETag"] for response in before]
    assert [response.status_code for response in after] == [200] * 4
    assert after[-1].get_json()["items"][0]["nomenclature"] == "aides"


def test_the_release_in_force_is_never_stale_after_another_process_publishes(
    own: FlaskClient, elsewhere: Store
) -> None:
    published(elsewhere, a_release())
    first = own.get(f"{API}/nomenclatures/aides/concepts")

    published(
        elsewhere, a_release(a_concept("A"), a_concept("B"), a_concept("C"), version="1.1", valid_from=date(2025, 1, 1))
    )
    by_tag = own.get(first.request.path, headers={"If-None-Match": first.headers["ETag"]})
    by_date = own.get(first.request.path, headers={"If-Modified-Since": "Mon, 01 Jan 2035 00:00:00 GMT"})

    assert first.get_json()["release"] == "1.0"
    assert [response.get_json()["release"] for response in (by_tag, by_date)] == ["1.1", "1.1"]


def test_pinned_answers_are_the_same_bytes_in_any_process_and_on_both_databases(
    app: Flask, postgres_app: Flask, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    if not pinned.EVERY:  # Publishing all anew takes as long as all the rest.
        shutil.copytree(app.extensions["socle"].settings.data_dir, folder)
    program = [sys.executable, "-m", "tests.pinned", str(folder)]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment) as other:
        here = pinned.answers(app.test_client())
        on_postgres = pinned.answers(postgres_app.test_client())
        elsewhere = orjson.loads(other.communicate()[0])

    kept = pinned.answers(app.test_client())
    with running(app.extensions["socle"].settings) as again:
        restarted = pinned.answers(again.test_client())

    assert len(here) > 200
    assert {(status, caching) for status, _, caching, _ in here.values()} == {("200", PINNED)}
    assert all(tag == f'"{body}"' for _, tag, _, body in here.values())
    assert here == kept == restarted
    assert here == on_postgres
    assert here == elsewhere


# An agent: finding the right code


def test_an_acronym_in_small_letters_finds_its_measure(client: FlaskClient) -> None:
    first = get(client, "/suggest", q="aemo")["items"][0]

    assert (first["nomenclature"], first["code"], first["release"]) == ("mesures", "ME-MOU-100", "2.0")
    assert first["why"]["kind"] == "acronym"


def test_suggestions_come_as_browsers_read_them(client: FlaskClient) -> None:
    response = client.get(f"{API}/suggest?q=aemo", headers={"Accept": "application/x-suggestions+json"})
    by_format = client.get(f"{API}/suggest?q=aemo&format=opensearch")

    asked, labels, codes = response.get_json(force=True)
    assert response.content_type == "application/x-suggestions+json"
    assert (asked, labels[0], codes[0]) == ("aemo", "Action éducative en milieu ouvert", "mesures/ME-MOU-100")
    assert by_format.data == response.data


def test_search_forgives_accents_and_says_why_it_found(client: FlaskClient) -> None:
    found = get(client, "/search", q="education milieu ouvert", nomenclature="mesures")

    assert "ME-MOU-100" in [item["code"] for item in found["items"]]
    assert all(item["why"]["kind"] and item["release"] == "2.0" for item in found["items"])


def test_a_search_reads_any_release_and_says_which(client: FlaskClient) -> None:
    old = get(client, "/search", q="contrat d'engagement réciproque", nomenclature="mesures", release="1.0")
    then = get(client, "/search", q="contrat d'engagement réciproque", at="2023-01-01")
    now = get(client, "/search", q="contrat d'engagement réciproque")

    assert [found["items"][0]["release"] for found in (old, then, now)] == ["1.0", "1.0", "2.0"]
    assert [found["items"][0]["status"] for found in (old, then, now)] == ["active", "active", "deprecated"]


def test_a_search_of_a_release_names_its_nomenclature(client: FlaskClient) -> None:
    response = client.get(f"{API}/search?q=aide&release=1.0")

    assert response.status_code == 422
    assert "nomenclature" in response.get_data(as_text=True)


def test_a_search_counts_what_it_found_by_nomenclature_and_status(client: FlaskClient) -> None:
    found = get(client, "/search", q="garantie jeunes", limit=1)

    assert sum(found["facets"]["nomenclature"].values()) == found["total"]
    assert set(found["facets"]["status"]) <= {"active", "deprecated"}


def test_browsers_are_told_how_to_search_here(client: FlaskClient) -> None:
    response = client.get("/opensearch.xml")

    root = ElementTree.fromstring(response.data)
    templates = [url.get("template", "") for url in root.iter("{http://a9.com/-/spec/opensearch/1.1/}Url")]
    assert response.mimetype == "application/opensearchdescription+xml"
    assert all("{searchTerms}" in template for template in templates)
    assert client.get(templates[1].replace("{searchTerms}", "aemo")).status_code == 200


# A department: finding the concept for its codes


def test_a_local_label_gets_its_likely_concept(client: FlaskClient) -> None:
    [first, *_] = get(
        client, "/candidates", label="Allocation personnalisée d'autonomie (APA)", nomenclature="types-aide"
    )["items"]

    assert (first["code"], first["relation"], first["sure"]) == ("TA-AUT-100", "exactMatch", True)


def test_many_local_labels_come_back_in_their_order(client: FlaskClient) -> None:
    labels = ["Téléassistance", "zzzyx", "Demande d'AEMO"]

    found = client.post(f"{API}/candidates", json={"labels": labels, "limit": 1}).get_json()

    assert [item["label"] for item in found["items"]] == labels
    assert [[one["code"] for one in item["items"]] for item in found["items"]] == [["TA-AUT-420"], [], ["ME-MOU-100"]]


def test_too_many_labels_at_once_are_refused(client: FlaskClient) -> None:
    response = client.post(f"{API}/candidates", json={"labels": ["aide"] * 1_001})

    assert response.status_code == 422


# A department: translating its codes


def test_a_code_of_mon_suivi_social_is_translated(client: FlaskClient) -> None:
    [item] = get(client, "/translate", from_=TYPES, to="types-aide", code="AideAlimentaire")["items"]

    [mapping] = item["mappings"]
    assert (item["status"], item["label"]) == ("mapped", "Aide alimentaire")
    assert mapping["relation"] == "exactMatch"
    assert (mapping["target"]["code"], mapping["target"]["release"]) == ("TA-FAC-100", "2.0")
    assert mapping["target"]["prefLabel"]["fr"]


def test_a_shared_code_is_translated_back_with_the_relation_inverted(client: FlaskClient) -> None:
    [item] = get(client, "/translate", from_="types-aide@2.0", to=TYPES, code="TA-FAC-300")["items"]

    assert item["status"] == "mapped"
    assert [(one["relation"], one["target"]["code"]) for one in item["mappings"]] == [("narrowMatch", "6b013f11")]


def test_a_shared_code_is_named_by_its_iri_in_a_translation(client: FlaskClient) -> None:
    iri = get(client, "/nomenclatures/types-aide/concepts/TA-FAC-100")["iri"]

    by_iri = get(client, "/translate", from_="types-aide", to=TYPES, uri=iri)
    refused = get(client, "/translate", 422, from_="types-aide", to=TYPES, uri="https://example.org/x")

    assert by_iri["items"][0]["code"] == "TA-FAC-100"
    assert refused["errors"][0]["pointer"] == "/query/uri"


def test_mapped_without_equivalent_unreviewed_and_unknown_are_never_mixed_up(client: FlaskClient) -> None:
    mapped, without, unreviewed, unknown = translate(
        client, "ans/r401", "mesures", *one_of_each("ans", "r401", "mesures")
    )

    assert [item["status"] for item in (mapped, without, unreviewed, unknown)] == [
        "mapped",
        "noMatch",
        "unreviewed",
        "unknown",
    ]
    assert [(one["relation"], one["target"]) for one in without["mappings"]] == [("noMatch", None)]
    assert unreviewed["label"]
    assert (unreviewed["mappings"], unknown["mappings"], unknown["label"]) == ([], [], None)


def one_of_each(organisation: str, code_list: str, nomenclature: str) -> list[str]:
    """A local code that is mapped, one without equivalent, one that nobody reviewed, and one that does not exist."""
    folder = SHIPPED / "crosswalks" / organisation
    relations = {row["local_code"]: row["relation"] for row in rows(folder / f"{code_list}--{nomenclature}.csv")}
    codes = [row["code"] for row in rows(folder / f"{code_list}.csv")]
    return [
        next(code for code in codes if relations.get(code, "noMatch") != "noMatch"),
        next(code for code in codes if relations.get(code) == "noMatch"),
        next(code for code in codes if code not in relations),
        "no such code",
    ]


def rows(file: Any) -> list[dict[str, str]]:
    """The rows of a shipped CSV file."""
    return list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"))))


def test_a_shared_code_that_no_local_code_maps_to_is_unmapped_and_not_without_equivalent(client: FlaskClient) -> None:
    unmapped, unknown = translate(client, "types-aide", TYPES, "TA-AUT-110", "TA-NONE")

    assert (unmapped["status"], unknown["status"]) == ("unmapped", "unknown")


def test_many_codes_are_translated_in_their_order_repeated_or_not(client: FlaskClient) -> None:
    codes = ["Puma", "AideAlimentaire", "Puma", "", "AideSociale"]

    items = translate(client, TYPES, "types-aide", *codes)

    assert [item["code"] for item in items] == codes
    assert items[0] == items[2]


def test_a_translation_between_two_nomenclatures_says_what_is_accepted(client: FlaskClient) -> None:
    problem = get(client, "/translate", 422, from_="mesures", to="types-aide", code="ME-CON-500")

    assert "ORG/LIST" in problem["errors"][0]["accepted"]


@pytest.mark.parametrize("path", [f"{TYPES}@9", "mon-suivi-social/none", "none/none"])
def test_a_crosswalk_that_does_not_exist_is_not_found(client: FlaskClient, path: str) -> None:
    problem = get(client, "/translate", 404, from_=path, to="types-aide", code="Puma")

    assert problem["detail"].startswith("crosswalk ")


@pytest.mark.parametrize("name", CROSSWALKS)
def test_a_crosswalk_comes_out_as_it_was_shipped(client: FlaskClient, name: str) -> None:
    code_list, _, nomenclature = name.removesuffix(".csv").partition("--")
    address = f"/crosswalks/{code_list}/{nomenclature}"

    given = client.get(f"{API}{address}", headers={"Accept": "text/csv"})
    document = get(client, address)

    shipped = rows(SHIPPED / "crosswalks" / name)
    found = list(csv.DictReader(io.StringIO(given.get_data(as_text=True))))
    ends = [(row["code"], row["relation"], (row["target"] or {"code": ""})["code"]) for row in document["items"]]
    key = lambda row: (row["local_code"], row["target_code"])  # noqa: E731 -- it is used twice, on this line and the next.
    assert sorted(found, key=key) == sorted(shipped, key=key)
    assert sorted(ends) == sorted((row["local_code"], row["relation"], row["target_code"]) for row in shipped)
    assert document["mappings"] == document["total"] == len(shipped)


def test_crosswalks_are_found_by_the_shared_code_that_they_map_to(client: FlaskClient) -> None:
    found = get(client, "/crosswalks", code="TA-FAC-100", nomenclature="types-aide", limit=1000)["items"]

    assert TYPES in [item["codeList"] for item in found]
    assert {item["nomenclature"] for item in found} == {"types-aide"}


def test_an_organisation_names_its_lists(client: FlaskClient) -> None:
    organisation = get(client, "/organisations/mon-suivi-social")
    code_list = get(client, f"/code-lists/{TYPES}")

    assert TYPES in organisation["codeLists"]
    assert code_list["codes"] == get(client, f"/code-lists/{TYPES}/codes")["total"]


def test_a_nomenclature_without_releases_is_described_and_has_none(own: FlaskClient, elsewhere: Store) -> None:
    elsewhere.add_nomenclature(a_nomenclature())

    described = get(own, "/nomenclatures/aides")
    releases = get(own, "/nomenclatures/aides/releases")
    concepts = get(own, "/nomenclatures/aides/concepts", 404)

    assert (described["current"], described["latest"]) == (None, None)
    assert releases == {"items": [], "total": 0, "cursor": None}
    assert concepts["type"] == "urn:socle:problem:not-found"
