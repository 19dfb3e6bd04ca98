"""SDMX out and in: a release as a codelist in SDMX-ML 3.0 and 2.1 and in SDMX-JSON 2.0, for statisticians' tools.

Names are preferred labels, descriptions are definitions, ``Parent`` is the broader concept: the first, should there be
several. All else stands in annotations: the property as their type, a value as their title, a text with its language.
So SDMX-ML is read back with nothing lost; of a codelist of others, what is read is its codes, names, descriptions and
parents, since what others' annotations mean is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import orjson

from registry.errors import Invalid, Problem
from registry.formats import tabular
from registry.formats.markup import HEADING, RULE, Element, escaped, quoted, root
from registry.model import (
    TEXT_PROPERTIES,
    Concept,
    Content,
    Group,
    Link,
    Nomenclature,
    Release,
    Texts,
    preferred,
    texts,
)
from registry.sandbox import REQUEST_LIMITS, Limits

AGENCY = "SOCLE"
"""The agency of every codelist that a registry gives out; the codelist's ``uri`` says which registry it is."""

ML30, ML21 = (f"http://www.sdmx.org/resources/sdmxml/schemas/{version}/" for version in ("v3_0", "v2_1"))
JSON_SCHEMA = (
    "https://raw.githubusercontent.com/sdmx-twg/sdmx-json/master/structure-message/tools/schemas/2.0.0/"
    "sdmx-json-structure-schema.json"
)

_NAMES = {item.key: item.name for item in TEXT_PROPERTIES if item.name != "pref_label"}
_DEFAULT_LANGUAGE = "en"
"""What the standard says that a text without ``xml:lang`` is in."""

_AT_ONCE = 200


class Note(NamedTuple):
    """What an annotation says: of which kind, a value, and texts with their languages, one each."""

    kind: str
    value: str = ""
    texts: Texts = ()


def codelist_id(slug: str) -> str:
    """The identifier of a nomenclature's codelist: ``types-aide`` is ``CL_TYPES_AIDE``."""
    return "CL_" + slug.upper().replace("-", "_")


def code_id(code: str) -> str:
    """A code as SDMX allows it: a dot, which it doesn't, is a ``$``, which codes never hold."""
    return code.replace(".", "$")


def code_of(identifier: str) -> str:
    """The code that ``code_id`` made an identifier of."""
    return identifier.replace("$", ".")


def version_of(release: Release) -> str:
    """The version of a release as SDMX 3.0 numbers: in three parts; a draft has none of its own."""
    return f"{release.version}.0" if release.version else "0.0.0-draft"


def _of_list(release: Release) -> Iterator[Note]:
    nomenclature = release.nomenclature
    for kind in ("publisher", "license"):
        if value := getattr(nomenclature, kind):
            yield Note(kind, value)
    yield Note("validFrom", release.valid_from.isoformat())
    for group in release.groups:
        yield Note("group", group.code, group.pref_label)


def _of_concept(release: Release, concept: Concept, groups: list[str]) -> Iterator[Note]:
    if concept.status != "active":
        yield Note("status", concept.status)
    for kind, day in (("validFrom", concept.valid_from), ("validUntil", concept.valid_until)):
        if day:
            yield Note(kind, day.isoformat())
    for kind, values in (
        ("broader", concept.broader[1:]),
        ("related", concept.related),
        ("legalBasis", concept.legal_basis),
        ("lineage", map(tabular.link_text, release.links_from.get(concept.code, ()))),
        ("group", groups),
    ):
        for value in values:
            yield Note(kind, value)
    for item in TEXT_PROPERTIES:
        found = getattr(concept, item.name)
        if item.name in ("pref_label", "definition"):
            # One of each language is the name or the description.
            found = tuple(pair for pair in found if pair not in _one_each(found))
        for pair in found:
            yield Note(item.key, texts=(pair,))


def _one_each(values: Texts) -> Texts:
    """The first text of each language."""
    return tuple({language: (language, text) for language, text in reversed(values)}.values())[::-1]


def _named(values: Texts, code: str) -> Texts:
    """Names, of which the standard asks for one at least."""
    return _one_each(values) or (("fr", code),)


class _Markup(NamedTuple):
    """What the two versions of SDMX-ML write differently."""

    namespace: str
    version: str
    attributes: str
    parent: str


def write_ml(release: Release) -> Iterator[bytes]:
    """The release as a codelist in SDMX-ML 3.0."""
    return _write_ml(release, _Markup(ML30, version_of(release), "", "<str:Parent>{}</str:Parent>"))


def write_ml21(release: Release) -> Iterator[bytes]:
    """The release as a codelist in SDMX-ML 2.1, where its version has the two parts that it has here."""
    final = f' isFinal="{"true" if release.version else "false"}"'
    version = release.version or "0.0"
    return _write_ml(release, _Markup(ML21, version, final, '<str:Parent><Ref id="{}"/></str:Parent>'))


def _write_ml(release: Release, markup: _Markup) -> Iterator[bytes]:
    nomenclature = release.nomenclature
    spaces = "".join(
        f'\n  xmlns:{prefix}="{markup.namespace}{name}"'
        for prefix, name in (("mes", "message"), ("str", "structure"), ("com", "common"))
    )
    yield (
        f"{HEADING}<mes:Structure{spaces}>\n  <mes:Header>\n    <mes:ID>{codelist_id(nomenclature.slug)}</mes:ID>\n"
        f"    <mes:Test>false</mes:Test>\n    <mes:Prepared>{release.valid_from.isoformat()}</mes:Prepared>\n"
        f'    <mes:Sender id="{AGENCY}"/>\n  </mes:Header>\n  <mes:Structures>\n    <str:Codelists>\n'
        f'      <str:Codelist id="{codelist_id(nomenclature.slug)}" agencyID="{AGENCY}" version="{markup.version}"'
        f"{markup.attributes} uri={quoted(nomenclature.iri)}>\n"
        + _annotations(_of_list(release))
        + _texts("Name", _named(nomenclature.title, nomenclature.slug))
        + _texts("Description", _one_each(nomenclature.description))
    ).encode()
    codes = map(partial(_code, release, tabular.group_of(release), markup.parent), sorted(release.concepts))
    while some := "".join(islice(codes, _AT_ONCE)):
        yield some.encode()
    yield b"      </str:Codelist>\n    </str:Codelists>\n  </mes:Structures>\n</mes:Structure>\n"


def _code(release: Release, groups: dict[str, list[str]], parent: str, code: str) -> str:
    concept = release.concepts[code]
    above = parent.format(escaped(code_id(concept.broader[0]))) if concept.broader else ""
    return (
        f"<str:Code id={quoted(code_id(code))}>\n"
        + _annotations(_of_concept(release, concept, groups.get(code, [])))
        + _texts("Name", _named(concept.pref_label, code))
        + _texts("Description", _one_each(concept.definition))
        + f"{above}</str:Code>\n"
    )


def _annotations(notes: Iterator[Note]) -> str:
    found = "".join(
        "<com:Annotation>"
        + (f"<com:AnnotationTitle>{escaped(note.value)}</com:AnnotationTitle>" if note.value else "")
        + f"<com:AnnotationType>{note.kind}</com:AnnotationType>"
        + _texts("AnnotationText", note.texts, "")
        + "</com:Annotation>\n"
        for note in notes
    )
    return f"<com:Annotations>\n{found}</com:Annotations>\n" if found else ""


def _texts(name: str, values: Texts, end: str = "\n") -> str:
    return "".join(
        [f"<com:{name} xml:lang={quoted(language)}>{escaped(text)}</com:{name}>{end}" for language, text in values]
    )


def write_json(release: Release) -> Iterator[bytes]:
    """The release as a codelist in SDMX-JSON 2.0, one code a line."""
    nomenclature = release.nomenclature
    languages = {language for concept in release.concepts.values() for language, _ in concept.pref_label}
    meta = {
        "schema": JSON_SCHEMA,
        "id": codelist_id(nomenclature.slug),
        "test": False,
        "prepared": f"{release.valid_from.isoformat()}T00:00:00Z",
        "contentLanguages": sorted(languages | {language for language, _ in nomenclature.title}),
        "sender": {"id": AGENCY},
    }
    described = {
        "id": codelist_id(nomenclature.slug),
        "agencyID": AGENCY,
        "version": version_of(release),
        "links": [{"href": nomenclature.iri, "rel": "external"}],
        **_json_texts("name", _named(nomenclature.title, nomenclature.slug)),
        **_json_texts("description", _one_each(nomenclature.description)),
        "annotations": [*map(_json_annotation, _of_list(release))],
    }
    head = b'{"meta":' + orjson.dumps(meta) + b',"data":{"codelists":[' + orjson.dumps(described)[:-1]
    groups = tabular.group_of(release)
    if not release.concepts:
        yield head + b"}]}}\n"
        return
    yield head + b',"codes":['
    separator = b"\n"
    for code in sorted(release.concepts):
        concept = release.concepts[code]
        found: dict[str, Any] = {"id": code_id(code), **_json_texts("name", _named(concept.pref_label, code))}
        found |= _json_texts("description", _one_each(concept.definition))
        if concept.broader:
            found["parent"] = code_id(concept.broader[0])
        if notes := [*map(_json_annotation, _of_concept(release, concept, groups.get(code, [])))]:
            found["annotations"] = notes
        yield separator + orjson.dumps(found)
        separator = b",\n"
    yield b"\n]}]}}\n"


def _json_texts(key: str, values: Texts) -> dict[str, Any]:
    """A text in the language that fits best, and in all that there are."""
    return {key: preferred(values), f"{key}s": dict(values)} if values else {}


def _json_annotation(note: Note) -> dict[str, Any]:
    found: dict[str, Any] = {"type": note.kind}
    if note.value:
        found["title"] = note.value
    return found | _json_texts("text", note.texts)


def read(data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS) -> Content:
    """A state from a codelist in SDMX-ML, 3.0 or 2.1, as our writers give it or as others do.

    Of several codelists, the one is read that bears the nomenclature's identifier.

    :raises Invalid: with the line, the value and what is accepted, for the first hundred problems.
    :raises TooLarge: beyond the limits.
    """
    found = root(data, limits)
    problems: list[Problem] = []
    if found.name != "Structure" or not found.namespace.endswith("/message"):
        accepted = "mes:Structure, de SDMX-ML 3.0 ou 2.1"
        raise Invalid(
            [_problem("l'élément racine n'est pas un message SDMX de structures", found, found.name, accepted)]
        )
    lists = [*found.each("Structures", "Codelists", "Codelist")]
    own = [one for one in lists if one.attributes.get("id") == codelist_id(nomenclature.slug)] or lists
    if len(own) != 1:
        message = "plusieurs listes de codes dans le fichier" if own else "aucune liste de codes"
        names = ", ".join(one.attributes.get("id", "") for one in own)
        raise Invalid([_problem(message, own[0] if own else found, names, "une seule str:Codelist")])
    content = _Reader(own[0], nomenclature, problems).content()
    if problems:
        raise Invalid(problems[:100], len(problems))
    return content


def _problem(message: str, element: Element, value: str = "", accepted: str = "") -> Problem:
    return Problem(RULE, message, (), element.place, value[:300], accepted)


class _Reader:
    """A codelist being read: what it gives, and where it is wrong."""

    def __init__(self, codelist: Element, nomenclature: Nomenclature, problems: list[Problem]) -> None:
        self.codelist, self.nomenclature, self.problems = codelist, nomenclature, problems
        self.ours = codelist.attributes.get("agencyID") == AGENCY
        self.links: set[Link] = set()
        self.members: dict[str, list[str]] = {}

    def content(self) -> Content:
        concepts: dict[str, Concept] = {}
        for element in self.codelist.each("Code"):
            concept = self.concept(element)
            if concept.code in concepts:
                self.problems.append(_problem("code déjà donné", element, concept.code, "un code une fois"))
            concepts[concept.code] = concept
        if not concepts:
            self.problems.append(_problem("aucun code", self.codelist, "", "au moins un str:Code"))
        notes = self.notes(self.codelist)
        labels = {note.value: note.texts for note in notes if note.kind == "group"}
        groups = tuple(
            Group(code, labels.get(code, ()), tuple(sorted(self.members.get(code, ()))))
            for code in sorted({*labels, *self.members})
        )
        values = {note.kind: note.value for note in notes}
        heading = replace(
            self.nomenclature,
            title=self.texts(self.codelist, "Name") or self.nomenclature.title,
            description=self.texts(self.codelist, "Description") or self.nomenclature.description,
            publisher=values.get("publisher", self.nomenclature.publisher),
            license=values.get("license", self.nomenclature.license),
        )
        return Content(
            dict(sorted(concepts.items())),
            frozenset(self.links) if self.ours else None,
            groups if self.ours else None,
            nomenclature=heading,
        )

    def concept(self, element: Element) -> Concept:
        given = element.attributes.get("id", "")
        if not given:
            self.problems.append(_problem("code sans identifiant", element, "", 'un attribut "id"'))
        code = self.code(given)
        parents = [ref for ref in (self.parent(parent) for parent in element.each("Parent")) if ref]
        values: dict[str, list[tuple[str, str]]] = {name: [] for name in _NAMES.values()}
        values["pref_label"] = [*self.texts(element, "Name")]
        values["definition"] += self.texts(element, "Description")
        told: dict[str, list[str]] = {}
        for note in self.notes(element):
            told.setdefault(note.kind, []).append(note.value)
            if note.kind == "prefLabel":
                values["pref_label"] += note.texts
            elif note.kind in _NAMES:
                values[_NAMES[note.kind]] += note.texts
        for value in told.get("lineage", ()):
            link = tabular.link_from(code, value)
            if link is None:
                self.problems.append(_problem("filiation illisible", element, value, tabular.LINK_SHAPE))
            else:
                self.links.add(link)
        for group in told.get("group", ()):
            self.members.setdefault(group, []).append(code)
        return Concept(
            code=code,
            status="deprecated" if "deprecated" in told.get("status", ()) else "active",
            broader=tuple(sorted({*parents, *told.get("broader", ())})),
            related=tuple(sorted({*told.get("related", ())})),
            legal_basis=tuple(sorted({*told.get("legalBasis", ())})),
            valid_from=self.day(element, told.get("validFrom", [])),
            valid_until=self.day(element, told.get("validUntil", [])),
            **{name: texts(pairs) for name, pairs in values.items()},
        )

    def code(self, identifier: str) -> str:
        return code_of(identifier) if self.ours else identifier

    def parent(self, element: Element) -> str:
        """The code above: as text in 3.0, as a reference in 2.1."""
        referred = next((ref.attributes.get("id", "") for ref in element.each("Ref")), "")
        return self.code(referred or element.text.strip())

    def notes(self, element: Element) -> list[Note]:
        """What annotations of ours say."""
        if not self.ours:
            return []
        return [
            Note(found.text_of("AnnotationType"), found.text_of("AnnotationTitle"), self.texts(found, "AnnotationText"))
            for found in element.each("Annotations", "Annotation")
        ]

    def texts(self, element: Element, name: str) -> Texts:
        return texts((found.language or _DEFAULT_LANGUAGE, found.text) for found in element.each(name) if found.text)

    def day(self, element: Element, values: list[str]) -> date | None:
        try:
            return date.fromisoformat(values[0]) if values else None
        except ValueError:
            self.problems.append(_problem("date illisible", element, values[0], "AAAA-MM-JJ"))
            return None
