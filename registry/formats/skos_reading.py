"""SKOS that others wrote, read as one nomenclature: what is sound is taken, what is not is named, all of it at once.

Published files leave things open that a person must settle: which of several schemes, which language a text without
one is in, what becomes of relations to concepts elsewhere. :class:`Choices` holds the answers, and a refusal says which
one is missing. Statements that Socle has no place for (mappings, editorial notes, dates of creation) are passed over.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from registry import rules, sandbox
from registry.errors import Invalid, Problem
from registry.formats.skos import short_or_iri
from registry.formats.skos_scope import (
    DOWNWARDS,
    DOWNWARDS_AT_LAST,
    ISO_THES,
    NO_CHOICE,
    RELATED,
    SKOSXL,
    UPWARDS,
    UPWARDS_AT_LAST,
    Choices,
    Node,
    Scope,
)
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
    TextProperty,
    Texts,
    texts,
)
from registry.signing import DCT, LINEAGE_TYPES, OWL, RDF, SCHEMA

UNDETERMINED = "und"
"""BCP 47's tag for an unknown language: stands in for the one that is missing while the rest of a file is checked."""

_HOLDS_MEMBERS = (SKOS + "member", SKOS + "memberList", ISO_THES + "subGroup", RDF + "first", RDF + "rest")
_MARKUP = (RDF + "HTML", RDF + "XMLLiteral")
_STATUS = "http://publications.europa.eu/ontology/euvoc#status"
_NO_LONGER = ("/DEPRECATED", "/RETIRED")
"""How the statuses end under which the Publications Office of the European Union keeps what is no longer used."""

_PARTS = {XKOS + "inclusionNote": (XKOS + "coreContentNote", XKOS + "additionalContentNote")}
"""Notes that are others' own kinds of one of ours."""

_TEXTS_OF_NOTES = (RDF + "value", XKOS + "plainText")
_XL_NAMES = ("prefLabel", "altLabel", "hiddenLabel")
_LABELS = frozenset((SKOSXL + "literalForm", DCT + "title", *(SKOS + name for name in _XL_NAMES)))
_NOT_CHECKED = ("heading_is_complete", "references_exist")
"""Rules that would only repeat, of a file that could not be read whole, what is told already, or tell of another."""


def read(
    format: str,
    data: bytes,
    nomenclature: Nomenclature,
    limits: sandbox.Limits = sandbox.REQUEST_LIMITS,
    choices: Choices = NO_CHOICE,
) -> Content:
    """A state from one of the RDF syntaxes: the file is parsed in the sandbox, then read as SKOS.

    :raises Invalid: as ``content`` does, and if the file can't be parsed.
    :raises TooLarge: beyond the limits.
    """
    return content(sandbox.triples(data, format, limits=limits), nomenclature, choices, listed=limits.problems)


def content(
    triples: Iterable[sandbox.Triple],
    nomenclature: Nomenclature,
    choices: Choices = NO_CHOICE,
    *,
    listed: int = rules.LISTED,
) -> Content:
    """Read SKOS statements as a state of the nomenclature.

    Concepts are known by their type, by a subclass of it that the file declares, or by what only concepts have. A code
    is the notation, else the last segment of the IRI, or dct:identifier where that is no code. SKOS-XL labels count as
    plain ones (SKOS Reference S55 to S57); nested collections are flattened; narrower is read as broader the other way;
    top concepts need not be said. Of a scheme that is not our own, blanks around texts go, and texts become NFC.

    :raises TooLarge: if what it says of many things at once comes to more than a file of its size may.
    :raises Invalid: naming the IRI of each thing that can't be read, what would be accepted, and beside it each error
        that the rules of a release find in the rest; at most ``listed`` of them.
    """
    nodes: dict[str, Node] = {}
    for subject, predicate, value in triples:
        node = nodes.get(subject)
        if node is None:
            node = nodes[subject] = Node()
        node.add(predicate, value)
    reader = _Reader(nodes, nomenclature, choices)
    found = reader.content()
    # What holds both ways is looked at from either side, and told once.
    problems = list(dict.fromkeys(reader.problems))
    if problems:
        problems += _of_the_rest(found, nomenclature)
        raise Invalid(problems[:listed], len(problems))
    return found


def _of_the_rest(found: Content, nomenclature: Nomenclature) -> Iterator[Problem]:
    """What the rules find in the part of a file that could be read, so that it is mended once and not twice."""
    links, groups = found.links or frozenset(), found.groups or ()
    release = Release(nomenclature, "1.0", date.min, found.concepts, links, groups)
    for rule in rules.RULES:
        if rule.__name__ not in _NOT_CHECKED:
            yield from (problem for problem in rule(release) if problem.severity == "error")


class _Reader(Scope):
    """SKOS statements being read as one nomenclature: what they give, and where they are wrong."""

    def content(self) -> Content:
        self._refuse_texts_for_addresses()
        above = self._pairs(UPWARDS, DOWNWARDS)
        self._refuse_hierarchy_without_steps(above)
        beside = self._pairs(RELATED, RELATED)
        for code, others in list(beside.items()):
            for other in others:
                beside.setdefault(other, set()).add(code)
        concepts = {code: self._concept(iri, code) for iri, code in self.code_of.items()}
        concepts = {
            code: replace(
                concepts[code],
                broader=tuple(sorted(above.get(code, ()))),
                related=tuple(sorted(beside.get(code, ()))),
            )
            for code in sorted(concepts)
        }
        links = self._links()
        return Content(concepts, links | self._replacements(links), self._groups(), (), self._heading())

    def _refuse_texts_for_addresses(self) -> None:
        for iri in (*self.code_of, *sorted(self.collections)):
            for predicate, text in self.nodes[iri].texts_for_addresses():
                accepted = "l'adresse (IRI) de ce qui est désigné, entre < et >"
                self.refuse(iri, f"{short_or_iri(predicate)} donné comme un texte", text[:80], accepted)

    def _refuse_hierarchy_without_steps(self, above: dict[str, set[str]]) -> None:
        """Refuse what is below something by a transitive relation alone: of what it is directly below is not said."""
        for iri, code in self.code_of.items():
            for predicate, target in self.nodes[iri].relations():
                below = {UPWARDS_AT_LAST: code, DOWNWARDS_AT_LAST: self.code_of.get(target, "")}.get(predicate)
                if below and target in self.code_of and below not in above:
                    accepted = "skos:broader vers le concept immédiatement plus large"
                    self.refuse(iri, f"{short_or_iri(predicate)} sans skos:broader", target, accepted)

    def _concept(self, iri: str, code: str) -> Concept:
        node = self.nodes[iri]
        values: dict[str, Any] = {item.name: self._values(iri, item) for item in TEXT_PROPERTIES}
        values["alt_label"] = tuple(pair for pair in values["alt_label"] if pair not in values["pref_label"])
        deprecated = {literal.text.strip().lower() for literal in node.literals(OWL + "deprecated")}
        for text in sorted(deprecated - {"true", "1", "false", "0"}):
            self.refuse(iri, "owl:deprecated illisible", text[:80], "true ou false")
        is_deprecated = deprecated & {"true", "1"} or any(one.endswith(_NO_LONGER) for one in node.iris(_STATUS))
        return Concept(
            code=code,
            status="deprecated" if is_deprecated else "active",
            legal_basis=tuple(sorted({literal.text for literal in node.literals(DCT + "source")})),
            valid_from=self._day(iri, SCHEMA + "startDate"),
            valid_until=self._day(iri, SCHEMA + "endDate"),
            **values,
        )

    def _values(self, iri: str, item: TextProperty) -> Texts:
        """The texts of a property, those of SKOS-XL labels and of notes that are nodes of their own included."""
        names = (item.iri, *_PARTS.get(item.iri, ()))
        found = [pair for name in names for pair in self._texts(iri, name)]
        node = self.nodes[iri]
        is_label = item.key in _XL_NAMES
        targets = (
            node.iris(SKOSXL + item.key)
            if is_label
            else [target for target in node.iris(*names) if target in self.nodes]
        )
        for target in targets:
            self.spend(len(self.nodes.get(target, ())))
            held = (SKOSXL + "literalForm",) if is_label else _TEXTS_OF_NOTES
            more = next((some for name in held if (some := self._texts(target, name))), ())
            if not more:
                name = f"skosxl:{item.key}" if is_label else short_or_iri(item.iri)
                accepted = " ou ".join(map(short_or_iri, held))
                self.refuse(iri, f"{name} sans texte", target, f"un {accepted} dans le fichier")
            found += more
        return texts(found) if targets or len(names) > 1 else tuple(found)

    def _texts(self, iri: str, predicate: str) -> Texts:
        node = self.nodes.get(iri)
        is_label = predicate in _LABELS
        found = []
        for literal in node.literals(predicate) if node else ():
            language = literal.language or self.choices.language
            if literal.datatype in _MARKUP:
                self.refuse(
                    iri, f"{short_or_iri(predicate)} avec des balises", literal.text[:80], 'du texte, "texte"@fr'
                )
            elif not language:
                accepted = 'une langue, "texte"@fr, ou l\'option language'
                self.refuse(iri, f"{short_or_iri(predicate)} sans langue", literal.text[:80], accepted)
            # What we wrote ourselves is read as it stands: a draft that is exported comes back the same.
            text = literal.text if self.is_own else _tidy(literal.text, is_label=is_label)
            found.append((language or UNDETERMINED, text))
        return texts(found)

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

    def _pairs(self, upwards: Iterable[str], downwards: Iterable[str]) -> dict[str, set[str]]:
        """Codes to codes: what one direction says, and the other turned round."""
        found: dict[str, set[str]] = {}
        for iri, code in self.code_of.items():
            for predicate, target in self.nodes[iri].relations():
                for predicates, turned in ((upwards, False), (downwards, True)):
                    if predicate not in predicates:
                        continue
                    other = self.code_of.get(target)
                    if other is None:
                        self._refuse_outsider(iri, predicate, target)
                    elif turned:
                        found.setdefault(other, set()).add(code)
                    else:
                        found.setdefault(code, set()).add(other)
                    if other is None and not turned and not self.choices.inside_only:
                        # It stands for what is above, lest rules take the concept for one without anything above.
                        found.setdefault(code, set()).add(target)
        return found

    def _refuse_outsider(self, iri: str, predicate: str, target: str) -> None:
        if self.choices.inside_only:
            return
        place = "d'une autre nomenclature" if target in self.schemes_of else "absent"
        what = "une collection" if target in self.collections else f"un concept {place}"
        accepted = (
            "un concept de la nomenclature dans le fichier, ou l'option inside-only, qui laisse ces relations de côté"
        )
        self.refuse(iri, f"{short_or_iri(predicate)} vers {what}", target, accepted)

    def _links(self) -> frozenset[Link]:
        kinds = {iri: kind for kind, iri in LINEAGE_TYPES.items()}
        links = set()
        for iri in self.by_type.get(XKOS + "ConceptAssociation", ()):
            node = self.nodes[iri]
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

    def _replacements(self, links: frozenset[Link]) -> set[Link]:
        """The lineage that dct:isReplacedBy and dct:replaces tell without a date, where a day is chosen for it."""
        known = {(link.old, link.new) for link in links}
        found = set()
        day = self.choices.replaced_on
        for old, new, predicate in sorted(self._replaced()):
            if (self.code_of.get(old, ""), self.code_of.get(new, "")) in known:
                continue
            inside = old in self.code_of and new in self.code_of
            if not inside and (day or self.choices.inside_only):
                self._refuse_outsider(
                    old if old in self.code_of else new, predicate, new if old in self.code_of else old
                )
            elif day is None:
                self.refuse(
                    old,
                    f"{short_or_iri(predicate)} sans date ni nature",
                    new,
                    "une xkos:ConceptAssociation qui donne la date et la nature de la filiation, ou l'option "
                    "replaced-on",
                )
            if inside:
                # Without a day the file is refused; the link then keeps the rules from missing a successor.
                found.add(Link(self.code_of[old], self.code_of[new], day or date.min, "overlaps"))
        return found

    def _replaced(self) -> set[tuple[str, str, str]]:
        """The old one, the new one and the property that says so; at least one of them is ours."""
        found = set()
        for iri in self.code_of:
            for target in self.nodes[iri].iris(DCT + "isReplacedBy"):
                found.add((iri, target, DCT + "isReplacedBy"))
            for target in self.nodes[iri].iris(DCT + "replaces"):
                if target in self.schemes_of:
                    found.add((target, iri, DCT + "replaces"))
        told = {(old, new) for old, new, predicate in found if predicate == DCT + "isReplacedBy"}
        return {one for one in found if one[2] == DCT + "isReplacedBy" or one[:2] not in told}

    def _groups(self) -> tuple[Group, ...]:
        groups = []
        prefix = f"{self.scheme}/-/collection/"
        for iri in sorted(self.collections):
            own = set(self.nodes[iri].iris(SKOS + "inScheme"))
            members = self._members(iri)
            if self.scheme not in own and (own & self.schemes or not (members or self._is_ours(iri))):
                continue
            code = iri.removeprefix(prefix) if iri.startswith(prefix) else self._code(iri, "collection")
            label = next(item for item in TEXT_PROPERTIES if item.key == "prefLabel")
            groups.append(Group(code, self._values(iri, label), tuple(sorted(members))))
        return tuple(sorted(groups, key=lambda group: group.code))

    def _is_ours(self, iri: str) -> bool:
        """Whether a collection that none of our concepts is in can still be ours: none of another's is in it."""
        return not any(target in self.schemes_of for target in self.nodes[iri].iris(SKOS + "member"))

    def _members(self, start: str) -> set[str]:
        """Codes of the concepts in a collection, those of nested collections and of ordered lists included."""
        found: set[str] = set()
        outside: list[str] = []
        seen: set[str] = set()
        stack = [start]
        while stack:
            iri = stack.pop()
            if iri in seen or iri == RDF + "nil":
                continue
            seen.add(iri)
            node = self.nodes.get(iri)
            self.spend(1 + len(node or ()))
            if iri in self.code_of:
                found.add(self.code_of[iri])
            elif node is None or iri in self.schemes_of:
                outside.append(iri)
            else:
                stack.extend(node.iris(*_HOLDS_MEMBERS))
        others = [iri for iri in outside if iri in self.schemes_of]
        if not self.choices.inside_only and (found or len(others) < len(outside)):
            for iri in sorted(outside):
                place = "d'une autre nomenclature" if iri in self.schemes_of else "absent du fichier"
                self.refuse(start, f"membre {place}", iri, "un concept de la nomenclature, ou l'option inside-only")
        return found

    def _heading(self) -> Nomenclature | None:
        if self.scheme not in self.schemes:
            return None
        node = self.nodes[self.scheme]
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


def _tidy(text: str, *, is_label: bool) -> str:
    """A text without what says nothing: blanks around it, the way its lines end, in a label its lines; in NFC."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_label and "\n" in text:
        text = re.sub(r"[ \t]*\n\s*", " ", text.strip())
    return text.strip()
