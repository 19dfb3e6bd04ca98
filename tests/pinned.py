"""Every address that is pinned to a release or an edition, and what is answered there.

As a program, prints the answers of the registry in a folder: another process, to compare with. Where there is none yet,
all that is shipped is published there first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from flask.testing import FlaskClient

from registry import opening
from registry.formats import FORMATS
from registry.signing import sha256
from tests.conftest import publish_shipped, running, settings_for

ROOT = "/api/v1"
EVERY = os.environ.get("SOCLE_FUZZ") == "full"


def addresses(client: FlaskClient) -> Iterator[str]:
    """Every pinned address of the registry; of the concepts a sample, or all where SOCLE_FUZZ is ``full``."""

    def items(path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"{ROOT}{path}").get_json()["items"]
        return found

    for slug in (item["slug"] for item in items("/nomenclatures")):
        base = f"{ROOT}/nomenclatures/{slug}"
        versions = [item["version"] for item in items(f"/nomenclatures/{slug}/releases")]
        yield from (f"{base}/diff?from={old}&to={new}" for old in versions for new in versions)
        for version in versions:
            yield f"{base}/releases/{version}"
            yield f"{base}/releases/{version}/manifest"
            yield f"{base}/tree?release={version}"
            yield f"{base}/concepts?release={version}&limit=7&status=active"
            formats = [*FORMATS] if EVERY else [*FORMATS][(len(version) + len(slug)) % 4 :: 4]
            yield from (f"{base}/releases/{version}?format={name}" for name in formats)
            yield from (f"{base}/export?release={version}&format={name}" for name in formats)
            codes = [item["code"] for item in items(f"/nomenclatures/{slug}/concepts?release={version}&limit=1000")]
            for code in codes[:: 1 if EVERY else 50]:
                for name in ("json", "turtle", "rdfxml", "jsonld", "ntriples"):
                    yield f"{base}/concepts/{code}?release={version}&format={name}"
    for item in items("/crosswalks?limit=1000"):
        base = f"{ROOT}/crosswalks/{item['codeList']}/{item['nomenclature']}?edition={item['edition']}"
        yield base
        yield f"{base}&format=csv"


def answers(client: FlaskClient) -> dict[str, list[str]]:
    """Status, entity tag, caching and the body's SHA-256 by pinned address."""
    found = {}
    for address in addresses(client):
        response = client.get(address)
        headers = response.headers
        found[address] = [str(response.status_code), headers["ETag"], headers["Cache-Control"], sha256(response.data)]
    return found


if __name__ == "__main__":
    settings = settings_for(Path(sys.argv[1]))
    if not Path(sys.argv[1]).exists():
        opening.prepare(settings)
        publish_shipped(settings)
    with running(settings) as application:
        sys.stdout.buffer.write(orjson.dumps(answers(application.test_client())))
