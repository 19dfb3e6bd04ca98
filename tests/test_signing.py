"""Canonical form, manifest and log: the bytes that can't change, pinned one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import orjson
import pytest
import rdflib
from hypothesis import given, settings

from registry import signing
from registry.errors import Damaged
from registry.formats import FORMATS
from registry.model import SKOS, Acceptance, Concept, Decision, Group, Link, LinkKind, Release, french, texts
from tests.factories import (
    A_DAY,
    a_concept,
    a_deprecated_concept,
    a_link,
    a_nomenclature,
    a_release,
    examples,
    releases,
)

GOLDEN_RELEASE = a_release(
    Concept(
        "A-1",
        texts([("fr", 'Aide "à" domicile'), ("en-gb", "Home help")]),
        alt_label=french("c:\\temp"),
        definition=french("Deux\nlignes\t."),
        broader=("A",),
        related=("B",),
        legal_basis=("CASF L113-1",),
        valid_from=date(2002, 1, 1),
    ),
    Concept("A", french("Aides"), scope_note=french("Tout âge.")),
    Concept(
        "B",
        french("Secours"),
        status="deprecated",
        history_note=french("Abrogé."),
        related=("A-1",),
        valid_until=date(2023, 12, 31),
    ),
    nomenclature=a_nomenclature(level_titles=("Domaine", "Aide")),
    links=frozenset([Link("B", "A", date(2024, 1, 1), "wider")]),
    groups=(Group("G", french("Groupe"), ("A", "B")),),
)

# Every term of the canonical form stands here; its lines go out sorted by their bytes. This text can't change.
GOLDEN = """
<S/-/collection/G> <RDFtype> <SKOSCollection> .
<S/-/collection/G> <SKOSmember> <S/A> .
<S/-/collection/G> <SKOSmember> <S/B> .
<S/-/collection/G> <SKOSprefLabel> "Groupe"@fr .
<S/-/level/1> <XKOSdepth> "1"^^<XSDpositiveInteger> .
<S/-/level/1> <RDFtype> <XKOSClassificationLevel> .
<S/-/level/1> <SKOSmember> <S/A> .
<S/-/level/1> <SKOSmember> <S/B> .
<S/-/level/2> <XKOSdepth> "2"^^<XSDpositiveInteger> .
<S/-/level/2> <RDFtype> <XKOSClassificationLevel> .
<S/-/level/2> <SKOSmember> <S/A-1> .
<S/-/lineage/2024-01-01/B/A> <DCTtype> <SKOSbroadMatch> .
<S/-/lineage/2024-01-01/B/A> <XKOSsourceConcept> <S/B> .
<S/-/lineage/2024-01-01/B/A> <XKOStargetConcept> <S/A> .
<S/-/lineage/2024-01-01/B/A> <RDFtype> <XKOSConceptAssociation> .
<S/-/lineage/2024-01-01/B/A> <SCHEMAstartDate> "2024-01-01"^^<XSDdate> .
<S/A-1> <DCTsource> "CASF L113-1" .
<S/A-1> <RDFtype> <SKOSConcept> .
<S/A-1> <SKOSaltLabel> "c:\\\\temp"@fr .
<S/A-1> <SKOSbroader> <S/A> .
<S/A-1> <SKOSdefinition> "Deux\\nlignes\t."@fr .
<S/A-1> <SKOSinScheme> <S> .
<S/A-1> <SKOSnotation> "A-1" .
<S/A-1> <SKOSprefLabel> "Aide \\"à\\" domicile"@fr .
<S/A-1> <SKOSprefLabel> "Home help"@en-gb .
<S/A-1> <SKOSrelated> <S/B> .
<S/A-1> <SCHEMAstartDate> "2002-01-01"^^<XSDdate> .
<S/A> <RDFtype> <SKOSConcept> .
<S/A> <SKOSinScheme> <S> .
<S/A> <SKOSnotation> "A" .
<S/A> <SKOSprefLabel> "Aides"@fr .
<S/A> <SKOSscopeNote> "Tout âge."@fr .
<S/A> <SKOStopConceptOf> <S> .
<S/B> <RDFtype> <SKOSConcept> .
<S/B> <OWLdeprecated> "true"^^<XSDboolean> .
<S/B> <SKOShistoryNote> "Abrogé."@fr .
<S/B> <SKOSinScheme> <S> .
<S/B> <SKOSnotation> "B" .
<S/B> <SKOSprefLabel> "Secours"@fr .
<S/B> <SKOSrelated> <S/A-1> .
<S/B> <SKOStopConceptOf> <S> .
<S/B> <SCHEMAendDate> "2023-12-31"^^<XSDdate> .
<S> <DCTdescription> "Aides des services sociaux."@fr .
<S> <DCTlicense> <https://www.etalab.gouv.fr/licence-ouverte-open-licence> .
<S> <DCTpublisher> <https://socle.example/organisations/comite> .
<S> <DCTtitle> "Aides"@fr .
<S> <RDFtype> <SKOSConceptScheme> .
<S> <OWLversionInfo> "1.0" .
<S> <SCHEMAstartDate> "2024-01-01"^^<XSDdate> .
""".lstrip()
SHORT = {
    "<S>": "<https://socle.example/aides>",
    "<S/": "<https://socle.example/aides/",
    "<RDF": "<http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "<SKOS": "<http://www.w3.org/2004/02/skos/core#",
    "<XKOS": "<http://rdf-vocabulary.ddialliance.org/xkos#",
    "<XSD": "<http://www.w3.org/2001/XMLSchema#",
    "<DCT": "<http://purl.org/dc/terms/",
    "<OWL": "<http://www.w3.org/2002/07/owl#",
    "<SCHEMA": "<https://schema.org/",
}


def canonical(release: Release) -> bytes:
    return b"".join(signing.canonical_lines(release))


def test_the_canonical_form_is_these_bytes() -> None:
    expected = GOLDEN
    for short, long in SHORT.items():
        expected = expected.replace(short, long)

    found = canonical(GOLDEN_RELEASE)

    assert found == b"".join(sorted(expected.encode().splitlines(keepends=True)))


@pytest.mark.fuzz
@given(releases())
@settings(max_examples=examples(12), deadline=None)
def test_canonical_lines_are_unique_sorted_by_bytes_and_without_blank_nodes(release: Release) -> None:
    found = canonical(release)

    lines = found.split(b"\n")
    assert lines.pop() == b""
    assert lines == sorted(set(lines))
    assert not any(b"_:" in line.split(b'"')[0] for line in lines)


@pytest.mark.fuzz
@given(releases())
@settings(max_examples=examples(10), deadline=None)
def test_canonical_lines_are_the_triples_that_rdflib_reads(release: Release) -> None:
    found = canonical(release)

    graph = rdflib.Graph().parse(data=found, format="nt")

    assert len(graph) == found.count(b"\n")
    assert len(set(graph.subjects(rdflib.RDF.type, rdflib.URIRef(SKOS + "Concept")))) == len(release.concepts)


def test_lines_are_sorted_by_bytes_and_not_by_utf16_units() -> None:
    # In UTF-16 the emoji begins with D83D and would come before U+FB01; in UTF-8 it comes after.
    release = a_release(a_concept(alt_label=french("\ufb01n", "\U0001f600")))

    found = canonical(release).decode()

    assert found.index("\ufb01n") < found.index("\U0001f600")


def test_subjects_are_sorted_by_the_bytes_of_their_lines() -> None:
    # Without its closing bracket A would come before A-1: the line of A-1 comes first.
    found = canonical(a_release(a_concept("A"), a_concept("A-1")))

    assert found.index(b"/A-1> <") < found.index(b"/A> <")


def test_only_four_characters_are_escaped() -> None:
    text = "\\ \" \n \r \t é \u0153 \u00a0 ' \U0001f600"

    line = signing.Statement("urn:a", "urn:b", text, "@fr").line()

    assert line == '<urn:a> <urn:b> "\\\\ \\" \\n \\r \t é \u0153 \u00a0 \' \U0001f600"@fr .\n'.encode()


@pytest.mark.parametrize(
    ("kind", "relation"),
    [("same", "exactMatch"), ("wider", "broadMatch"), ("narrower", "narrowMatch"), ("overlaps", "mappingRelation")],
)
def test_each_kind_of_link_has_its_relation(kind: LinkKind, relation: str) -> None:
    found = canonical(a_release(links=frozenset([a_link(kind=kind)]))).decode()

    subject = "<https://socle.example/aides/-/lineage/2024-01-01/A/B>"
    assert f"{subject} <http://purl.org/dc/terms/type> <{SKOS}{relation}> .\n" in found


def test_levels_are_written_only_where_they_are_declared() -> None:
    concepts = (a_concept("A"), a_concept("B", broader=("A",)))
    declared = a_nomenclature(level_titles=("Un", "Deux", "Trois"))

    without, with_levels = canonical(a_release(*concepts)), canonical(a_release(*concepts, nomenclature=declared))

    assert b"/-/level/" not in without
    assert {number for number in b"123" if b"/-/level/%c>" % number in with_levels} == set(b"12")


def test_only_deprecated_concepts_say_so() -> None:
    found = canonical(a_release(a_concept("A"), a_deprecated_concept("B"))).decode()

    assert found.count("owl#deprecated") == 1
    assert (
        '/B> <http://www.w3.org/2002/07/owl#deprecated> "true"^^<http://www.w3.org/2001/XMLSchema#boolean> .' in found
    )


def test_the_empty_release_is_its_heading() -> None:
    found = canonical(a_release(concepts={}))

    assert found.count(b"\n") == 7
    assert all(line.startswith(b"<https://socle.example/aides> ") for line in found.splitlines())


# The manifest and the chain.

DECISION = Decision("Délibération du 1er janvier.", ("A",), (Acceptance("labels_are_unique", "Admis.", ("A", "B")),))
CANONICAL_FILE = {"name": "nomenclature.nt", "media_type": "application/n-triples", "size": 12, "sha256": "ab" * 32}
ISSUED = datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=1)))


def a_manifest(seq: int = 1, previous: str = signing.FIRST, **changes: str) -> bytes:
    return signing.manifest(
        a_release(), seq=seq, issued=ISSUED, previous=previous, canonical=CANONICAL_FILE, decision=DECISION, **changes
    )


def test_the_manifest_is_these_bytes() -> None:
    assert a_manifest(corrects="0.9").decode() == (
        '{"concepts":2,"content_sha256":"' + "ab" * 32 + '","corrects":"0.9","decision":{"accepted":[{"codes":'
        '["A","B"],"reason":"Admis.","rule":"labels_are_unique"}],"basis":"Délibération du 1er janvier.",'
        '"same_meaning":["A"]},"files":[{"media_type":"application/n-triples","name":"nomenclature.nt",'
        '"sha256":"' + "ab" * 32 + '","size":12}],"form":1,"issued":"2024-01-02T02:04:05Z",'
        '"nomenclature":"https://socle.example/aides","previous":"' + "0" * 64 + '",'
        '"registry":"https://socle.example/","seq":1,"tool":"socle, canonical form 1","type":"release",'
        '"valid_from":"2024-01-01","version":"1.0"}'
    )


def test_the_entry_of_renditions_is_these_bytes() -> None:
    found = signing.renditions(a_release(), seq=2, issued=ISSUED, previous="cd" * 32, files=[CANONICAL_FILE])

    assert found.decode() == (
        '{"files":[{"media_type":"application/n-triples","name":"nomenclature.nt","sha256":"' + "ab" * 32 + '",'
        '"size":12}],"form":1,"issued":"2024-01-02T02:04:05Z","nomenclature":"https://socle.example/aides",'
        '"previous":"' + "cd" * 32 + '","registry":"https://socle.example/","seq":2,"type":"renditions",'
        '"version":"1.0"}'
    )


def a_chain(length: int) -> list[bytes]:
    entries: list[bytes] = []
    for seq in range(1, length + 1):
        entries.append(a_manifest(seq, signing.sha256(entries[-1]) if entries else signing.FIRST))
    return entries


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_whole_chain_is_counted(length: int) -> None:
    assert signing.check_chain(a_chain(length)) == length


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda chain: chain[1:], "log entry 1"),
        (lambda chain: [chain[0], *chain[2:]], "log entry 2"),
        (lambda chain: [chain[0], chain[2], chain[1], chain[3]], "log entry 2"),
        (lambda chain: [*chain[:2], chain[2].replace(b"Admis", b"Omis!"), chain[3]], "log entry 4"),
        (lambda chain: [*chain[:2], chain[2] + b" ", chain[3]], "log entry 3"),
        (lambda chain: [*chain[:2], b"{", chain[3]], "log entry 3"),
        (lambda chain: [*chain[:2], b"[]", chain[3]], "log entry 3"),
        (lambda chain: [*chain[:2], b'"texte"', chain[3]], "log entry 3"),
        (lambda chain: [*chain[:2], b"\xff", chain[3]], "log entry 3"),
        (lambda chain: [*chain, chain[3]], "log entry 5"),
    ],
    ids=["first gone", "gone", "swapped", "altered", "padded", "cut", "list", "text", "no UTF-8", "twice"],
)
def test_a_broken_chain_names_its_first_bad_entry(broken: object, named: str) -> None:
    assert callable(broken)
    entries = broken(a_chain(4))

    with pytest.raises(Damaged, match=f"^{named}$"):
        signing.check_chain(entries)


# The same bytes wherever they are made.

SCRIPT = """
import hashlib
from registry.formats import FORMATS
from tests.test_signing import GOLDEN_RELEASE
for format in FORMATS.values():
    print(format.name, hashlib.sha256(b"".join(format.write(GOLDEN_RELEASE))).hexdigest())
"""


def test_bytes_depend_neither_on_the_locale_nor_on_the_hash_seed() -> None:
    settings = (
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "PYTHONUTF8": "0"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONUTF8": "1"},
    )

    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, **setting}, capture_output=True, text=True, check=True
        ).stdout
        for setting in settings
    ]

    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == len(FORMATS)


def test_instants_are_written_in_utc_with_whole_seconds() -> None:
    assert signing.instant(ISSUED) == "2024-01-02T02:04:05Z"
    assert signing.instant(datetime(999, 1, 1, tzinfo=UTC)) == "0999-01-01T00:00:00Z"


def test_the_decision_of_a_manifest_is_read_back_as_it_was() -> None:
    found = orjson.loads(a_manifest())

    assert found["decision"]["basis"] == DECISION.basis
    assert found["valid_from"] == A_DAY.isoformat()
