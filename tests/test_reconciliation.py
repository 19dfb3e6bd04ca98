"""OpenRefine's Reconciliation API 0.2: what its client asks, and what a cell of a spreadsheet gets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

AT = "/reconcile/types-aide"
ORIGIN = {"Origin": "https://openrefine.example"}


def asked(client: FlaskClient, path: str = AT, status: int = 200, **form: Any) -> Any:
    """What the service answers to a form, from a page of another origin."""
    data = {name: orjson.dumps(value).decode() if not isinstance(value, str) else value for name, value in form.items()}
    response = client.post(path, data=data, headers=ORIGIN)
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    return response.get_json()


def test_a_service_describes_itself_and_each_address_that_it_names_answers(client: FlaskClient) -> None:
    manifest = client.get(AT, headers=ORIGIN).get_json()
    pinned = client.get(f"{AT}@1.0").get_json()

    assert {"versions", "name", "identifierSpace", "schemaSpace", "defaultTypes", "view"} <= manifest.keys()
    assert manifest["versions"] == ["0.2"]
    assert manifest["defaultTypes"] == [{"id": "Concept", "name": "Concept"}]
    assert "{{id}}" in manifest["view"]["url"]
    assert pinned["view"]["url"].endswith("?release=1.0")
    for kind, place in manifest["suggest"].items():
        found = client.get(f"{place['service_url']}{place['service_path']}?prefix=p", headers=ORIGIN)
        assert found.headers["Access-Control-Allow-Origin"] == "*"
        assert all({"id", "name"} <= one.keys() for one in found.get_json()["result"]), kind
    proposed = manifest["extend"]["propose_properties"]
    assert client.get(f"{proposed['service_url']}{proposed['service_path']}?type=Concept").get_json()["properties"]


def test_cells_get_concepts_by_score_and_an_exact_label_or_code_is_a_match(client: FlaskClient) -> None:
    queries = {
        "label": {"query": "APA à domicile"},
        "code": {"query": "TA-FAC-100", "limit": 1},
        "vague": {"query": "aide pour manger", "type": "Concept", "limit": 3, "type_strict": "should"},
        "nothing": {"query": "zzzzz qqqqq"},
        "empty": {"query": ""},
    }

    found = asked(client, queries=queries)
    by_address = client.get(AT, query_string={"queries": orjson.dumps(queries).decode()}).get_json()
    pinned = asked(client, f"{AT}@1.0", queries={"q0": {"query": "APA à domicile"}})

    assert by_address == found
    label, code = found["label"]["result"][0], found["code"]["result"][0]
    assert (label["id"], label["match"], label["type"]) == ("TA-AUT-110", True, [{"id": "Concept", "name": "Concept"}])
    assert (code["id"], code["match"], code["score"]) == ("TA-FAC-100", True, 100)
    vague = found["vague"]["result"]
    assert 0 < len(vague) <= 3
    assert not any(one["match"] for one in vague)
    assert [one["score"] for one in vague] == sorted((one["score"] for one in vague), reverse=True)
    assert found["nothing"]["result"] == found["empty"]["result"] == []
    assert sum(one["match"] for one in found["label"]["result"]) == 1
    assert pinned["q0"]["result"][0]["id"] == "TA-AUT-110"


def test_a_table_is_extended_with_what_concepts_say(client: FlaskClient) -> None:
    properties = [{"id": name} for name in ("prefLabel", "broader", "status", "legalBasis", "validUntil")]

    found = asked(client, extend={"ids": ["TA-AUT-110", "none"], "properties": properties})

    assert [column["id"] for column in found["meta"]] == [one["id"] for one in properties]
    row = found["rows"]["TA-AUT-110"]
    assert row["prefLabel"] == [{"str": "APA à domicile"}]
    assert row["broader"] == [{"id": "TA-AUT-100", "name": "Allocation personnalisée d'autonomie"}]
    assert row["status"] == [{"str": "active"}]
    assert set(map(str, found["rows"]["none"].values())) == {"[]"}


def test_suggestions_go_on_where_the_cursor_is_and_a_concept_is_previewed_in_a_frame(client: FlaskClient) -> None:
    first = client.get(f"{AT}/suggest/entity?prefix=aide").get_json()["result"]
    second = client.get(f"{AT}/suggest/entity?prefix=aide&cursor=10").get_json()["result"]
    preview = client.get(f"{AT}/preview?id=TA-AUT-110", headers=ORIGIN)

    assert len(first) == 10
    assert second
    assert not {one["id"] for one in first} & {one["id"] for one in second}
    assert "APA à domicile" in preview.get_data(as_text=True)
    assert "frame-ancestors *" in preview.headers["Content-Security-Policy"]
    assert "<script" not in preview.get_data(as_text=True)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"queries": "{"}, 422),
        ({"queries": "[]"}, 422),
        ({"queries": {"q0": "x"}}, 422),
        ({"queries": {"q0": {"query": 3}}}, 422),
        ({"queries": {str(number): {"query": "x"} for number in range(1_001)}}, 413),
        ({"extend": {"ids": "x", "properties": []}}, 422),
        ({"extend": {"ids": [], "properties": [{"id": "none"}]}}, 422),
    ],
)
def test_what_is_malformed_is_refused_with_what_is_accepted_to_pages_of_any_origin(
    client: FlaskClient, form: dict[str, Any], status: int
) -> None:
    problem = asked(client, status=status, **form)

    assert problem["type"].startswith("urn:socle:problem:")


def test_a_service_that_does_not_exist_is_not_found(client: FlaskClient) -> None:
    for name in ("none", "types-aide@9.9", "types-aide/preview?id=none"):
        response = client.get(f"/reconcile/{name}", headers={**ORIGIN, "Accept": "text/html"})

        assert response.status_code == 404
        assert response.get_json()["type"] == "urn:socle:problem:not-found"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
