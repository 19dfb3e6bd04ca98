"""SKOS in RDF: a release as Turtle, RDF/XML and JSON-LD, and a state of a nomenclature read from any of them.

The exports hold the canonical statements of ``signing`` plus what follows from them and readers expect: narrower,
hasTopConcept, dct:isReplacedBy, and of XKOS the list of levels and a correspondence for each date of lineage. Writing
is by hand because the bytes are kept for ever: rdflib's writers of RDF/XML, JSON-LD and N-Triples order statements
differently at every run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import orjson

from registry import sandbox
from registry.errors import Invalid, Problem
from registry.formats.markup import HEADING, escaped, quoted
from registry.model import (
    SKOS,
    TEXT_PROPERTIES,
    XKOS,
    Concept,
    Content,
    Group,
    Link,
    Nomenclature,
    Release,
    Texts,
    texts,
)
from registry.signing import DCT, LINEAGE_TYPES, OWL, RDF, SCHEMA, XSD, Statement, statements

PREFIXES = {"dct": DCT, "owl": OWL, "rdf": RDF, "schema": SCHEMA, "skos": SKOS, "xkos": XKOS, "xsd": XSD}
SKOSXL = "http://www.w3.org/2008/05/skos-xl#"

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


def read(
    format: str, data: bytes, nomenclature: Nomenclature, limits: sandbox.Limits = sandbox.REQUEST_LIMITS
) -> Content:
    """A state from one of the RDF syntaxes: the file is parsed in the sandbox, then read as SKOS.

    :raises Invalid: as ``content`` does, and if the file can't be parsed.
    :raises TooLarge: beyond the limits.
    """
    return content(sandbox.triples(data, format, limits=limits), nomenclature)


class _Node:
    """The statements of one subject, predicates and values in turn: a million statements must fit in memory."""

    __slots__ = ("_statements",)

    def __init__(self) -> None:
        self._statements: list[Any] = []

    def add(self, predicate: str, value: str | sandbox.Literal) -> None:
        self._statements += (predicate, value)

    def predicates(self) -> set[str]:
        """The predicates of the statements whose object is an IRI."""
        return {predicate for predicate, value in self._pairs() if isinstance(value, str)}

    def iris(self, wanted: str) -> list[str]:
        return [value for predicate, value in self._pairs() if predicate == wanted and isinstance(value, str)]

    def literals(self, wanted: str) -> list[sandbox.Literal]:
        return [value for predicate, value in self._pairs() if predicate == wanted and not isinstance(value, str)]

    def types(self) -> set[str]:
        return set(self.iris(RDF + "type"))

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        statements = iter(self._statements)
        return zip(statements, statements, strict=True)


def content(triples: Iterable[sandbox.Triple], nomenclature: Nomenclature) -> Content:
    """Read SKOS statements as a state of the nomenclature.

    Concepts are known by their type or by what only concepts have. A code is the notation, else what follows the
    scheme's IRI, else the last segment. SKOS-XL labels count as plain ones (SKOS Reference S55 to S57); nested
    collections are flattened; narrower is read as broader the other way; top concepts need not be said.

    :raises Invalid: naming the IRI of each thing that can't be read, and what would be accepted.
    """
    nodes: dict[str, _Node] = {}
    for subject, predicate, value in triples:
        node = nodes.get(subject)
        if node is None:
            node = nodes[subject] = _Node()
        node.add(predicate, value)
    return _Reader(nodes, nomenclature).content()


class _Reader:
    """SKOS statements being read as one nomenclature: what they give, and where they are wrong."""

    def __init__(self, nodes: dict[str, _Node], nomenclature: Nomenclature) -> None:
        self.nodes, self.nomenclature = nodes, nomenclature
        self.problems: list[Problem] = []
        self.scheme = self._scheme()
        self.code_of = self._codes()

    def refuse(self, where: str, message: str, value: str = "", accepted: str = "") -> None:
        self.problems.append(Problem("skos_is_readable", message, (), where, value, accepted))

    def content(self) -> Content:
        broader = self._pairs(SKOS + "broader", SKOS + "narrower")
        related = self._pairs(SKOS + "related", SKOS + "related")
        for code, other in tuple(related):
            related.add((other, code))
        concepts = {code: self._concept(iri, code) for iri, code in self.code_of.items()}
        above: dict[str, set[str]] = {}
        beside: dict[str, set[str]] = {}
        for pairs, found in ((broader, above), (related, beside)):
            for code, other in pairs:
                found.setdefault(code, set()).add(other)
        concepts = {
            code: replace(
                concepts[code],
                broader=tuple(sorted(above.get(code, ()))),
                related=tuple(sorted(beside.get(code, ()))),
            )
            for code in sorted(concepts)
        }
        links = self._links()
        self._check_replacements(links)
        groups = self._groups()
        # What holds both ways is looked at from either side, and told once.
        problems = list(dict.fromkeys(self.problems))
        if problems:
            raise Invalid(problems[:100], len(problems))
        return Content(concepts, links, groups, (), self._heading())

    def _scheme(self) -> str:
        schemes = sorted(iri for iri, node in self.nodes.items() if SKOS + "ConceptScheme" in node.types())
        if self.nomenclature.iri in schemes:
            return self.nomenclature.iri
        if len(schemes) > 1:
            self.refuse(
                "skos:ConceptScheme", "plusieurs nomenclatures dans le fichier", ", ".join(schemes), "une seule"
            )
        return schemes[0] if schemes else self.nomenclature.iri

    def _codes(self) -> dict[str, str]:
        marks = {SKOS + name for name in ("inScheme", "topConceptOf", "broader", "narrower", "related")}
        code_of: dict[str, str] = {}
        iri_of: dict[str, str] = {}
        for iri in sorted(self.nodes):
            node = self.nodes[iri]
            is_concept = SKOS + "Concept" in node.types() or (not node.types() and marks & node.predicates())
            if not is_concept:
                continue
            notations = sorted({literal.text for literal in node.literals(SKOS + "notation")})
            inside = iri.removeprefix(self.scheme + "/") if iri.startswith(self.scheme + "/") else ""
            code = inside if inside in notations else notations[0] if notations else inside
            code = code or re.split("[/#:]", iri.rstrip("/"))[-1]
            if code in iri_of:
                self.refuse(
                    iri, "code déjà pris par un autre concept", f"{code} ({iri_of[code]})", "un code par concept"
                )
            iri_of[code] = iri
            code_of[iri] = code
        if not code_of:
            self.refuse("skos:Concept", "aucun concept", accepted="au moins un skos:Concept")
        return code_of

    def _concept(self, iri: str, code: str) -> Concept:
        node = self.nodes[iri]
        values: dict[str, Any] = {item.name: self._texts(iri, item.iri) for item in TEXT_PROPERTIES}
        for name in ("prefLabel", "altLabel", "hiddenLabel"):
            forms = (
                label for target in node.iris(SKOSXL + name) for label in self._texts(target, SKOSXL + "literalForm")
            )
            item = next(item for item in TEXT_PROPERTIES if item.key == name)
            values[item.name] = texts((*values[item.name], *forms))
        values["alt_label"] = tuple(pair for pair in values["alt_label"] if pair not in values["pref_label"])
        deprecated = {literal.text for literal in node.literals(OWL + "deprecated")}
        return Concept(
            code=code,
            status="deprecated" if deprecated & {"true", "1"} else "active",
            legal_basis=tuple(sorted({literal.text for literal in node.literals(DCT + "source")})),
            valid_from=self._day(iri, SCHEMA + "startDate"),
            valid_until=self._day(iri, SCHEMA + "endDate"),
            **values,
        )

    def _texts(self, iri: str, predicate: str) -> Texts:
        node = self.nodes.get(iri)
        literals = node.literals(predicate) if node else []
        for literal in literals:
            if not literal.language:
                self.refuse(iri, f"{short_or_iri(predicate)} sans langue", literal.text[:80], 'une langue, "texte"@fr')
        return texts((literal.language, literal.text) for literal in literals)

    def _day(self, iri: str, predicate: str) -> date | None:
        literals = self.nodes[iri].literals(predicate)
        if len(literals) > 1:
            self.refuse(iri, f"plusieurs {short_or_iri(predicate)}", accepted="une date")
        for literal in literals:
            try:
                if len(literal.text) != 10:
                    raise ValueError(literal.text)
                return date.fromisoformat(literal.text)
            except ValueError:
                self.refuse(iri, f"{short_or_iri(predicate)} illisible", literal.text[:80], "AAAA-MM-JJ")
        return None

    def _pairs(self, upwards: str, downwards: str) -> set[tuple[str, str]]:
        pairs: set[tuple[str, str]] = set()
        for iri, code in self.code_of.items():
            for predicate, turn in ((upwards, False), (downwards, True)):
                for target in self.nodes[iri].iris(predicate):
                    other = self.code_of.get(target)
                    if other is None:
                        self.refuse(
                            iri, f"{short_or_iri(predicate)} vers un concept absent", target, "un concept du fichier"
                        )
                    else:
                        pairs.add((other, code) if turn else (code, other))
        return pairs

    def _links(self) -> frozenset[Link]:
        kinds = {iri: kind for kind, iri in LINEAGE_TYPES.items()}
        links = set()
        for iri, node in self.nodes.items():
            if XKOS + "ConceptAssociation" not in node.types():
                continue
            day = self._day(iri, SCHEMA + "startDate")
            kind = next((kinds[name] for name in node.iris(DCT + "type") if name in kinds), None)
            ends = [
                self.code_of.get(target, "")
                for name in ("sourceConcept", "targetConcept")
                for target in node.iris(XKOS + name)
            ]
            if day is None or kind is None or len(ends) != 2 or "" in ends:
                self.refuse(
                    iri,
                    "filiation incomplète",
                    accepted="xkos:sourceConcept, xkos:targetConcept, schema:startDate et dct:type (skos:exactMatch, "
                    "broadMatch, narrowMatch ou mappingRelation)",
                )
            else:
                links.add(Link(ends[0], ends[1], day, kind))
        return frozenset(links)

    def _check_replacements(self, links: frozenset[Link]) -> None:
        known = {(link.old, link.new) for link in links}
        for iri, code in self.code_of.items():
            for target in self.nodes[iri].iris(DCT + "isReplacedBy"):
                if (code, self.code_of.get(target, "")) not in known:
                    self.refuse(
                        iri,
                        "dct:isReplacedBy sans date ni nature",
                        target,
                        "une xkos:ConceptAssociation qui donne la date et la nature de la filiation",
                    )

    def _groups(self) -> tuple[Group, ...]:
        groups = []
        prefix = f"{self.scheme}/-/collection/"
        for iri, node in self.nodes.items():
            if node.types() & {SKOS + "Collection", SKOS + "OrderedCollection"}:
                code = iri.removeprefix(prefix) if iri.startswith(prefix) else re.split("[/#:]", iri.rstrip("/"))[-1]
                members = tuple(sorted(self._members(iri, set())))
                groups.append(Group(code, self._texts(iri, SKOS + "prefLabel"), members))
        return tuple(sorted(groups, key=lambda group: group.code))

    def _members(self, start: str, seen: set[str]) -> set[str]:
        """Codes of the concepts in a collection, those of nested collections and of ordered lists included."""
        found: set[str] = set()
        stack = [start]
        while stack:
            iri = stack.pop()
            if iri in seen:
                continue
            seen.add(iri)
            node = self.nodes.get(iri)
            if iri in self.code_of:
                found.add(self.code_of[iri])
            elif node is None:
                if iri != RDF + "nil":
                    self.refuse(start, "membre absent du fichier", iri, "un concept du fichier")
            else:
                for predicate in (SKOS + "member", SKOS + "memberList", RDF + "first", RDF + "rest"):
                    stack.extend(node.iris(predicate))
        return found

    def _heading(self) -> Nomenclature | None:
        node = self.nodes.get(self.scheme)
        if node is None or SKOS + "ConceptScheme" not in node.types():
            return None
        title = self._texts(self.scheme, DCT + "title") or self.nomenclature.title
        description = self._texts(self.scheme, DCT + "description") or self.nomenclature.description
        publishers, licenses = node.iris(DCT + "publisher"), node.iris(DCT + "license")
        return replace(
            self.nomenclature,
            title=title,
            description=description,
            publisher=publishers[0] if publishers else self.nomenclature.publisher,
            license=licenses[0] if licenses else self.nomenclature.license,
        )


def short_or_iri(iri: str) -> str:
    """A prefixed name where the vocabulary is known, else the IRI itself."""
    return short(iri) if any(iri.startswith(namespace) for namespace in PREFIXES.values()) else iri
