"""Vocabularies as others publish them are imported, or refused with everything that is wrong in them.

The files are small ones of our own with the shapes of published ones: ``tests/data/vocabularies``.
"""

from __future__ import annotations

import json
import re
import shlex
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from api import create_app
from benchmarks import vocabularies
from cli.main import main
from registry.settings import read as read_settings
from registry.store import Store

from . import factories

FOLDER = Path(__file__).parent / "data/vocabularies"
FRUITS = "https://vocabulaires.example/fruits/"

AS_THEY_ARE = {
    "adresses.ttl": "rdf_is_readable 2",
    "ailleurs.ttl": "skos_is_readable 3",
    "boucle.ttl": "broader_has_no_cycle 1",
    "codelist.xml": "2 concepts, 0 groups, en fr",
    "codes-repetes.ttl": "skos_is_readable 1",
    "collection-sans-nom.ttl": "groups_are_well_formed 1",
    "collections.ttl": "3 concepts, 2 groups, fr",
    "correspondances.ttl": "skos_is_readable 1",
    "dates-fautives.ttl": "skos_is_readable 2",
    "deprecie-sans-motif.ttl": "deprecated_has_successor_or_reason 1",
    "deux-roles.ttl": "broader_has_no_cycle 1, skos_is_readable 2",
    "entites.rdf": "rdf_is_readable 1",
    "etiquettes-xl.ttl": "1 concepts, 0 groups, en fr",
    "fautes.ttl": "rdf_is_readable 4",
    "illisible.ttl": "rdf_is_readable 1",
    "jsonld.json": "1 concepts, 0 groups, en fr",
    "libelles-repetes.ttl": "one_preferred_label_per_language 1, siblings_have_distinct_labels 1",
    "liste.gc": "2 concepts, 0 groups, fr",
    "multilingue.ttl": "2 concepts, 0 groups, de en fr uk",
    "notations.ttl": "codes_have_their_shape 1, skos_is_readable 1",
    "notes.ttl": "skos_is_readable 4",
    "parent-absent.ttl": "skos_is_readable 2",
    f"plusieurs-listes.ttl {FRUITS}fruits": "1 concepts, 0 groups, fr",
    f"plusieurs-listes.ttl {FRUITS}legumes": "1 concepts, 0 groups, fr",
    "plusieurs-parents.ttl": "4 concepts, 0 groups, fr",
    f"racines.ttl {FRUITS}fruits": "skos_is_readable 1",
    f"racines.ttl {FRUITS}legumes": "skos_is_readable 2",
    "remplace-sans-date.ttl": "skos_is_readable 1",
    "sans-adresse.ttl": "skos_is_readable 2",
    "sans-francais.ttl": "2 concepts, 0 groups, en-gb fr-ca uk zh-hans",
    "sans-langue.ttl": "skos_is_readable 2",
    "skos.xml": "2 concepts, 1 groups, fr",
    "sous-classes.owl": "2 concepts, 1 groups, fr",
    "vide.ttl": "skos_is_readable 1",
}
WITH_CHOICES = AS_THEY_ARE | {
    "ailleurs.ttl": "2 concepts, 0 groups, fr",
    "codes-repetes.ttl": "2 concepts, 0 groups, fr",
    "notations.ttl": "3 concepts, 0 groups, fr",
    "notes.ttl": "skos_is_readable 2",
    "parent-absent.ttl": "2 concepts, 0 groups, fr",
    f"racines.ttl {FRUITS}fruits": "2 concepts, 0 groups, fr",
    f"racines.ttl {FRUITS}legumes": "2 concepts, 0 groups, fr",
    "remplace-sans-date.ttl": "2 concepts, 0 groups, fr",
    "sans-langue.ttl": "2 concepts, 0 groups, fr",
}
CHOICES = "--language fr --inside-only --codes iri --replaced-on 2024-01-01"


@pytest.mark.parametrize(
    ("options", "expected"), [("", AS_THEY_ARE), (CHOICES, WITH_CHOICES)], ids=["as they are", "with choices"]
)
def test_published_vocabularies_are_imported_or_refused_with_every_error_named(
    options: str, expected: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = vocabularies.main(str(FOLDER), "--errors", *shlex.split(options))

    told = capsys.readouterr().out.splitlines()
    lines = {}
    for line in told:
        if not line.startswith(" "):
            name, outcome, found = re.split(r"\s+(imported|refused) +(?:\d+ errors: )?", line)
            lines[name] = found.partition(";")[0]
            assert (outcome == "refused") == ("_" in lines[name])
    assert code == 0
    assert len(told) == len(lines) + sum(map(int, re.findall(r"(\d+) errors", "\n".join(told))))
    assert all(re.search(r": .+ : ", line) for line in told if line.startswith(" ")), "each says where"
    assert lines == expected


def test_what_a_file_leaves_open_is_asked_for_on_the_terminal_and_over_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str
) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    store = Store(sqlite_url, tmp_path / "blobs")
    release = factories.a_release(factories.a_concept("a1"), factories.a_concept("a"))
    factories.published(store, release)
    slug, file = release.nomenclature.slug, str(FOLDER / "racines.ttl")
    new = ["draft", "new", slug, file, "--json"]

    asked = CliRunner().invoke(main, new)
    misspelt = CliRunner().invoke(main, [*new, "--language", "français"])
    taken = CliRunner().invoke(main, [*new, "--scheme", f"{FRUITS}fruits", "--inside-only"])

    number = json.loads(taken.stdout)["draft"]
    [problem] = [one for one in json.loads(asked.stdout)["problems"] if one["where"] == "skos:ConceptScheme"]
    assert (asked.exit_code, misspelt.exit_code, taken.exit_code) == (1, 2, 0)
    assert f"{FRUITS}legumes" in problem["value"]
    assert "scheme" in problem["accepted"]

    client = create_app(read_settings()).test_client()
    token = factories.bearer(factories.a_token(store, factories.the_operator(store)))
    address = f"/api/v1/drafts/{number}"
    token["If-Match"] = client.get(address, headers=token).headers["ETag"]
    body = (FOLDER / "remplace-sans-date.ttl").read_bytes()
    refused = client.put(f"{address}/content?format=turtle", data=body, headers=token)
    put = client.put(f"{address}/content?format=turtle&replacedOn=2024-01-01", data=body, headers=token)
    changes = client.get(f"{address}/changes", headers=token).get_json()

    assert (refused.status_code, put.status_code) == (422, 200)
    lineage = [link for item in changes["items"] for link in item["lineage"]]
    assert {(link["old"], link["new"], link["date"], link["kind"]) for link in lineage} == {
        ("a", "b", date(2024, 1, 1).isoformat(), "overlaps")
    }
