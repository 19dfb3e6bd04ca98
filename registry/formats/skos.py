"""SKOS in RDF: a release as Turtle, RDF/XML and JSON-LD; ``skos_reading`` reads what comes in.

The exports hold the canonical statements of ``signing`` plus what follows from them and readers expect: narrower,
hasTopConcept, dct:isReplacedBy, and of XKOS the list of levels and a correspondence for each date of lineage. Writing
is by hand because the bytes are kept for ever: rdflib's writers of RDF/XML, JSON-LD and N-Triples order statements
differently at every run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

import orjson

from registry.formats.markup import HEADING, escaped, quoted
from registry.model import (
    SKOS,
    XKOS,
    Release,
)
from registry.signing import DCT, OWL, RDF, SCHEMA, XSD, Statement, statements

PREFIXES = {"dct": DCT, "owl": OWL, "rdf": RDF, "schema": SCHEMA, "skos": SKOS, "xkos": XKOS, "xsd": XSD}

_TURTLE_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_TURTLE_SPECIAL = re.compile(r'[\\"\n\r\t]')


def export_statements(release: Release) -> Iterator[tuple[str, list[Statement]]]:
    """The canonical statements and what follows from them, by subject, both sorted."""
    iri = release.nomenclature.iri
    extra = _classification(release)
    for subject, found in statements(release):
        code = subject.removeprefix(iri + "/")
        more = extra.pop(subject, [])
        if subject == iri:
            tops = (code for code, concept in release.concepts.items() if not concept.broader)
            more += [Statement(iri, SKOS + "hasTopConcept", f"{iri}/{code}", "@id") for code in tops]
        elif code in release.concepts:
            children = release.narrower.get(code, ())
            more = [Statement(subject, SKOS + "narrower", f"{iri}/{child}", "@id") for child in children]
            if release.concepts[code].status == "deprecated":
                successors = {link.new for link in release.links_from.get(code, ())} - {code}
                more += [Statement(subject, DCT + "isReplacedBy", f"{iri}/{new}", "@id") for new in successors]
        yield subject, _ordered((*found, *more))
    for subject in sorted(extra):
        yield subject, _ordered(extra[subject])


def _ordered(found: Iterable[Statement]) -> list[Statement]:
    # Plain tuples are hashed and compared several times faster than statements.
    by_key = {(item.predicate, item.object, item.datatype): item for item in found}
    return [by_key[key] for key in sorted(by_key)]


def _classification(release: Release) -> dict[str, list[Statement]]:
    """What XKOS says beside the canonical form, by subject: the list of levels, correspondences by date of lineage."""
    iri, titles = release.nomenclature.iri, release.nomenclature.level_titles
    found: dict[str, list[Statement]] = {}
    depths = sorted({*release.depths.values()}) if titles else []
    if depths:
        found[iri] = [
            Statement(iri, XKOS + "numberOfLevels", str(len(depths)), XSD + "positiveInteger"),
            Statement(iri, XKOS + "levels", f"{iri}/-/levels/{depths[0]}", "@id"),
        ]
    for depth in depths:
        # A list has a name for each of its parts: blank nodes would have others at each reading.
        part, level = f"{iri}/-/levels/{depth}", f"{iri}/-/level/{depth}"
        rest = f"{iri}/-/levels/{depth + 1}" if depth + 1 in depths else RDF + "nil"
        found[part] = [Statement(part, RDF + "first", level, "@id"), Statement(part, RDF + "rest", rest, "@id")]
        if depth <= len(titles):
            found[level] = [Statement(level, SKOS + "prefLabel", titles[depth - 1], "@fr")]
    for link in sorted(release.links):
        day = link.date.isoformat()
        subject = f"{iri}/-/lineage/{day}"
        if subject not in found:
            found[subject] = [
                Statement(subject, RDF + "type", XKOS + "Correspondence", "@id"),
                Statement(subject, XKOS + "compares", iri, "@id"),
                Statement(subject, DCT + "issued", day, XSD + "date"),
            ]
        found[subject].append(Statement(subject, XKOS + "madeOf", f"{subject}/{link.old}/{link.new}", "@id"))
    return found


@cache
def short(iri: str) -> str:
    """An IRI of a known vocabulary as a prefixed name."""
    for prefix, namespace in PREFIXES.items():
        if iri.startswith(namespace):
            return f"{prefix}:{iri[len(namespace) :]}"
    raise AssertionError(f"no prefix for {iri}")


def write_turtle(release: Release) -> Iterator[bytes]:
    """The release as Turtle, one subject a block."""
    yield "".join(f"@prefix {prefix}: <{iri}> .\n" for prefix, iri in PREFIXES.items()).encode()
    for subject, found in export_statements(release):
        lines = []
        for statement in found:
            if statement.datatype == "@id":
                known = statement.predicate in (RDF + "type", DCT + "type")
                value = short(statement.object) if known else f"<{statement.object}>"
            else:
                value = f'"{_escaped_for_turtle(statement.object)}"'
                if statement.datatype.startswith("@"):
                    value += statement.datatype
                elif statement.datatype:
                    value += "^^" + short(statement.datatype)
            predicate = "a" if statement.predicate == RDF + "type" else short(statement.predicate)
            lines.append(f"    {predicate} {value}")
        yield (f"\n<{subject}>\n" + " ;\n".join(lines) + " .\n").encode()


def _escaped_for_turtle(text: str) -> str:
    """A text between quotes; to search it is ten times faster than to translate it, and few texts need that."""
    return text.translate(_TURTLE_ESCAPES) if _TURTLE_SPECIAL.search(text) else text


def write_rdfxml(release: Release) -> Iterator[bytes]:
    """The release as RDF/XML, one description a subject."""
    namespaces = "".join(f"\n  xmlns:{prefix}={quoted(iri)}" for prefix, iri in PREFIXES.items())
    yield f"{HEADING}<rdf:RDF{namespaces}>\n".encode()
    for subject, found in export_statements(release):
        lines = [f"<rdf:Description rdf:about={quoted(subject)}>"]
        for statement in found:
            name = short(statement.predicate)
            if statement.datatype == "@id":
                lines.append(f"  <{name} rdf:resource={quoted(statement.object)}/>")
                continue
            qualifier = ""
            if statement.datatype.startswith("@"):
                qualifier = f" xml:lang={quoted(statement.datatype[1:])}"
            elif statement.datatype:
                qualifier = f" rdf:datatype={quoted(statement.datatype)}"
            lines.append(f"  <{name}{qualifier}>{escaped(statement.object)}</{name}>")
        lines.append("</rdf:Description>\n")
        yield "\n".join(lines).encode()
    yield b"</rdf:RDF>\n"


def write_jsonld(release: Release) -> Iterator[bytes]:
    """The release as JSON-LD with its context inside, one node a line."""
    yield b'{"@context":' + orjson.dumps(PREFIXES) + b',\n"@graph":['
    separator = b"\n"
    for subject, found in export_statements(release):
        node: dict[str, object] = {"@id": subject}
        for statement in found:
            if statement.predicate == RDF + "type":
                node["@type"] = short(statement.object)
                continue
            value = {"@id": statement.object} if statement.datatype == "@id" else {"@value": statement.object}
            if statement.datatype.startswith("@") and statement.datatype != "@id":
                value["@language"] = statement.datatype[1:]
            elif statement.datatype and statement.datatype != "@id":
                value["@type"] = short(statement.datatype)
            values = node.setdefault(short(statement.predicate), [])
            assert isinstance(values, list)  # noqa: S101 -- tells mypy what setdefault gave.
            values.append(value)
        yield separator + orjson.dumps(node)
        separator = b",\n"
    yield b"\n]}\n"


def short_or_iri(iri: str) -> str:
    """A prefixed name where the vocabulary is known, else the IRI itself."""
    return short(iri) if any(iri.startswith(namespace) for namespace in PREFIXES.values()) else iri
