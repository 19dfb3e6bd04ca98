"""The nouns of Socle as frozen values: what is read, compared, signed and published.

Nothing here knows a database, a file or a protocol. Texts are pairs ``(language, text)`` kept sorted, so that
two equal concepts are equal values whatever the order in which a file gave them. Dates are ``datetime.date``
(Europe/Paris days; a date that ends something is its last day, included), instants are aware UTC ``datetime``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property, total_ordering
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

Texts = tuple[tuple[str, str], ...]
"""Sorted pairs (language tag in lower case, text)."""

Status = Literal["active", "deprecated"]
LinkKind = Literal["same", "wider", "narrower", "overlaps"]
LINK_KINDS: tuple[LinkKind, ...] = ("same", "wider", "narrower", "overlaps")

WIDEST_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Every nomenclature's own code pattern must lie inside this one."""

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

NAMES_IN_USE = frozenset(
    "accessibilite aide api catalog code-lists comite compte connexion correspondances crosswalks deconnexion demandes "
    "fhir livez mentions-legales metrics nomenclatures opensearch.xml organisations plan-du-site readyz recherche "
    "recodage reconcile rest sdmx static versions".split()
)
"""First segments of the service's own addresses: a nomenclature of that name could not be reached."""


def today() -> date:
    """The day that it is in Paris: what is in force "today" is read on it."""
    return datetime.now(ZoneInfo("Europe/Paris")).date()


def texts(pairs: Iterable[tuple[str, str]]) -> Texts:
    """Sort and deduplicate pairs (language, text)."""
    return tuple(sorted(set(pairs)))


def french(*values: str) -> Texts:
    """Texts in French, the language of the shipped nomenclatures."""
    return texts(("fr", value) for value in values)


@total_ordering
class Version:
    """A release number ``MAJOR.MINOR``, compared as integers: 1.10 comes after 1.9.

    :raises ValueError: if the text is not two integers joined by a dot, without leading zeros.
    """

    __slots__ = ("major", "minor")
    _SHAPE = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")

    def __init__(self, text: str) -> None:
        match = self._SHAPE.fullmatch(text)
        if not match:
            raise ValueError(text)
        self.major, self.minor = int(match[1]), int(match[2])

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    def __repr__(self) -> str:
        return f"Version({str(self)!r})"

    def __hash__(self) -> int:
        return hash((self.major, self.minor))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and (self.major, self.minor) == (other.major, other.minor)

    def __lt__(self, other: Version) -> bool:
        return (self.major, self.minor) < (other.major, other.minor)


@dataclass(frozen=True, slots=True)
class Concept:
    """One ``skos:Concept`` as it stands in one release."""

    code: str
    pref_label: Texts
    status: Status = "active"
    alt_label: Texts = ()
    hidden_label: Texts = ()
    definition: Texts = ()
    scope_note: Texts = ()
    inclusion_note: Texts = ()
    exclusion_note: Texts = ()
    example: Texts = ()
    history_note: Texts = ()
    broader: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    legal_basis: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None

    @property
    def label(self) -> str:
        """The preferred label to show: French if there is one, else the first language's, else the code."""
        return preferred(self.pref_label) or self.code


class TextProperty(NamedTuple):
    """A property of concepts whose values are texts with a language: its names in Python, JSON and RDF."""

    name: str
    key: str
    iri: str
    fact: str


SKOS = "http://www.w3.org/2004/02/skos/core#"
XKOS = "http://rdf-vocabulary.ddialliance.org/xkos#"

TEXT_PROPERTIES: tuple[TextProperty, ...] = (
    TextProperty("pref_label", "prefLabel", SKOS + "prefLabel", "relabelled"),
    TextProperty("alt_label", "altLabel", SKOS + "altLabel", "annotated"),
    TextProperty("hidden_label", "hiddenLabel", SKOS + "hiddenLabel", "annotated"),
    TextProperty("definition", "definition", SKOS + "definition", "redefined"),
    TextProperty("scope_note", "scopeNote", SKOS + "scopeNote", "redefined"),
    TextProperty("inclusion_note", "inclusionNote", XKOS + "inclusionNote", "redefined"),
    TextProperty("exclusion_note", "exclusionNote", XKOS + "exclusionNote", "redefined"),
    TextProperty("example", "example", SKOS + "example", "annotated"),
    TextProperty("history_note", "historyNote", SKOS + "historyNote", "annotated"),
)
"""XKOS makes its inclusion and exclusion notes sub-properties of ``skos:scopeNote``: so they redefine."""


def preferred(values: Texts, language: str = "fr") -> str:
    """The text in the language asked for, else in a regional form of it, else the first there is, else nothing."""
    regional = language + "-"
    return next(
        (text for tag, text in values if tag == language),
        next((text for tag, text in values if tag.startswith(regional)), values[0][1] if values else ""),
    )


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """Declared lineage: from ``date`` on, what ``old`` meant is in ``new``, which is ``kind`` seen from the old.

    ``wider`` says that the new concept is wider than the old one. A link from a code to itself says that the
    meaning shifted under the same name.
    """

    old: str
    new: str
    date: date
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class Group:
    """A ``skos:Collection``: a labelled set of concepts that is not a concept itself."""

    code: str
    pref_label: Texts
    members: tuple[str, ...]


@dataclass(frozen=True)
class Nomenclature:
    """A ``skos:ConceptScheme`` and what the registry must know to keep it.

    ``level_titles`` names the levels of a levelled classification, top first (empty: no levels are declared);
    ``generic`` says that broader means "is a kind of". Whether a release needs the committee's votes is said by the
    voting rules that the registry keeps beside the nomenclature.
    """

    slug: str
    iri: str
    title: Texts
    description: Texts = ()
    publisher: str = ""
    license: str = ""
    attribution: str = ""
    code_pattern: str = WIDEST_CODE.pattern
    level_titles: tuple[str, ...] = ()
    generic: bool = False

    @cached_property
    def code_shape(self) -> re.Pattern[str]:
        """The compiled code pattern; a code must match it whole."""
        return re.compile(self.code_pattern)


@dataclass(frozen=True)
class Release:
    """A whole state of a nomenclature, numbered and dated: what is checked, signed and published.

    ``concepts`` is keyed by code; ``links`` is all the lineage known to this release. The empty release
    (``version`` is the empty string) is what the first release is compared with.
    """

    nomenclature: Nomenclature
    version: str
    valid_from: date
    concepts: Mapping[str, Concept] = field(default_factory=dict)
    links: frozenset[Link] = frozenset()
    groups: tuple[Group, ...] = ()

    @cached_property
    def narrower(self) -> dict[str, tuple[str, ...]]:
        """Codes of the direct narrower concepts, by code, sorted."""
        found: dict[str, list[str]] = {}
        for code in sorted(self.concepts):
            for parent in self.concepts[code].broader:
                found.setdefault(parent, []).append(code)
        return {code: tuple(children) for code, children in found.items()}

    @cached_property
    def links_from(self) -> dict[str, tuple[Link, ...]]:
        """Links by old code, sorted."""
        return _by(sorted(self.links), "old")

    @cached_property
    def depths(self) -> dict[str, int]:
        """Depth by code: 1 for a concept without broader; a concept on or under a cycle has none."""
        depths: dict[str, int] = {}
        level = [code for code, concept in self.concepts.items() if not concept.broader]
        depth = 1
        while level:
            # Once each: with two broader concepts at every level, paths are too many to follow one by one.
            fresh = [code for code in dict.fromkeys(level) if code not in depths]
            depths.update(dict.fromkeys(fresh, depth))
            level = [child for code in fresh for child in self.narrower.get(code, ())]
            depth += 1
        return depths

    def with_heading(self, **changes: Any) -> Self:
        """The same content under another version, date or description."""
        return replace(self, **changes)


def _by(links: Iterable[Link], end: str) -> dict[str, tuple[Link, ...]]:
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(getattr(link, end), []).append(link)
    return {code: tuple(ends) for code, ends in found.items()}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A warning accepted in writing: of one rule, for the codes named (none: for all), and why."""

    rule: str
    reason: str
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """On what ground a release was published; it goes into the manifest, so it is signed and chained.

    ``acts`` are the legal acts behind it, by NOR or ELI. ``votes`` are pairs (organisation, choice) and ``submission``
    the hash that they were cast on, both empty where no votes are asked for; people never stand here.
    """

    basis: str
    same_meaning: tuple[str, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    acts: tuple[str, ...] = ()
    votes: tuple[tuple[str, str], ...] = ()
    submission: str = ""


@dataclass(frozen=True, slots=True)
class Edition:
    """What is known of a published release without reading its concepts.

    ``number`` orders the releases of one nomenclature (1, 2, …); ``seq`` is its entry in the release log. It was made
    from the release ``predecessor``, whose number is ``follows`` (0: from nothing); an erratum, from what it mends.
    ``deprecated`` counts within ``concepts``. ``withdrawn_at`` is None unless the release was withdrawn.
    """

    nomenclature: str
    version: str
    number: int
    follows: int
    seq: int
    valid_from: date
    issued: datetime
    content_sha256: str
    concepts: int
    deprecated: int
    corrects: str = ""
    predecessor: str = ""
    withdrawn_at: datetime | None = None
    withdrawn_why: str = ""


@dataclass(frozen=True, slots=True)
class VotingRules:
    """How the committee decides on a nomenclature. Organisations are slugs; one vote each.

    A release is approved by ``threshold`` approvals at least, of them one from each college that ``each_college`` asks
    for. Where a consultation is mandatory (``consultation``), the rules of the code des relations entre le public et
    l'administration come on top: half of the ``voters`` present or represented (R133-10), else a second call without
    quorum; a majority of the votes expressed, the ``chair``'s being decisive when they are equal (R133-11).
    ``days`` is how long a ballot is open unless it says otherwise.
    """

    voters: tuple[str, ...]
    threshold: int = 1
    each_college: bool = False
    consultation: bool = False
    chair: str = ""
    days: int = 14


def mainline(editions: Iterable[Edition]) -> Edition | None:
    """The release that the next one is made from: that of the greatest version, not an erratum of an older MAJOR."""
    return max(editions, key=lambda edition: Version(edition.version), default=None)


@dataclass(frozen=True)
class Content:
    """What a file says of a nomenclature: the whole state, and the editor's word where a meaning did not change.

    None stands for what the file does not speak of, and the base keeps: lineage, groups, heading. A group without
    labels is one that the file names by its code alone. ``made_from`` is the release that the file says it was made
    from, before it was edited; empty if it does not say.
    """

    concepts: Mapping[str, Concept]
    links: frozenset[Link] | None = None
    groups: tuple[Group, ...] | None = None
    same_meaning: tuple[str, ...] = ()
    nomenclature: Nomenclature | None = None
    made_from: str = ""
