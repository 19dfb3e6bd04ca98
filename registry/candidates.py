"""Likely concepts for a local label, for a referent to confirm: ``Demande d'APA à domicile`` is ``APA à domicile``.

A local label is searched as it is, then without what software and forms wrap around a name: what stands in brackets,
after a dash, before a colon, and the words that only say what is done with it (``demande de``, ``renouvellement``).
What other lists call the same concept counts too, where their crosswalk is published; and where one maps this very
label, in whatever relation, that is proposed, the more so the more lists agree. The best of these readings is proposed,
with the relation that the words, or the other lists, suggest. A candidate is ``sure`` only when the whole label, but
for brackets and those words, is letter for letter what one concept alone is called. Candidates are proposals: nothing
here writes a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from registry import analysis
from registry.crosswalks import RELATIONS, Relation
from registry.search import Document, Index, Why

MOST_LABELS = 1_000
"""How many labels are looked at in one request."""

_ASKED = frozenset(
    "demande demander dossier constitution instruction renouvellement revision reexamen premiere ouverture suivi prise"
    " charge attribution versement beneficiaire beneficiaires titulaire prestation prestations orientation decision"
    " mise place vers type autre divers departementale departemental".split()
)
"""Folded words that say what is done with an aid, not which aid it is."""

_MAPPED, _EACH_LIST, _MOST_LISTS = 0.8, 0.03, 4
"""What it is worth that a list maps this very label, that another one does, and how many others count."""

_LEAST_ALIKE = 0.75
"""Share of the words of both sides in common, from which two labels are called close."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A concept that a local label may mean: in which relation, how likely from 0 to 1, whether surely, and why."""

    document: Document
    relation: Relation
    score: float
    sure: bool
    why: Why


def candidates(index: Index, label: str, *, nomenclature: str | None = None, limit: int = 5) -> tuple[Candidate, ...]:
    """The likeliest concepts for a local label, best first; none when nothing is like it."""
    best: dict[tuple[str, str], Candidate] = {}
    for place, reading in enumerate(_readings(label)):
        worth = 1.0 - 0.04 * place
        for hit in index.likely(reading, nomenclature=nomenclature, limit=2 * limit):
            key = (hit.document.nomenclature, hit.document.code)
            alike, relation = _alike(reading if place else label, hit.document)
            score = worth * (0.5 * hit.score + 0.5 * alike)
            if key not in best or score > best[key].score:
                best[key] = Candidate(hit.document, relation, round(score, 4), False, hit.why)
    for one in _as_others_map_it(index, label, nomenclature):
        key = (one.document.nomenclature, one.document.code)
        if key not in best or one.score > best[key].score:
            best[key] = one
    ordered = sorted(best.values(), key=lambda one: (-one.score, one.document.depth, one.document.code))
    return tuple(_settled(label, ordered))[:limit]


def _as_others_map_it(index: Index, label: str, nomenclature: str | None) -> Iterator[Candidate]:
    """What published crosswalks map this label to, letter for letter but for brackets and what is done with it."""
    for reading in dict.fromkeys(_whole(label)):
        for document, mapped in index.mapped(reading, nomenclature=nomenclature):
            relation = next(known for known in RELATIONS if known == mapped.relation)
            score = _MAPPED + _EACH_LIST * min(mapped.lists - 1, _MOST_LISTS)
            yield Candidate(document, relation, score, False, Why("mapped", mapped.label, source=mapped.source))


def _whole(label: str) -> tuple[str, ...]:
    """The label as it is, without what stands in brackets, and without the words that only say what is done."""
    bare = re.sub(r"\s*[(\[][^)\]]*[)\]]", " ", label)
    return label, bare, _without(bare)


def _readings(label: str) -> Iterator[str]:
    """The whole label, then its likely kernels, each once."""
    acronyms = [part for part in re.findall(r"[(\[]([^)\]]+)[)\]]", label) if analysis.is_acronym(part)]
    pieces = re.split(r"\s+[-–—/:]\s+|\s*[:;]\s+", _whole(label)[1])
    seen: dict[str, None] = {}
    for text in (*_whole(label), *acronyms, *pieces, *map(_without, pieces)):
        key = analysis.key(text)
        if len(key) > 1 and key not in seen:
            seen[key] = None
            yield " ".join(text.split())


def _without(text: str) -> str:
    """The text from its first to its last word that does more than say what is done, whole if it has none."""
    kept = [word for word in analysis.words(text) if not word.stop and word.text not in _ASKED]
    return text[kept[0].start : kept[-1].end] if kept else text


def _alike(label: str, document: Document) -> tuple[float, Relation]:
    """How much the label shares with the nearest of the concept's labels, and the relation that the words suggest."""
    asked = frozenset(analysis.stems(label))
    best: tuple[float, Relation] = (0.0, "closeMatch")
    for place, text in enumerate(document.labels):
        if analysis.key(text) == analysis.key(label):
            return 1.0, "exactMatch" if _is_called_so(document, place) else "closeMatch"
        held = frozenset(analysis.stems(text))
        common = len(asked & held)
        if not common:
            continue
        alike = 0.95 * 2 * common / (len(asked) + len(held))
        if alike > best[0]:
            best = alike, _relation(asked, held, alike)
    return best


def _is_called_so(document: Document, place: int) -> bool:
    """Whether a label is the concept's own, or a list's that maps it exactly: not one that is mapped only closely."""
    key = analysis.key(document.labels[place])
    relations = {one.relation for one in document.mapped if analysis.key(one.label) == key}
    return not document.source(place) or "exactMatch" in relations or "closeMatch" not in relations


def _relation(asked: frozenset[str], held: frozenset[str], alike: float) -> Relation:
    if alike < _LEAST_ALIKE and held < asked:
        return "broadMatch"
    if alike < _LEAST_ALIKE and asked < held:
        return "narrowMatch"
    return "closeMatch"


def _settled(label: str, ordered: list[Candidate]) -> Iterator[Candidate]:
    """The candidates, with the sure one marked: the first, if it alone is called so, letter for letter."""
    readings = {analysis.key(text) for text in _whole(label)}
    called = [one for one in ordered if readings & {analysis.key(text) for text in one.document.labels}]
    for one in ordered:
        sure = called == [one] and one is ordered[0] and one.relation == "exactMatch"
        yield Candidate(one.document, one.relation, one.score, sure, one.why)
