"""The API keeps to its own description: no answer outside it, no 5xx, and no change of it by accident."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from registry import opening
from tests.conftest import running, settings_for

SNAPSHOT = Path(__file__).parent / "data" / "openapi.json"
DESCRIPTION = "/api/v1/openapi.json"
RENEWED_BY = ".venv/bin/python -m tests.test_openapi"

KNOWN: tuple[tuple[str, dict[str, str]], ...] = (
    ("/nomenclatures/", {"slug": "mesures", "version": "1.0", "code": "ME-ACA-300"}),
    ("/nomenclatures/", {"slug": "types-aide", "version": "latest", "code": "TA-AUT-110"}),
    ("/organisations/", {"slug": "dep-28"}),
    ("/code-lists/", {"organisation": "mon-suivi-social", "slug": "types-accompagnement"}),
    (
        "/crosswalks/",
        {"organisation": "mon-suivi-social", "slug": "types-accompagnement", "nomenclature": "types-aide"},
    ),
)
"""Values of path parameters for which there is something: generated ones would nearly always be not found."""

OPERATIONS = sum(
    method != "parameters" for item in orjson.loads(SNAPSHOT.read_bytes())["paths"].values() for method in item
)
FULL = os.environ.get("SOCLE_FUZZ") == "full"
EXAMPLES = 600 if FULL else 4


def described(client: FlaskClient) -> Any:
    """The OpenAPI document as clients get it."""
    return client.get(DESCRIPTION).get_json()


def test_the_description_is_the_snapshot(client: FlaskClient) -> None:
    found = described(client)

    kept = orjson.loads(SNAPSHOT.read_bytes())

    assert found == kept, f"The API's description changed. If that is meant: {RENEWED_BY}"


def test_every_operation_says_what_it_does_and_what_may_go_wrong(client: FlaskClient) -> None:
    operations = [
        (method, operation)
        for item in described(client)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert len(operations) == OPERATIONS
    for method, operation in operations:
        responses = operation["responses"]
        assert operation["summary"].endswith(".")
        assert {"400", "404", "406", "422", "503"} <= responses.keys()
        assert {"200", "201", "202", "204"} & responses.keys()
        assert ("304" in responses) == (method == "get")
        assert all(list(responses[status]["content"]) == ["application/problem+json"] for status in ("404", "422"))


def test_the_page_of_the_description_shows_every_operation_and_loads_nothing_from_outside(client: FlaskClient) -> None:
    page = client.get("/api/docs").get_data(as_text=True)

    assert all(path in page for path in described(client)["paths"])
    assert not any(f'{attribute}="http' in page for attribute in ("src", "srcset"))
    assert "<link" not in page or 'rel="stylesheet" href="http' not in page


def conforms(app: Flask, examples: int, *, part: int = 1) -> Callable[[], None]:
    """A test that operations answer generated requests as described, whatever database is behind them.

    It takes all operations, or one in ``part``, from one of the first.
    """
    load_all_checks()
    # A cursor is opaque, and ``release`` excludes ``at``: a request may be refused that the description lets pass.
    excluded = [CHECKS.get_one("positive_data_acceptance")]
    found = schemathesis.openapi.from_wsgi(DESCRIPTION, app).get_all_operations()
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == OPERATIONS

    def run() -> None:
        for operation in operations[random.randrange(part) :: part]:
            known = [values for part, values in KNOWN if part in operation.path]

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), values=st.sampled_from([*known, None]))
            def answers_as_described(case: Any, values: dict[str, str] | None) -> None:
                if values is not None:
                    case.path_parameters = {
                        **case.path_parameters,
                        **{name: values[name] for name in case.path_parameters if name in values},
                    }
                response = case.call(headers={"Accept-Encoding": "identity"})
                case.validate_response(response, excluded_checks=excluded)

            answers_as_described()

    return run


@pytest.mark.fuzz
def test_no_answer_is_outside_the_description(app: Flask) -> None:
    conforms(app, EXAMPLES)()


@pytest.mark.fuzz
def test_no_answer_is_outside_the_description_on_postgresql(postgres_app: Flask) -> None:
    conforms(postgres_app, max(EXAMPLES // 3, 3), part=1 if FULL else 3)()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        empty = settings_for(Path(folder))
        opening.prepare(empty)
        with running(empty) as application:
            document = described(application.test_client())
    SNAPSHOT.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
