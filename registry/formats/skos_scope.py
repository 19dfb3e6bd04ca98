"""What a file of SKOS statements means: which of its nodes are concepts, of which scheme, and under which codes.

Published files say it in several ways, or leave it to be inferred; where a person must settle it, the refusal says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, NamedTuple

from registry import sandbox
from registry.errors import Problem, TooLarge
from registry.model import SKOS, WIDEST_CODE, Nomenclature
from registry.signing import DCT, RDF

SKOSXL = "http://www.w3.org/2008/05/skos-xl#"
ISO_THES = "http://purl.org/iso25964/skos-thes#"

_SUBCLASS = "http://www.w3.org/2000/01/rdf-schema#subClassOf"
_KINDS = ("Generic", "Partitive", "Instantial")
UPWARDS = (SKOS + "broader", *(f"{ISO_THES}broader{kind}" for kind in _KINDS))
DOWNWARDS = (SKOS + "narrower", *(f"{ISO_THES}narrower{kind}" for kind in _KINDS))
RELATED = (SKOS + "related",)
UPWARDS_AT_LAST, DOWNWARDS_AT_LAST = SKOS + "broaderTransitive", SKOS + "narrowerTransitive"
_RELATIONS = frozenset((*UPWARDS, *DOWNWARDS, *RELATED, UPWARDS_AT_LAST, DOWNWARDS_AT_LAST))
_LEADS_SOMEWHERE = _RELATIONS | {
    *(SKOS + name for name in ("inScheme", "topConceptOf", "member")),
    *(SKOSXL + name for name in ("prefLabel", "altLabel", "hiddenLabel")),
    *(DCT + name for name in ("isReplacedBy", "replaces")),
}
_IDENTIFIERS = (DCT + "identifier", "http://purl.org/dc/elements/1.1/identifier")
_MOST_NAMED = 20
_AT_LEAST, _A_STATEMENT = 50_000, 10
"""What may be made of a file: so much, and so much more for each of its statements."""


class Choices(NamedTuple):
    """What a person says where a file leaves it open; each refusal that one of these would lift names it.

    ``scheme`` is the concept scheme to take among several, ``language`` that of texts without one. ``inside_only``
    leaves relations to concepts out that are not in the scheme. ``codes`` takes codes from IRIs rather than notations.
    ``replaced_on`` is the day of a dct:isReplacedBy; its kind is then ``overlaps``, which claims the least.
    """

    scheme: str = ""
    language: str = ""
    inside_only: bool = False
    codes: Literal["notation", "iri"] = "notation"
    replaced_on: date | None = None


NO_CHOICE = Choices()


class Node:
    """The statements of one subject, predicates and values in turn: a million statements must fit in memory."""

    __slots__ = ("_statements",)

    def __init__(self) -> None:
        self._statements: list[Any] = []

    def add(self, predicate: str, value: str | sandbox.Literal) -> None:
        """Keep one more statement."""
        self._statements += (predicate, value)

    def __len__(self) -> int:
        """How many statements there are."""
        return len(self._statements) // 2

    def predicates(self) -> set[str]:
        """The predicates of the statements whose object is an IRI."""
        return {predicate for predicate, value in self._pairs() if isinstance(value, str)}

    def iris(self, *wanted: str) -> list[str]:
        """The IRIs that it has under any of these predicates."""
        return [value for predicate, value in self._pairs() if predicate in wanted and isinstance(value, str)]

    def literals(self, wanted: str) -> list[sandbox.Literal]:
        """The literals that it has under a predicate."""
        return [value for predicate, value in self._pairs() if predicate == wanted and not isinstance(value, str)]

    def relations(self) -> Iterator[tuple[str, str]]:
        """The statements that relate it to another concept."""
        return (
            (predicate, value)
            for predicate, value in self._pairs()
            if predicate in _RELATIONS and isinstance(value, str)
        )

    def texts_for_addresses(self) -> Iterator[tuple[str, str]]:
        """The statements that have a text where only an address leads to something."""
        return (
            (predicate, value.text)
            for predicate, value in self._pairs()
            if predicate in _LEADS_SOMEWHERE and not isinstance(value, str)
        )

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        statements = iter(self._statements)
        return zip(statements, statements, strict=True)


class Scope:
    """SKOS statements of which it is found out what they are about, and what is wrong there.

    ``concepts`` are all of the file's; ``code_of`` has the codes of those in the ``scheme`` that is read.
    """

    def __init__(self, nodes: dict[str, Node], nomenclature: Nomenclature, choices: Choices) -> None:
        self.nodes, self.nomenclature, self.choices = nodes, nomenclature, choices
        self.problems: list[Problem] = []
        self._left = _AT_LEAST + _A_STATEMENT * sum(len(node) for node in nodes.values())
        self._labelled: dict[str, bool] = {}
        self.by_type: dict[str, list[str]] = {}
        self.subclasses: dict[str, list[str]] = {}
        for iri, node in nodes.items():
            for kind in node.iris(RDF + "type"):
                self.by_type.setdefault(kind, []).append(iri)
            for kind in node.iris(_SUBCLASS):
                self.subclasses.setdefault(kind, []).append(iri)
        self.schemes = self._of_type(SKOS + "ConceptScheme")
        self.collections = self._of_type(
            *(SKOS + name for name in ("Collection", "OrderedCollection")),
            *(ISO_THES + name for name in ("ConceptGroup", "ThesaurusArray")),
        )
        self.concepts = self._concepts()
        self.schemes_of = self._schemes_of()
        self.scheme = self._scheme()
        self.is_own = self.scheme == nomenclature.iri and (self.scheme in self.schemes or self.scheme in self._named())
        self.code_of = self._codes()

    def refuse(self, where: str, message: str, value: str = "", accepted: str = "") -> None:
        """Name one thing that can't be read."""
        self.problems.append(Problem("skos_is_readable", message, (), where, value, accepted))

    def spend(self, amount: int) -> None:
        """Take note that so much is made of the file: a small one may say that a lot holds of a lot.

        :raises TooLarge: if it is out of all proportion.
        """
        self._left -= amount
        if self._left < 0:
            raise TooLarge("RDF: what the file says of many things at once comes to more than it may")

    def _of_type(self, *wanted: str) -> set[str]:
        """The subjects of these types, or of types that the file declares to be subclasses of them."""
        known = set(wanted)
        waiting = list(wanted)
        while waiting:
            for kind in self.subclasses.get(waiting.pop(), ()):
                if kind not in known:
                    known.add(kind)
                    waiting.append(kind)
        return {iri for kind in known for iri in self.by_type.get(kind, ())}

    def _concepts(self) -> list[str]:
        """What is a concept: by its type, or since only concepts have what it has (S4, S7, S19, S24)."""
        found = self._of_type(SKOS + "Concept")
        only_concepts = {SKOS + "topConceptOf", *_RELATIONS}
        named: set[str] = set()
        for iri, node in self.nodes.items():
            predicates = node.predicates()
            if not only_concepts.isdisjoint(predicates) or (
                SKOS + "inScheme" in predicates and RDF + "type" not in predicates
            ):
                named.add(iri)
            if not only_concepts.isdisjoint(predicates) or SKOS + "hasTopConcept" in predicates:
                targets = node.iris(SKOS + "hasTopConcept", *_RELATIONS)
                named.update(target for target in targets if target in self.nodes and self._is_labelled(target))
        for others, number, name in ((self.schemes, "S9", "nomenclature"), (self.collections, "S37", "collection")):
            for iri in sorted(found & others):
                self.refuse(
                    iri, f"à la fois concept et {name}, ce que SKOS exclut ({number})", "", "une adresse à chacun"
                )
            named -= others
        found |= named
        if not found:
            self.refuse("skos:Concept", "aucun concept", accepted="au moins un skos:Concept")
        return sorted(found)

    def _is_labelled(self, iri: str) -> bool:
        found = self._labelled.get(iri)
        if found is None:
            node = self.nodes[iri]
            found = bool(node.literals(SKOS + "prefLabel") or node.iris(SKOSXL + "prefLabel"))
            self._labelled[iri] = found
        return found

    def _schemes_of(self) -> dict[str, set[str]]:
        """The schemes of each concept: those that it names or is a top of, else those of its hierarchy."""
        found = {iri: set(self.nodes[iri].iris(SKOS + "inScheme", SKOS + "topConceptOf")) for iri in self.concepts}
        for iri, node in self.nodes.items():
            for target in node.iris(SKOS + "hasTopConcept"):
                if target in found:
                    found[target].add(iri)
        if not all(found.values()) and any(found.values()):
            self._inherit(found)
        return found

    def _inherit(self, schemes_of: dict[str, set[str]]) -> None:
        """Give the concepts that name no scheme those of the nearest above or below them that do."""
        near: dict[str, list[str]] = {}
        for iri in self.concepts:
            for target in self.nodes[iri].iris(*UPWARDS, *DOWNWARDS):
                near.setdefault(iri, []).append(target)
                near.setdefault(target, []).append(iri)
        wave = [iri for iri, schemes in schemes_of.items() if schemes]
        while wave:
            reached: dict[str, set[str]] = {}
            for iri in wave:
                for other in near.get(iri, ()):
                    if other in schemes_of and not schemes_of[other]:
                        self.spend(len(schemes_of[iri]))
                        reached.setdefault(other, set()).update(schemes_of[iri])
            schemes_of.update(reached)
            wave = list(reached)

    def _scheme(self) -> str:
        """The scheme to read: the one asked for, our own, the only one that has concepts, or that has them all."""
        counts = self._named()
        known = sorted(self.schemes | set(counts))
        wanted = self.choices.scheme
        if wanted:
            if wanted not in known:
                found = _listed(known) or "aucune"
                self.refuse("skos:ConceptScheme", "nomenclature absente du fichier", wanted, f"l'une de : {found}")
            return wanted
        if self.nomenclature.iri in known:
            return self.nomenclature.iri
        whole = [iri for iri in known if counts.get(iri) == len(self.concepts)]
        typed = [iri for iri in whole if iri in self.schemes]
        for candidates in (list(counts), whole, typed, [] if counts else known):
            if len(candidates) == 1:
                return candidates[0]
        if known:
            self.refuse(
                "skos:ConceptScheme",
                "plusieurs nomenclatures dans le fichier",
                _listed(known),
                "une seule, ou l'option scheme avec l'adresse de l'une d'elles",
            )
        return self.nomenclature.iri

    def _named(self) -> Counter[str]:
        """The schemes that concepts are in, and how many."""
        return Counter(iri for schemes in self.schemes_of.values() for iri in schemes)

    def _codes(self) -> dict[str, str]:
        schemes = set().union(*self.schemes_of.values())
        chosen = not self.problems or self.choices.scheme in schemes
        others = schemes - {self.scheme} if self.scheme in schemes and chosen else set()
        code_of: dict[str, str] = {}
        iri_of: dict[str, str] = {}
        for iri in self.concepts:
            own = self.schemes_of[iri]
            if others and self.scheme not in own:
                if not own and not self.choices.inside_only:
                    self.refuse(iri, "concept sans nomenclature, où il y en a plusieurs", "", "skos:inScheme")
                continue
            code = self._code(iri, "concept")
            if code in iri_of:
                self.refuse(
                    iri,
                    "code déjà pris par un autre concept",
                    f"{code} ({iri_of[code]})",
                    "un code par concept, ou l'option codes=iri",
                )
            iri_of[code] = iri
            code_of[iri] = code
        if self.concepts and not code_of:
            self.refuse(self.scheme, "aucun concept dans cette nomenclature", accepted="au moins un skos:Concept")
        return code_of

    def _code(self, iri: str, what: str) -> str:
        """The notation, else the last segment of the IRI, or the identifier where that is no code.

        Of several notations it is the IRI's own, then a plain one.
        """
        inside = iri.removeprefix(self.scheme + "/")
        last = inside if WIDEST_CODE.fullmatch(inside) else re.split("[/#:]", iri.rstrip("/#"))[-1]
        is_asked = self.choices.codes == "notation" or iri.startswith("_:")
        literals = self.nodes[iri].literals(SKOS + "notation") if is_asked else []
        notations = [
            text
            for literal in sorted(literals, key=lambda one: (one.datatype, one.language, one.text))
            if (text := literal.text.strip())
        ]
        if not notations and (iri.startswith("_:") or not WIDEST_CODE.fullmatch(last)):
            told = {literal.text.strip() for name in _IDENTIFIERS for literal in self.nodes[iri].literals(name)}
            notations = [*told] if len(told) == 1 else []
        if iri.startswith("_:") and not notations:
            self.refuse(iri, f"{what} sans adresse ni notation", self._name(iri), "une adresse (IRI) ou skos:notation")
        return last if last in notations or not notations else notations[0]

    def _name(self, iri: str) -> str:
        return next((literal.text for literal in self.nodes[iri].literals(SKOS + "prefLabel")), "")


def _listed(iris: list[str]) -> str:
    more = len(iris) - _MOST_NAMED
    return ", ".join(iris[:_MOST_NAMED]) + (f", et {more} autres" if more > 0 else "")
