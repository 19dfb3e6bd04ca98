"""A query understood: its words, what each may stand for, and how it was corrected.

Each step is bounded before the next: at most 200 characters, then 10 words; French analysis
(``registry.analysis``); unknown words are completed, corrected, cut or glued against the words of the index; and words
of every day are read as those of the field (``registry.everyday``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from registry import analysis, everyday
from registry.vocabulary import Vocabulary

LONGEST_QUERY = 200
MOST_WORDS = 10

TOLD = 4
"""Words that say something, from which on a query is read as a sentence."""

_RELATED, _EVERYDAY, _REREAD = 0.6, 0.6, 0.5
_WEAK, _UNKNOWN = 0.25, 0.75


@dataclass(frozen=True, slots=True)
class Form:
    """One stem that a word of the query may stand for, and how good a reading that is."""

    stem: str
    quality: float
    kind: Literal["stem", "acronym", "prefix", "corrected", "related", "everyday"] = "stem"
    correction: str = ""

    @property
    def trust(self) -> float:
        """How much of its rarity a word read so brings to a concept that does not hold every word."""
        return {"prefix": 0.8, "related": 0.8, "everyday": 0.9, "corrected": self.quality}.get(self.kind, 1.0)


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the query with its readings, best first; without any, nothing in the index is like it."""

    text: str
    forms: tuple[Form, ...]
    weight: float
    weak: bool = False

    @property
    def trusted(self) -> float:
        """What the word brings to a concept that does not hold every word: less when it had to be guessed."""
        return self.weight * max((form.trust for form in self.forms), default=0.0)


@dataclass(frozen=True)
class Plan:
    """A query understood: its terms, what it says letter for letter, and how it was corrected."""

    key: str
    terms: tuple[Term, ...]
    understood_as: str
    told: bool = False
    """Whether it is something told in a sentence rather than a name: such a query holds words to spare."""

    @cached_property
    def readings(self) -> dict[str, list[tuple[int, Form]]]:
        """Which terms a stem answers, and by which form."""
        found: dict[str, list[tuple[int, Form]]] = {}
        for place, term in enumerate(self.terms):
            for form in term.forms:
                found.setdefault(form.stem, []).append((place, form))
        return found

    @cached_property
    def qualities(self) -> dict[str, tuple[tuple[int, float], ...]]:
        """Which terms a stem answers, and how well."""
        return {stem: tuple((place, form.quality) for place, form in found) for stem, found in self.readings.items()}

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The folded words of the query, letter for letter."""
        return tuple(self.key.split())

    @cached_property
    def squeezed(self) -> str:
        """The folded letters and digits of the query alone, as those of a code are compared."""
        return "".join(self.parts)

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """How much each word says."""
        return tuple(term.weight for term in self.terms)

    @cached_property
    def weight(self) -> float:
        """How much all the words say together."""
        return sum(term.weight for term in self.terms) or 1.0


def plan_of(query: str, vocabulary: Vocabulary, acronyms: Callable[[str], bool]) -> Plan:
    """Read a query, bounded first."""
    text = query[:LONGEST_QUERY]
    found = analysis.words(text)[: 4 * MOST_WORDS]
    asked = [place for place, word in enumerate(found) if not word.stop][:MOST_WORDS]
    last = len(found) - 1 if text and not text[-1].isspace() else -1
    meant = _everyday(found, vocabulary)
    read: list[tuple[int, str, list[Form]]] = []
    corrected_text = text
    for place in reversed(asked):
        word = found[place]
        glued = [
            joined
            for other in (place - 1, place + 1)
            if 0 <= other < len(found)
            for joined in (
                analysis.stem("".join(one.text for one in found[min(place, other) : max(place, other) + 1])),
            )
            if vocabulary.holds(joined)
        ]
        forms, replacement = _forms(
            word, glued, meant.get(place, ()), vocabulary, acronyms, last=place == last, alone=len(asked) == 1
        )
        if replacement:
            corrected_text = (
                corrected_text[: word.start]
                + " ".join(map(vocabulary.as_written, replacement))
                + corrected_text[word.end :]
            )
        if len(replacement) == 2:
            pairs = [[Form(analysis.stem(part), 0.9, "corrected", vocabulary.as_written(part))] for part in replacement]
            read += [(place, word.text, pair) for pair in reversed(pairs)]
        else:
            read.append((place, word.text, forms))
    understood = " ".join(corrected_text.split()) if corrected_text != text else ""
    if understood:
        _reread(read, meant, found, analysis.words(corrected_text), vocabulary)
    terms = [_term(text, forms, vocabulary) for _, text, forms in reversed(read)]
    told = sum(not term.weak for term in terms) >= TOLD or any(word.text in analysis.TELLING for word in found)
    if told:
        # In a sentence many words are beside the point; in a name, an unknown one says that it is something else.
        terms = [term if term.forms else replace(term, weight=_UNKNOWN * term.weight) for term in terms]
    return Plan(analysis.key(text), tuple(terms[:MOST_WORDS]), understood, told)


def _everyday(found: Sequence[analysis.Word], vocabulary: Vocabulary) -> dict[int, tuple[str, ...]]:
    """What each word may mean in the field, by its place, from the words of every day that begin or hold it."""
    meant: dict[int, tuple[str, ...]] = {}
    known = everyday.readings()
    stems = [word.stem for word in found]
    for place, stem in enumerate(stems):
        for reading in known.get(stem, ()):
            if tuple(stems[place : place + len(reading.said)]) != reading.said:
                continue
            means = tuple(one for one in reading.means if vocabulary.holds(one))
            for inside in range(place, place + len(reading.said)):
                meant.setdefault(inside, means)
            break
    return meant


def _reread(
    read: list[tuple[int, str, list[Form]]],
    meant: Mapping[int, tuple[str, ...]],
    found: Sequence[analysis.Word],
    mended: Sequence[analysis.Word],
    vocabulary: Vocabulary,
) -> None:
    """Add what the words mean together once they are corrected: an expression is not known by a misspelt word."""
    if len(found) != len(mended):
        return
    meant_once_mended = _everyday(mended, vocabulary)
    for place, _, forms in read:
        if place not in meant:
            forms += [Form(stem, _REREAD, "everyday") for stem in meant_once_mended.get(place, ())]


def _term(text: str, forms: list[Form], vocabulary: Vocabulary) -> Term:
    best: dict[str, Form] = {}
    for form in sorted(forms, key=lambda form: -form.quality):
        best.setdefault(form.stem, form)
    literal = [form.stem for form in best.values() if form.kind not in ("prefix", "everyday", "related")]
    weak = text in analysis.WEAK_WORDS or (text.isdecimal() and not forms)
    others = [vocabulary.rarity([form.stem]) for form in best.values() if form.kind != "prefix"]
    guessed = bool(others) and not literal
    weight = sum(others) / len(others) if guessed else vocabulary.rarity(literal or list(best))
    return Term(text, tuple(best.values()), weight * _WEAK if weak else weight, weak)


def _forms(
    word: analysis.Word,
    glued: list[str],
    meant: Sequence[str],
    vocabulary: Vocabulary,
    acronyms: Callable[[str], bool],
    *,
    last: bool,
    alone: bool,
) -> tuple[list[Form], list[str]]:
    """The readings of one word, and what it is replaced by if it had to be corrected."""
    forms = [
        Form(stem, 1.0) for stem in (word.stem, analysis.stem(word.whole), *glued) if stem and vocabulary.holds(stem)
    ]
    if acronyms(word.text):
        forms.append(Form(f"@{word.text}", 0.9, "acronym"))
    known = bool(forms)
    if last and len(word.text) >= (4 if known else 2):
        forms += [
            Form(analysis.stem(longer), 0.5 + 0.4 * len(word.text) / len(longer), "prefix", longer)
            for longer in vocabulary.completions(word.text)
        ]
    others = [Form(stem, _RELATED, "related") for stem in vocabulary.relatives(word.stem)]
    others += [Form(stem, _EVERYDAY, "everyday") for stem in meant]
    if forms or meant or not word.text.isalnum() or word.text in analysis.WEAK_WORDS:
        return forms + others, []
    mended, replacement = corrected(word.text, vocabulary, 1 if others else 2, alone=alone)
    return mended + others, replacement


def corrected(
    word: str, vocabulary: Vocabulary, distance: int = 2, *, alone: bool = False
) -> tuple[list[Form], list[str]]:
    """Readings of a word that the index does not know, and the word or the two words that replace it."""
    near: list[tuple[str, int]] = []
    if not word.isalpha():
        # A number and letters stuck together is the only mistake looked for where there are figures.
        stuck = re.fullmatch(r"([^0-9]{3,})([0-9]\w*)|([0-9]+)([^0-9]{3,})", word)
        parts = [part for part in stuck.groups() if part] if stuck else []
        return [], parts if parts and all(vocabulary.knows(part) for part in parts) else []
    if len(word) == 3:
        # Most words of three letters are one letter away from another: only one exchanged or forgotten counts.
        near = [
            one for one in vocabulary.corrections(word, 1) if alone or len(one[0]) > 3 or sorted(one[0]) == sorted(word)
        ]
    elif len(word) > 3:
        near = vocabulary.corrections(word, 1)
    if not near:
        parts = vocabulary.cut(word)
        if len(parts) == 2:
            return [], parts
        near = [(part, 1) for part in parts]
    if not near and len(word) >= 7 and distance == 2:
        near = vocabulary.corrections(word, 2)
    if not near and analysis.stem(word) != word:
        # The index may know the word in the singular only, which is one error further from what was typed.
        near = (
            [one for one in vocabulary.corrections(analysis.stem(word), 1) if len(one[0]) > 2] if len(word) > 3 else []
        )
    forms: list[Form] = []
    for place, (found, errors) in enumerate(near):
        quality, written = 1 - errors / len(word) - 0.005 * place, vocabulary.as_written(found)
        forms.append(Form(analysis.stem(found), quality, "corrected", written))
        forms += [
            Form(stem, _EVERYDAY * quality, "everyday", written)
            for stem in everyday.words().get(found, ())
            if vocabulary.holds(stem)
        ]
    return forms, [near[0][0]] if near else []
