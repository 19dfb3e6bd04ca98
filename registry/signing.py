"""Canonical form, manifest and hash chain: what a release's bytes are, for ever. This text is the specification.

**Canonical form 1.** A release is the set of RDF triples below, one N-Triples line each: subject, predicate and
object separated by one space, then `` .`` and LF; UTF-8, NFC, no blank node, no duplicate; lines sorted by their
bytes (not by UTF-16 units); LF at the end of the last. In literals only ``\\``, ``"``, LF and CR are escaped
(``\\\\ \\" \\n \\r``), everything else stands as it is; plain strings carry no datatype; language tags are in lower
case. ``{iri}`` is the nomenclature's IRI; schema: is ``https://schema.org/``, dct: ``http://purl.org/dc/terms/``.

- scheme ``{iri}``: rdf:type skos:ConceptScheme; dct:title, dct:description (with language); dct:publisher,
  dct:license (IRIs); owl:versionInfo; schema:startDate (xsd:date, the day from which the release applies)
- concept ``{iri}/{code}``: rdf:type skos:Concept; skos:inScheme; skos:notation; skos:topConceptOf if and only if it
  has no skos:broader; skos:broader; skos:related, both ways; skos:prefLabel, altLabel, hiddenLabel, definition,
  scopeNote, example, historyNote, xkos:inclusionNote, exclusionNote (with language); dct:source (text);
  schema:startDate, endDate (xsd:date); owl:deprecated "true"^^xsd:boolean if and only if it is deprecated
- level ``{iri}/-/level/{k}``, only where the nomenclature declares levels and some concept is at that depth:
  rdf:type xkos:ClassificationLevel; xkos:depth (xsd:positiveInteger); skos:member
- collection ``{iri}/-/collection/{code}``: rdf:type skos:Collection; skos:prefLabel; skos:member
- lineage ``{iri}/-/lineage/{date}/{old}/{new}``: rdf:type xkos:ConceptAssociation; xkos:sourceConcept,
  xkos:targetConcept; schema:startDate; dct:type skos:exactMatch (same), broadMatch (wider), narrowMatch (narrower)
  or mappingRelation (overlaps)

Nothing else is in it. That a deprecated concept has no successor, and why, is its skos:historyNote.

**Manifest 1 and the release log.** The log is a sequence of entries; entry ``seq`` counts from 1. An entry is one
line: a JSON object in the canonical form of RFC 8785, then LF. ``previous`` is the SHA-256, in lower-case
hexadecimal, of the previous entry's line without its LF (64 zeros for the first). Instants are RFC 3339 in UTC
with seconds and ``Z``; sizes are in bytes. Publishing a release appends two entries:

- ``{"type": "release", "form": 1, "registry", "nomenclature": iri, "version", "seq", "issued", "valid_from",
  "previous", "content_sha256", "concepts", "files": [{"name", "media_type", "size", "sha256"}], "decision":
  {"basis", "same_meaning": [code], "accepted": [{"rule", "reason", "codes"}]}, "corrects", "tool"}``: the manifest.
  Where the committee decided, ``decision`` also has, each if there is any, ``"acts": [text]`` (NOR or ELI of the legal
  acts), ``"votes": [{"organisation", "choice"}]`` and ``"submission"``: the SHA-256 that the votes were cast on, of the
  RFC 8785 form of ``{"content_sha256", "decision", "corrects"}`` with the decision as it is but for these two.
  ``files`` holds the canonical file alone, ``nomenclature.nt``, whose SHA-256 is ``content_sha256``.
- ``{"type": "renditions", "form": 1, "registry", "nomenclature", "version", "seq", "issued", "previous",
  "files"}``: the other formats, each written once. A later Socle may append another such entry, never alter one.

Signatures over the manifest and the signed head of the log come beside these bytes, never inside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import rfc8785

from registry.errors import Damaged
from registry.model import SKOS, TEXT_PROPERTIES, XKOS, Concept, Decision, Link, LinkKind, Nomenclature, Release

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OWL = "http://www.w3.org/2002/07/owl#"
DCT = "http://purl.org/dc/terms/"
XSD = "http://www.w3.org/2001/XMLSchema#"
SCHEMA = "https://schema.org/"

LINEAGE_TYPES: dict[LinkKind, str] = {
    "same": SKOS + "exactMatch",
    "wider": SKOS + "broadMatch",
    "narrower": SKOS + "narrowMatch",
    "overlaps": SKOS + "mappingRelation",
}

FORM = 1
TOOL = "socle, canonical form 1"
CANONICAL_NAME = "nomenclature.nt"
FIRST = "0" * 64

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One triple; ``object`` is an IRI if ``datatype`` is ``"@id"``, else a literal.

    ``datatype`` is an IRI for a typed literal, ``"@xx"`` for a text in language xx, empty for a plain string.
    """

    subject: str
    predicate: str
    object: str
    datatype: str = ""

    def line(self) -> bytes:
        """This triple as one canonical N-Triples line, LF included, in UTF-8."""
        if self.datatype == "@id":
            value = f"<{self.object}>"
        else:
            value = f'"{self.object.translate(_ESCAPES)}"'
            if self.datatype.startswith("@"):
                value += self.datatype
            elif self.datatype:
                value += f"^^<{self.datatype}>"
        return f"<{self.subject}> <{self.predicate}> {value} .\n".encode()


def statements(release: Release) -> Iterator[tuple[str, list[Statement]]]:
    """The subjects of a release's canonical form, each with its statements, in the canonical order of subjects.

    Subjects are sorted by the bytes of ``<iri>``, as their lines will be; statements within one are not sorted.
    """
    iri = release.nomenclature.iri
    makers: dict[bytes, tuple[str, Concept | Link | int | str]] = {f"<{iri}>".encode(): (iri, "")}
    for code, concept in release.concepts.items():
        makers[f"<{iri}/{code}>".encode()] = (f"{iri}/{code}", concept)
    for link in release.links:
        subject = f"{iri}/-/lineage/{link.date.isoformat()}/{link.old}/{link.new}"
        makers[f"<{subject}>".encode()] = (subject, link)
    levels = _levels(release)
    for depth in levels:
        makers[f"<{iri}/-/level/{depth}>".encode()] = (f"{iri}/-/level/{depth}", depth)
    groups = {f"{iri}/-/collection/{group.code}": group for group in release.groups}
    for subject in groups:
        makers[f"<{subject}>".encode()] = (subject, subject)
    for key in sorted(makers):
        subject, thing = makers[key]
        if isinstance(thing, Concept):
            yield subject, _concept(iri, thing)
        elif isinstance(thing, Link):
            yield subject, _link(iri, subject, thing)
        elif isinstance(thing, int):
            members = [Statement(subject, SKOS + "member", f"{iri}/{code}", "@id") for code in levels[thing]]
            yield (
                subject,
                [
                    Statement(subject, RDF + "type", XKOS + "ClassificationLevel", "@id"),
                    Statement(subject, XKOS + "depth", str(thing), XSD + "positiveInteger"),
                    *members,
                ],
            )
        elif subject in groups:
            group = groups[subject]
            labels = [Statement(subject, SKOS + "prefLabel", text, "@" + tag) for tag, text in group.pref_label]
            members = [Statement(subject, SKOS + "member", f"{iri}/{code}", "@id") for code in group.members]
            yield subject, [Statement(subject, RDF + "type", SKOS + "Collection", "@id"), *labels, *members]
        else:
            yield subject, _scheme(release)


def canonical_lines(release: Release) -> Iterator[bytes]:
    """The canonical form of a release, line by line (N-Triples, UTF-8, LF), in canonical order."""
    for _, found in statements(release):
        yield from sorted({statement.line() for statement in found})


def _scheme(release: Release) -> list[Statement]:
    nomenclature = release.nomenclature
    iri = nomenclature.iri
    return [
        Statement(iri, RDF + "type", SKOS + "ConceptScheme", "@id"),
        *(Statement(iri, DCT + "title", text, "@" + tag) for tag, text in nomenclature.title),
        *(Statement(iri, DCT + "description", text, "@" + tag) for tag, text in nomenclature.description),
        Statement(iri, DCT + "publisher", nomenclature.publisher, "@id"),
        Statement(iri, DCT + "license", nomenclature.license, "@id"),
        Statement(iri, OWL + "versionInfo", release.version),
        Statement(iri, SCHEMA + "startDate", release.valid_from.isoformat(), XSD + "date"),
    ]


def _concept(iri: str, concept: Concept) -> list[Statement]:
    subject = f"{iri}/{concept.code}"
    found = [
        Statement(subject, RDF + "type", SKOS + "Concept", "@id"),
        Statement(subject, SKOS + "inScheme", iri, "@id"),
        Statement(subject, SKOS + "notation", concept.code),
    ]
    if not concept.broader:
        found.append(Statement(subject, SKOS + "topConceptOf", iri, "@id"))
    for predicate, codes in ((SKOS + "broader", concept.broader), (SKOS + "related", concept.related)):
        found.extend(Statement(subject, predicate, f"{iri}/{code}", "@id") for code in codes)
    for item in TEXT_PROPERTIES:
        for language, text in getattr(concept, item.name):
            found.append(Statement(subject, item.iri, text, "@" + language))
    found.extend(Statement(subject, DCT + "source", text) for text in concept.legal_basis)
    if concept.valid_from:
        found.append(Statement(subject, SCHEMA + "startDate", concept.valid_from.isoformat(), XSD + "date"))
    if concept.valid_until:
        found.append(Statement(subject, SCHEMA + "endDate", concept.valid_until.isoformat(), XSD + "date"))
    if concept.status == "deprecated":
        found.append(Statement(subject, OWL + "deprecated", "true", XSD + "boolean"))
    return found


def _link(iri: str, subject: str, link: Link) -> list[Statement]:
    return [
        Statement(subject, RDF + "type", XKOS + "ConceptAssociation", "@id"),
        Statement(subject, XKOS + "sourceConcept", f"{iri}/{link.old}", "@id"),
        Statement(subject, XKOS + "targetConcept", f"{iri}/{link.new}", "@id"),
        Statement(subject, SCHEMA + "startDate", link.date.isoformat(), XSD + "date"),
        Statement(subject, DCT + "type", LINEAGE_TYPES[link.kind], "@id"),
    ]


def _levels(release: Release) -> dict[int, list[str]]:
    levels: dict[int, list[str]] = {}
    if release.nomenclature.level_titles:
        for code, depth in release.depths.items():
            levels.setdefault(depth, []).append(code)
    return levels


def instant(moment: datetime) -> str:
    """An instant as it is written in manifests: RFC 3339, UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def manifest(
    release: Release,
    *,
    seq: int,
    issued: datetime,
    previous: str,
    canonical: Mapping[str, Any],
    decision: Decision,
    corrects: str = "",
) -> bytes:
    """The log entry that makes a release exist: canonical JSON, without LF.

    ``canonical`` describes the canonical file: ``name``, ``media_type``, ``size``, ``sha256``.
    """
    return _entry(
        "release",
        release.nomenclature,
        release.version,
        seq,
        issued,
        previous,
        valid_from=release.valid_from.isoformat(),
        content_sha256=canonical["sha256"],
        concepts=len(release.concepts),
        files=[dict(canonical)],
        decision=decision_document(decision),
        corrects=corrects,
        tool=TOOL,
    )


def decision_document(decision: Decision) -> dict[str, Any]:
    """A decision as manifests hold it; what committees alone have is left out where there is none."""
    accepted = [{"rule": item.rule, "reason": item.reason, "codes": list(item.codes)} for item in decision.accepted]
    found = {"basis": decision.basis, "same_meaning": list(decision.same_meaning), "accepted": accepted}
    votes = [{"organisation": organisation, "choice": choice} for organisation, choice in decision.votes]
    more = {"acts": list(decision.acts), "votes": votes, "submission": decision.submission}
    return found | {name: value for name, value in more.items() if value}


def submission(content_sha256: str, decision: Decision, corrects: str) -> str:
    """The hash that the committee votes on: of the canonical file, the ground of the release and what it corrects.

    The canonical file holds content, lineage, version and first day of validity.
    """
    voted = replace(decision, votes=(), submission="")
    document: dict[str, Any] = {
        "content_sha256": content_sha256,
        "decision": decision_document(voted),
        "corrects": corrects,
    }
    return sha256(rfc8785.dumps(document))


def renditions(
    release: Release, *, seq: int, issued: datetime, previous: str, files: Sequence[Mapping[str, Any]]
) -> bytes:
    """The log entry that names the other formats of a release: canonical JSON, without LF."""
    listed = [dict(file) for file in files]
    return _entry("renditions", release.nomenclature, release.version, seq, issued, previous, files=listed)


def withdrawal(
    nomenclature: Nomenclature, version: str, *, seq: int, issued: datetime, previous: str, why: str
) -> bytes:
    """The log entry that says that a release is faulty, and why: canonical JSON, without LF."""
    return _entry("withdrawal", nomenclature, version, seq, issued, previous, why=why)


def key_change(registry: str, *, seq: int, issued: datetime, previous: str, key_set_version: int, digest: str) -> bytes:
    """The log entry from which on a new key set signs: canonical JSON, without LF."""
    return rfc8785.dumps(
        {
            "type": "keys",
            "form": FORM,
            "registry": registry,
            "seq": seq,
            "issued": instant(issued),
            "previous": previous,
            "key_set_version": key_set_version,
            "sha256": digest,
        }
    )


def _entry(
    kind: str, nomenclature: Nomenclature, version: str, seq: int, issued: datetime, previous: str, **more: Any
) -> bytes:
    return rfc8785.dumps(
        {
            "type": kind,
            "form": FORM,
            "registry": nomenclature.iri.removesuffix(nomenclature.slug),
            "nomenclature": nomenclature.iri,
            "version": version,
            "seq": seq,
            "issued": instant(issued),
            "previous": previous,
            **more,
        }
    )


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_chain(entries: Iterable[bytes]) -> int:
    """Follow the release log from its first entry; return how many there are.

    :raises Damaged: naming the first entry that is not in canonical form or does not follow the one before.
    """
    previous, count = FIRST, 0
    for count, entry in enumerate(entries, start=1):
        try:
            content = orjson.loads(entry)
            sound = isinstance(content, dict) and rfc8785.dumps(content) == entry
        except (orjson.JSONDecodeError, rfc8785.CanonicalizationError):
            sound = False
        if not sound or content.get("previous") != previous or content.get("seq") != count:
            raise Damaged(f"log entry {count}")
        previous = sha256(entry)
    return count
