"""Finding concepts: ``aide menagere``, ``AEMO``, ``hebergement personne agee``, ``placement judicaire``.

A query is understood first (``registry.planning``); then come the concepts that hold every word in their labels, then
in labels, notes or broader labels, then those that hold enough of the rare ones. The first fifty are put in order,
each with the reason why it is there. A query whose rare words are nowhere gets nothing: an empty answer is an answer.

What is searched is a folder derived from releases (``registry.indexing``), which never changes once it stands:
``build`` makes one, ``keep`` opens it or builds it again. Whoosh's query parser is never used: no query has operators.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, mul
from pathlib import Path
from typing import Literal, NamedTuple, Self

from registry import analysis, indexing
from registry.indexing import ACRONYM, CODE, LABEL, Document, Entry, Files, Key, Mapped, build, code_terms
from registry.planning import LONGEST_QUERY, MOST_WORDS, Plan, Term, corrected, plan_of
from registry.postings import numbers
from registry.vocabulary import MOST_CORRECTIONS

__all__ = ["LONGEST_QUERY", "MOST_WORDS", "Document", "Hit", "Index", "Mapped", "Results", "Why", "build", "keep"]

RERANKED = 50
PATIENCE = 0.25
"""Seconds after which a search answers with what it has found so far."""

LEAST_COVERAGE, LEAST_TOLD, LEAST_GENEROUS = 0.42, 0.3, 0.15
"""Share of the rarity of the words asked for that a concept must hold when it does not hold them all: in a name, in a
sentence, and where someone will choose."""

LEAST_SCORE, LEAST_TOLD_SCORE = 0.3, 0.1
"""Score that the best hit must reach, unless it holds every word, for there to be an answer at all; in a sentence."""

ENOUGH = 5
"""Concepts that hold every word, above which those that hold only some are not looked for."""

_IN_NOTES, _IN_PATH, _PARTIAL, _WHOLE, _UNDEFINED = 0.6, 0.5, 0.5, 0.2, 0.93
"""What a word is worth found in a note, in a broader label; a concept that lacks a word, one that holds them all; one
that does not say what it means."""

_REMEMBERED_ENTRIES = 1_024
_MOST_ADDED = 2_000
"""Concepts that hold a word, above which the word alone makes none of them a candidate when rarer words did."""

Kind = Literal["code", "label", "acronym", "local", "stem", "prefix", "corrected", "everyday", "definition", "mapped"]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Why:
    """The reason of a match: ``text`` is the code, label or note that matched, ``highlights`` are offsets in it.

    ``correction`` names what the query's words were taken for when they were corrected, or read as words of the field.
    A hidden label is searched and never shown: its concept's preferred label stands for it. ``source`` is the local
    list whose label it is (``dep-35/thematiques@1``), empty for the concept's own words. ``mapped`` says that a list
    maps this very label.
    """

    kind: Kind
    text: str
    correction: str = ""
    highlights: Spans = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A concept found, from 1 (exactly what was asked for) down to 0, and why."""

    document: Document
    score: float
    why: Why


@dataclass(frozen=True, slots=True)
class Results:
    """A page of hits, best first, out of ``total``.

    ``understood_as`` is the query that was answered when words had to be corrected, else empty; ``near`` holds
    spellings that the index knows when nothing was found; ``facets`` counts all that was found, by nomenclature and
    by status.
    """

    hits: tuple[Hit, ...] = ()
    total: int = 0
    understood_as: str = ""
    near: tuple[str, ...] = ()
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


# --- The index ----------------------------------------------------------------------------------------------------


def keep(root: Path, sequence: int, documents: Callable[[], Iterable[Document]]) -> Index:
    """Open the index of one state of the registry, building it first if it is not there whole.

    What ``sequence`` and ``documents`` are, and what is swept away, ``registry.indexing.keep`` says.

    :raises OSError: when the disk refuses.
    :raises Damaged: when even a freshly built index does not open.
    """
    return Index(indexing.keep(root, sequence, documents))


_EXACT = {CODE: 1.0, LABEL: 0.99, ACRONYM: 0.95}
_LOCAL = 0.93
"""What the very label of a concept is worth, by its kind; and what a local list calls it."""


class _Ranked(NamedTuple):
    score: float
    number: int
    entry: Entry


@dataclass(eq=False)
class Index:
    """An open index: immutable, and safe to read from several threads. Close it when another takes its place.

    ``patience`` is the time in seconds after which a search answers with what it has found.
    """

    _files: Files
    patience: float = PATIENCE
    _entries: dict[int, Entry] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index folder after checking every file of it.

        :raises Damaged: if it is missing, not whole, or of another format.
        """
        return cls(indexing.opened(folder))

    def close(self) -> None:
        """Give the files back; the index can't be read any more."""
        self._files.close()

    def search(
        self,
        query: str,
        *,
        nomenclature: str | None = None,
        status: str | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Results:
        """Concepts that answer a query, best first, with the reason of each.

        Any text is a query and none has operators. ``limit`` and ``offset`` cut a page out of all that was found.
        """
        return self._search(query, self._allowed(nomenclature, status), limit, offset)

    def likely(self, text: str, *, nomenclature: str | None = None, limit: int = 10) -> tuple[Hit, ...]:
        """Concepts that a text may mean, best first, for someone who will choose: even those hardly like it."""
        return self._search(text, self._allowed(nomenclature, None), limit, 0, generous=True).hits

    def mapped(self, label: str, *, nomenclature: str | None = None) -> tuple[tuple[Document, Mapped], ...]:
        """Concepts to which published crosswalks map a local label that is called the same, letter for letter."""
        places = self._files.mapped.get(analysis.key(label), ())
        found = ((self._entry(number).document, place) for number, place in places)
        return tuple(
            (document, document.mapped[place])
            for document, place in found
            if nomenclature in (None, document.nomenclature)
        )

    def _search(self, query: str, allowed: int | None, limit: int, offset: int, *, generous: bool = False) -> Results:
        deadline = time.thread_time() + self.patience
        plan = plan_of(query, self._files.vocabulary, lambda word: bool(self._files.postings("labels", f"@{word}")))
        least_coverage, least_score = (LEAST_TOLD, LEAST_TOLD_SCORE) if plan.told else (LEAST_COVERAGE, LEAST_SCORE)
        if generous:
            least_coverage, least_score = LEAST_GENEROUS, 0.0
        exact = self._exact(plan, allowed)
        found, whole = self._candidates(plan, exact, allowed, least_coverage, deadline)
        if not found.bits:
            return Results(near=self._near(plan))
        first, past = max(offset, 0), max(offset, 0) + max(limit, 0)
        numbers = found.first(max(past, RERANKED))
        best = sorted(
            (self._rank(plan, number, exact) for number in numbers[:RERANKED]),
            key=lambda one: (-one.score, one.entry.depth, one.number),
        )
        if not whole and best[0].score < least_score:
            return Results(near=self._near(plan))
        page = best[first:past]
        if past > len(best):
            # What comes after the fifty that are put in order can't be better than they are.
            floor = best[-1].score
            for number in numbers[max(first, len(best)) : past]:
                one = self._rank(plan, number, exact)
                floor = min(floor, one.score)
                page.append(one._replace(score=floor))
        hits = tuple(
            Hit(one.entry.document, round(one.score, 4), self._why(plan, one, exact.get(one.number))) for one in page
        )
        total = found.bits.bit_count()
        return Results(hits, total, "" if exact else plan.understood_as, facets=self._facets(found.bits))

    def suggest(self, query: str, *, nomenclature: str | None = None, limit: int = 10) -> tuple[Hit, ...]:
        """What someone may be typing: labels, acronyms and codes that begin so, then labels that hold these words.

        Only when neither exists are the words corrected.
        """
        key = analysis.key(query[:LONGEST_QUERY])
        starts = _starts_of(key)
        if not starts:
            return ()
        allowed = self._allowed(nomenclature, None)
        keys = self._files.keys
        found = keys.best(keys.beginning(key, allowed), key)
        hits = [
            self._suggestion(one, starts, 1.0 if one.key == key else 0.9) for one in self._keys(found.values(), limit)
        ]
        if len(hits) < limit and len(key) > 1:
            more = keys.best(keys.holding(starts, allowed), key)
            new = [row for number, row in more.items() if number not in found]
            hits += [self._suggestion(one, starts, 0.8) for one in self._keys(new, limit - len(hits))]
        return tuple(hits) or self._corrected_suggestions(starts, allowed, limit)

    def _keys(self, rows: Iterable[int], most: int) -> list[Key]:
        return [self._files.keys[row] for row in itertools.islice(rows, max(most, 0))]

    def _corrected_suggestions(self, starts: list[str], allowed: int | None, limit: int) -> tuple[Hit, ...]:
        mended: list[str] = []
        corrections: list[str] = []
        for start in starts:
            if self._files.keys.begins_a_word(start) or not start.isalpha():
                mended.append(start)
                continue
            forms, words = corrected(start, self._files.vocabulary)
            mended += words
            corrections += [self._files.vocabulary.as_written(word) for word in words]
            if not forms and not words:
                return ()
        if not corrections:
            return ()
        keys = self._files.keys
        found = keys.best(keys.holding(mended, allowed), " ".join(mended))
        shown = self._keys(found.values(), limit)
        return tuple(self._suggestion(one, mended, 0.6, " ".join(corrections)) for one in shown)

    def _suggestion(self, key: Key, starts: Sequence[str], score: float, correction: str = "") -> Hit:
        document = self._files.document(key.number)
        if key.kind == CODE:
            return Hit(document, score, Why("code", document.code, highlights=_typed(document.code, starts)))
        text = _shown(document, key.label)
        if key.kind == ACRONYM:
            return Hit(document, score, Why("acronym", text, highlights=_initials(document, key.label)))
        kind: Kind = "label" if score == 1.0 else "prefix"
        if score == 1.0 and analysis.is_acronym(text):
            kind = "acronym"
        spans = () if document.is_hidden(key.label) else _typed(text, starts)
        source = document.source(key.label)
        return Hit(document, score, Why("corrected" if correction else kind, text, correction, spans, source))

    # Candidates

    def _facets(self, found: int) -> dict[str, dict[str, int]]:
        postings = self._files.postings
        counts = {
            name: {value: (found & postings(name, value)).bit_count() for value in postings.values(name)}
            for name in ("nomenclature", "status")
        }
        return {name: {value: count for value, count in held.items() if count} for name, held in counts.items()}

    def _allowed(self, nomenclature: str | None, status: str | None) -> int | None:
        """The numbers that the filters leave, or None when there is no filter."""
        sets = [
            self._files.postings(name, value)
            for name, value in (("nomenclature", nomenclature), ("status", status))
            if value is not None
        ]
        return _intersection(sets) if sets else None

    def _exact(self, plan: Plan, allowed: int | None) -> dict[int, Key]:
        """What the query says letter for letter, by number: the best key of each concept."""
        found: dict[int, Key] = {}
        if plan.key:
            keys = sorted(self._files.keys.equal(plan.key), key=lambda one: (-_EXACT[one.kind], one.label))
            for one in keys:
                if allowed is None or allowed >> one.number & 1:
                    found.setdefault(one.number, one)
        return found

    def _candidates(
        self, plan: Plan, exact: Mapping[int, Key], allowed: int | None, coverage: float, deadline: float
    ) -> tuple[_Found, bool]:
        """The concepts that answer, the likeliest first, and whether any holds all that was asked."""
        in_labels = [self._holding(term, ("labels",), deadline) for term in plan.terms]
        anywhere = [self._holding(term, ("labels", "around"), deadline, widely=True) for term in plan.terms]
        found = _Found(exact)
        for step in (_intersection(in_labels), self._by_code(plan), _intersection(anywhere)):
            found.add(step if allowed is None else step & allowed)
        whole = bool(found.bits)
        if found.bits.bit_count() < ENOUGH:
            for step in self._partly(plan, anywhere, allowed, coverage, deadline):
                found.add(step)
        return found, whole

    def _holding(self, term: Term, names: Sequence[str], deadline: float, *, widely: bool = False) -> int:
        found = 0
        for form in term.forms:
            if time.thread_time() > deadline:
                break
            if form.kind in ("related", "everyday") and not widely:
                continue
            for name in names:
                found |= self._files.postings(name, form.stem)
        return found

    def _by_code(self, plan: Plan) -> int:
        """Concepts whose code begins so or holds all these parts."""
        parts = plan.key.split()[:MOST_WORDS]
        if not parts:
            return 0
        return self._files.postings("code", "".join(parts)) | _intersection(
            [self._files.postings("code", part) for part in parts]
        )

    def _partly(
        self, plan: Plan, holding: Sequence[int], allowed: int | None, coverage: float, deadline: float
    ) -> list[int]:
        """Concepts that hold enough of the rarity asked for: sets of those that hold as much, most first.

        The rarest words come first; once what remains is too little to reach the least coverage, no concept is added.
        """
        least = coverage * plan.weight
        held = {0.0: 0}
        every = 0
        remaining = plan.weight
        for term, those in sorted(zip(plan.terms, holding, strict=True), key=lambda pair: -pair[0].weight):
            if time.thread_time() > deadline:
                break
            trusted = term.trusted
            more: dict[float, int] = {}
            for weight, these in held.items():
                if both := these & those:
                    more[weight + trusted] = more.get(weight + trusted, 0) | both
                if only := these & ~those:
                    more[weight] = more.get(weight, 0) | only
            if remaining >= least and (those.bit_count() <= _MOST_ADDED or not every):
                added = (those if allowed is None else those & allowed) & ~every
                more[trusted] = more.get(trusted, 0) | added
                every |= added
            held = more
            remaining -= term.weight
        return [held[weight] for weight in sorted(held, reverse=True) if weight >= least]

    # Order and reasons

    def _entry(self, number: int) -> Entry:
        entry = self._entries.get(number)
        if entry is None:
            if len(self._entries) >= _REMEMBERED_ENTRIES:
                self._entries = {}
            entry = self._files.entry(number)
            self._entries[number] = entry
        return entry

    def _rank(self, plan: Plan, number: int, exact: Mapping[int, Key]) -> _Ranked:
        entry = self._entry(number)
        key = exact.get(number)
        if key is not None:
            score = _EXACT[key.kind]
            if key.kind == LABEL and entry.document.source(key.label):
                score = _LOCAL
            elif key.kind == LABEL and key.label:
                # Of two concepts with one acronym, it is rather the one whose label it abbreviates.
                score -= 0.01 if entry.labels[0].acronym == plan.key else 0.015
        else:
            score = max(_likeness(plan, entry), self._code_likeness(plan, entry))
        if not entry.active:
            score *= 0.97
        if not entry.defined:
            # Of two that answer as well, the one that says what it means is the better answer.
            score *= _UNDEFINED
        return _Ranked(score, number, entry)

    @staticmethod
    def _code_likeness(plan: Plan, entry: Entry) -> float:
        asked, code = plan.squeezed, entry.code.replace(" ", "")
        if asked == code:
            return 1.0
        if not asked or not (code.startswith(asked) or _holds_parts(entry, code, plan.parts)):
            return 0.0
        return 0.3 + 0.5 * len(asked) / len(code) if len(asked) < len(code) else 0.8

    def _why(self, plan: Plan, one: _Ranked, key: Key | None) -> Why:
        document = one.entry.document
        if (key is not None and key.kind == CODE) or self._code_likeness(plan, one.entry) >= one.score:
            return Why(
                "code", document.code, highlights=_typed(document.code, plan.key.split()) or ((0, len(document.code)),)
            )
        if key is not None and key.kind == ACRONYM:
            return Why("acronym", _shown(document, key.label), highlights=_initials(document, key.label))
        if key is not None:
            text = _shown(document, key.label)
            spans = () if document.is_hidden(key.label) else ((0, len(text)),)
            if source := document.source(key.label):
                return Why("local", text, highlights=spans, source=source)
            return Why("acronym" if analysis.is_acronym(text) else "label", text, highlights=spans)
        return _reason(plan, one.entry)

    def _near(self, plan: Plan) -> tuple[str, ...]:
        """Spellings that the index knows, near the words that it does not."""
        found: dict[str, None] = {}
        for term in plan.terms:
            if not term.forms and term.text.isalpha() and len(term.text) > 3:
                near = self._files.vocabulary.corrections(term.text, max(2, len(term.text) // 3))
                found.update(dict.fromkeys(self._files.vocabulary.as_written(word) for word, _ in near[:3]))
        return tuple(found)[:MOST_CORRECTIONS]


def _holds_parts(entry: Entry, code: str, parts: Sequence[str]) -> bool:
    # Each term of a code is a piece of it: most queries are told apart by their first word.
    return parts[0] in code and code_terms(entry.code).issuperset(parts)


class _Found:
    """Concepts in the order in which they answer: those of one step after those of the steps before."""

    def __init__(self, exact: Iterable[int]) -> None:
        self.bits = 0
        self._exact = list(exact)
        self._steps: list[int] = []
        for number in self._exact:
            self.bits |= 1 << number

    def add(self, step: int) -> None:
        """Add the concepts of a step that no step before it holds."""
        self._steps.append(step & ~self.bits)
        self.bits |= step

    def first(self, most: int) -> list[int]:
        """The numbers of the first ones."""
        in_order = itertools.chain(self._exact, itertools.chain.from_iterable(map(numbers, self._steps)))
        return list(itertools.islice(in_order, most))


def _intersection(sets: Sequence[int]) -> int:
    return reduce(and_, sets) if sets else 0


def _likeness(plan: Plan, entry: Entry) -> float:
    """How well a concept's texts answer: the best label alone, and all that they hold together."""
    qualities, weights = plan.qualities, plan.weights
    together = [0.0] * len(weights)
    best = 0.0
    for label in entry.labels:
        found: list[float] | None = None
        for stem in label.stems:
            if stem in qualities:
                found = found or [0.0] * len(weights)
                _raise(found, qualities[stem])
        if label.acronym:
            _raise(together, qualities.get(f"@{label.acronym}", ()))
        if found:
            asked = _dot(found, weights) / plan.weight
            held = min(1.0, (len(found) - found.count(0.0)) / max(label.words, 1))
            best = max(best, asked * (0.5 + 0.5 * held))
            together = list(map(max, together, found))
    for stems, worth in ((entry.notes, _IN_NOTES), (entry.path, _IN_PATH)):
        for stem in stems:
            if stem in qualities:
                _raise(together, [(place, worth * quality) for place, quality in qualities[stem]])
    all_held = _dot(together, weights) / plan.weight
    covered = sum(weight for quality, weight in zip(together, weights, strict=True) if quality) / plan.weight
    # What holds every word, be it in a note, stands above what holds only some.
    score = (_PARTIAL + (1 - _PARTIAL) * covered) * (0.5 * best + 0.5 * all_held)
    return 0.93 * (score + _WHOLE * (1 - score) if all(together) and not plan.told else score)


def _dot(qualities: Iterable[float], weights: Iterable[float]) -> float:
    return float(sum(map(mul, qualities, weights)))


def _raise(found: list[float], qualities: Iterable[tuple[int, float]]) -> None:
    """Let each word of the query count for what it is worth here, where that is more than it was."""
    for place, quality in qualities:
        if quality > found[place]:
            found[place] = quality


def _reason(plan: Plan, entry: Entry) -> Why:
    """The text that answers most of the query, and by which reading of its words."""
    document = entry.document
    labels = [(_worth(plan, label.stems), place) for place, label in enumerate(entry.labels)]
    worth, place = max(labels, key=lambda one: (one[0], -entry.labels[one[1]].words, -one[1]))
    text = _shown(document, place)
    if worth < 1:
        for acronym in range(len(entry.labels)):
            if f"@{entry.labels[acronym].acronym}" in plan.readings and worth < plan.weight:
                return Why("acronym", _shown(document, acronym), highlights=_initials(document, acronym))
    note = _note_worth_more(plan, entry, worth)
    in_note = note != ""
    text = note or text
    matched = [
        (word, form)
        for word in analysis.words(text)
        for _, form in (plan.readings.get(word.stem) or plan.readings.get(analysis.stem(word.whole)) or ())[:1]
        if not word.stop
    ]
    highlights = tuple((word.start, word.end) for word, _ in matched)
    source = "" if in_note else document.source(place)
    corrections = dict.fromkeys(form.correction for _, form in matched if form.kind == "corrected")
    if corrections:
        return Why("corrected", text, ", ".join(corrections), highlights, source)
    meant = dict.fromkeys(text[word.start : word.end] for word, form in matched if form.kind == "everyday")
    if meant:
        return Why("everyday", text, ", ".join(meant), highlights, source)
    if in_note:
        return Why("definition", text, highlights=highlights)
    if any(form.kind == "prefix" for _, form in matched):
        return Why("prefix", text, highlights=highlights, source=source)
    if source:
        return Why("local", text, highlights=highlights, source=source)
    asked = {term.text for term in plan.terms}
    literal = matched and all(word.text in asked for word, _ in matched)
    return Why("label" if literal else "stem", text, highlights=highlights)


def _note_worth_more(plan: Plan, entry: Entry, worth: float) -> str:
    """The note that answers most of the query, if it says more than that much."""
    if _worth(plan, entry.notes) <= worth:
        # Not even all notes together say more: which of them says most need not be known.
        return ""
    most, note = max((_worth(plan, analysis.stems(note)), note) for note in entry.document.definition)
    return note if most > worth else ""


def _worth(plan: Plan, stems: Iterable[str]) -> float:
    found = [0.0] * len(plan.weights)
    for stem in stems:
        _raise(found, plan.qualities.get(stem, ()))
    return _dot(found, plan.weights)


def _shown(document: Document, place: int) -> str:
    """The label that matched, or the preferred one instead of a hidden one."""
    return document.pref_label if document.is_hidden(place) else document.labels[place]


def _initials(document: Document, place: int) -> Spans:
    return () if document.is_hidden(place) else analysis.initials(_shown(document, place))[1]


def _starts_of(key: str) -> list[str]:
    """What the words of a label must begin with: those typed but the stop words, save the one being typed."""
    typed = key.split()[:MOST_WORDS]
    return [word for word in typed[:-1] if word not in analysis.STOP_WORDS] + typed[-1:]


def _typed(text: str, starts: Sequence[str]) -> Spans:
    """Where the words of a text begin as was typed."""
    found = []
    for word in analysis.words(text):
        longest = 0
        for start in starts:
            if len(start) > longest and word.text.startswith(start):
                longest = len(start)
        if longest:
            found.append((word.start, min(word.end, word.start + longest)))
    return tuple(found)
