"""Vocabularies as others publish them are imported, or refused with everything that is wrong in them.

The files are small ones of our own with the shapes of published ones: ``tests/data/vocabularies``.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from api import create_app
from benchmarks import vocabularies
from cli.main import main
from registry import sandbox
from registry.errors import Invalid, TooLarge
from registry.formats.skos_reading import content, read
from registry.formats.skos_scope import ISO_THES, SKOSXL
from registry.model import SKOS, XKOS, texts
from registry.settings import read as read_settings
from registry.signing import DCT, OWL, RDF, SCHEMA
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
    "contextes.jsonld": "1 concepts, 0 groups, fr",
    "correspondances.ttl": "skos_is_readable 1",
    "cp1252.ttl": "rdf_is_readable 1",
    "dates-fautives.ttl": "skos_is_readable 2",
    "deprecie-sans-motif.ttl": "deprecated_has_successor_or_reason 1",
    "deux-roles.ttl": "broader_has_no_cycle 1, skos_is_readable 2",
    "editeurs.ttl": "2 concepts, 2 groups, fr",
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
    "textes-pour-adresses.ttl": "skos_is_readable 6",
    "transitif.ttl": "skos_is_readable 3",
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
    "textes-pour-adresses.ttl": "skos_is_readable 5",
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


def test_what_publishers_say_in_words_of_their_own_is_read() -> None:
    found = read("turtle", (FOLDER / "editeurs.ttl").read_bytes(), factories.a_nomenclature())

    first, second = found.concepts["1"], found.concepts["2"]
    assert first.inclusion_note == texts([("fr", "Les abricots."), ("fr", "Les brugnons.")])
    assert (second.broader, second.status) == (("1",), "deprecated")
    assert {(group.code, group.members) for group in found.groups or ()} == {("grand", ("2",)), ("petit", ("2",))}


def test_an_error_of_syntax_names_each_line_that_it_is_on() -> None:
    wrong = b"<https://vocabulaires.example/un fruit> a <urn:a> .\n<urn:b> a <urn:a> .\n"

    with pytest.raises(Invalid) as caught:
        read("turtle", wrong * 2, factories.a_nomenclature())

    assert [problem.where for problem in caught.value.problems] == ["lignes 1, 3"]


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


SUBJECTS = [f"{FRUITS}{name}" for name in "abc"] + ["_:d", "https://socle.example/aides"]
SKOS_NAMES = (
    "broader narrower related broaderTransitive narrowerTransitive inScheme topConceptOf hasTopConcept member "
    "memberList notation prefLabel altLabel definition scopeNote Concept ConceptScheme Collection"
)
NAMES = [
    *(SKOS + name for name in SKOS_NAMES.split()),
    *(SKOSXL + name for name in ("prefLabel", "literalForm")),
    *(RDF + name for name in ("type", "first", "rest", "value", "nil")),
    *(DCT + name for name in ("isReplacedBy", "replaces", "type", "title", "source", "publisher", "identifier")),
    *(XKOS + name for name in ("ConceptAssociation", "sourceConcept", "targetConcept", "coreContentNote", "levels")),
    OWL + "deprecated",
    SCHEMA + "startDate",
    ISO_THES + "subGroup",
]
LITERALS = st.builds(
    sandbox.Literal,
    st.sampled_from(["a", "", "2024-01-01", "true"]),
    st.sampled_from(["", "fr"]),
    st.sampled_from(["", RDF + "HTML"]),
)
STATEMENTS = st.tuples(
    st.sampled_from(SUBJECTS), st.sampled_from(NAMES), st.sampled_from(SUBJECTS) | st.sampled_from(NAMES) | LITERALS
)


@pytest.mark.fuzz
@given(st.lists(STATEMENTS, max_size=12))
@settings(max_examples=factories.examples(400), deadline=None)
def test_whatever_is_said_in_the_words_of_skos_is_read_or_refused(statements: list[tuple[Any, ...]]) -> None:
    concepts = [(subject, RDF + "type", SKOS + "Concept") for subject in SUBJECTS[:3]]

    with suppress(Invalid):
        content([sandbox.Triple(*one) for one in [*concepts, *statements]], factories.a_nomenclature())


def _many_labels(count: int) -> Iterator[str]:
    """One label node of many texts, and many concepts that bear it."""
    for number in range(count):
        yield f'<{FRUITS}label> <{SKOSXL}literalForm> "{number}"@fr .'
        yield f"<{FRUITS}{number}> <{SKOSXL}altLabel> <{FRUITS}label> ."
        yield f"<{FRUITS}{number}> <{SKOS}broader> <{FRUITS}label> ."


def _many_nested(count: int) -> Iterator[str]:
    """Collections each of which holds the next, and a concept."""
    for number in range(count):
        yield f"<{FRUITS}groupe{number}> <{RDF}type> <{SKOS}Collection> ."
        yield f"<{FRUITS}groupe{number}> <{SKOS}member> <{FRUITS}groupe{number + 1}> ."
        yield f"<{FRUITS}groupe{number}> <{SKOS}member> <{FRUITS}{number}> ."
        yield f"<{FRUITS}{number}> <{RDF}type> <{SKOS}Concept> ."


def _many_schemes(count: int) -> Iterator[str]:
    """A concept in many schemes, from which many below it have theirs."""
    for number in range(count):
        yield f"<{FRUITS}haut> <{SKOS}inScheme> <{FRUITS}liste{number}> ."
        yield f"<{FRUITS}{number}> <{SKOS}broader> <{FRUITS}haut> ."


@pytest.mark.parametrize("lines", [_many_labels, _many_nested, _many_schemes])
def test_a_file_that_says_a_lot_of_a_lot_is_refused_before_it_fills_the_memory(
    lines: Callable[[int], Iterator[str]],
) -> None:
    triples = list(sandbox.read_ntriples(line.encode() for line in lines(3_000)))
    begun = time.process_time()

    with pytest.raises(TooLarge, match="at once"):
        content(triples, factories.a_nomenclature())

    assert time.process_time() - begun < 2


def test_the_schemes_to_choose_from_are_told_but_not_by_the_thousand() -> None:
    triples = sandbox.read_ntriples(
        f"<{FRUITS}{number}> <{SKOS}inScheme> <{FRUITS}liste{number}> .".encode() for number in range(500)
    )

    with pytest.raises(Invalid) as caught:
        content(triples, factories.a_nomenclature())

    [problem] = [one for one in caught.value.problems if one.where == "skos:ConceptScheme"]
    assert problem.value.endswith("et 480 autres")
    assert len(problem.value) < 2_000
