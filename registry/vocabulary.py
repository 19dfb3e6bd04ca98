"""The words of an index: how they are written, completed, corrected, cut in two, and how much each one says."""

from __future__ import annotations

import bisect
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from registry import analysis, everyday

MOST_CORRECTIONS = 5
_MOST_COMPLETIONS = 40


class Spellings:
    """The words of the documents, how they are written and how many documents hold them."""

    def __init__(self) -> None:
        self._written: Counter[tuple[str, str]] = Counter()
        self._in_labels: Counter[str] = Counter()
        self._in_notes: Counter[str] = Counter()

    def count(self, labels: Sequence[str], notes: Sequence[str]) -> None:
        """Add the labels and the notes of one document."""
        for texts, counts in ((labels, self._in_labels), (notes, self._in_notes)):
            pairs = [pair for text in texts for pair in _spelt(text)]
            self._written.update(pairs)
            counts.update({word for word, _ in pairs})

    def rows(self) -> list[list[Any]]:
        """Sorted [word, as it is most written, stem, labels that hold it, notes that hold it]."""
        spellings: dict[str, Counter[str]] = {}
        for (word, written), times in self._written.items():
            spelling = written if analysis.is_acronym(written) else written.lower()
            spellings.setdefault(word, Counter())[spelling] += times
        return [
            [
                word,
                min(written, key=lambda one: (-written[one], one)),
                analysis.stem(word),
                self._in_labels[word],
                self._in_notes[word],
            ]
            for word, written in sorted(spellings.items())
        ]


def _spelt(text: str) -> Iterator[tuple[str, str]]:
    """The words and the compounds of a text, folded and as they are written."""
    compounds: dict[str, tuple[int, int]] = {}
    for word in analysis.words(text):
        if not word.stop:
            yield word.text, text[word.start : word.end]
        if word.whole:
            start, _ = compounds.get(word.whole, (word.start, 0))
            compounds[word.whole] = (start, word.end)
    for whole, (start, end) in compounds.items():
        yield whole, text[start:end]


class Vocabulary:
    """The words of the index: known or not, completed, corrected, cut in two."""

    def __init__(self, rows: list[list[Any]], documents: int) -> None:
        self.words: list[str] = [row[0] for row in rows]
        self.written: list[str] = [row[1] for row in rows]
        self._places = {word: place for place, word in enumerate(self.words)}
        self._in_labels = array("I", (row[3] for row in rows))
        self._stems: dict[str, int] = {}
        for row in rows:
            self._stems[row[2]] = self._stems.get(row[2], 0) + max(row[3], row[4])
        # Written one after the other, since a list for each would be looked through at each collection of garbage.
        self._families: dict[str, str] = {}
        for stem in self._stems:
            root = analysis.root(stem)
            self._families[root] = f"{self._families[root]} {stem}" if root in self._families else stem
        self._by_length: dict[int, list[str]] = {}
        for word in self.words:
            if word.isalpha():
                self._by_length.setdefault(len(word), []).append(word)
        for word, means in everyday.words().items():
            if word not in self._places and word.isalpha() and any(stem in self._stems for stem in means):
                self._by_length.setdefault(len(word), []).append(word)
        self._documents = max(documents, 1)

    def holds(self, stem: str) -> bool:
        """Whether a document holds the stem."""
        return stem in self._stems

    def knows(self, word: str) -> bool:
        """Whether the word itself, as it is written, is in a document."""
        return word in self._places

    def relatives(self, stem: str) -> list[str]:
        """Stems of the same family as this one, itself excepted."""
        if len(stem) < 4 or not stem.isalpha():
            return []
        return [other for other in self._families.get(analysis.root(stem), "").split() if other != stem]

    def rarity(self, stems: Iterable[str]) -> float:
        """Weight of a word: the fewer concepts hold its stems, the more it says; most when none does."""
        held = sum(self._stems.get(stem, 0) for stem in stems)
        return math.log(1 + self._documents / (0.5 + held)) + 0.5

    def as_written(self, word: str) -> str:
        """The word as documents write it most often: ``ménagère`` for ``menagere``."""
        place = self._places.get(word)
        return word if place is None else self.written[place]

    def completions(self, start: str, most: int = _MOST_COMPLETIONS) -> list[str]:
        """Words that begin so, at most ``most`` of them."""
        place = bisect.bisect_left(self.words, start)
        found: list[str] = []
        while place < len(self.words) and len(found) < most and self.words[place].startswith(start):
            found.append(self.words[place])
            place += 1
        return found

    def corrections(self, word: str, distance: int) -> list[tuple[str, int]]:
        """The nearest words within so many errors (a letter changed, missing, added, or two exchanged).

        Of the words that are as near, those come first from which the likelier slip leads to what was typed.
        """
        near: list[tuple[int, int, int, str]] = []
        for length in range(len(word) - distance, len(word) + distance + 1):
            words = self._by_length.get(length, ())
            for found, errors, _ in process.extract(word, words, scorer=OSA.distance, score_cutoff=distance, limit=20):
                unlikely = _unlikelihood(word, found)
                if unlikely < 4 or (errors == 1 and len(word) > 5):
                    # Hands seldom miss the first letter, and many short words are one letter away from another.
                    near.append((int(errors), unlikely, -self._commonness(found), found))
        near.sort()
        return [(found, errors) for errors, _, _, found in near if errors == near[0][0]][:MOST_CORRECTIONS]

    def cut(self, word: str) -> list[str]:
        """The words of which this one is made when a space or an apostrophe was forgotten, or nothing."""
        for start in range(1, len(word) - 3):
            head, tail = word[:start], word[start:]
            if tail in self._places and head in analysis.ELISIONS:
                return [tail]
        halves = [
            (min(self._commonness(word[:start]), self._commonness(word[start:])), start)
            for start in range(2, len(word) - 1)
        ]
        most, start = max(halves, default=(0, 0))
        return [half for half in (word[:start], word[start:]) if half not in analysis.STOP_WORDS] if most else []

    def _commonness(self, word: str) -> int:
        """How many labels hold a word, 0 when it can't be half of a glued one; a stop word can, above all others."""
        if word in analysis.STOP_WORDS:
            return self._documents + 1
        place = self._places.get(word)
        return 0 if place is None or len(word) < 3 else 1 + self._in_labels[place]


_KEYBOARD = ("azertyuiop", "qsdfghjklm", "wxcvbn")
_NEIGHBOURS = frozenset(
    pair for row in _KEYBOARD for left, right in itertools.pairwise(row) for pair in (left + right, right + left)
) | frozenset(
    pair
    for upper, lower in itertools.pairwise(_KEYBOARD)
    for above, below in zip(upper, lower, strict=False)
    for pair in (above + below, below + above)
)
"""Pairs of letters that stand side by side on a French keyboard."""


def _unlikelihood(typed: str, meant: str) -> int:
    """How unlikely a slip of the hand from one word to another is: 0 for letters exchanged or doubled, up to 4."""
    if len(typed) == len(meant):
        if sorted(typed) == sorted(meant):
            return 0
        changed = [(one, other) for one, other in zip(typed, meant, strict=True) if one != other]
        if all(one + other in _NEIGHBOURS for one, other in changed):
            return 1
        return 4 if typed[0] != meant[0] else 3
    short, long = sorted((typed, meant), key=len)
    twice = (place for place in range(len(long) - 1) if long[place] == long[place + 1])
    doubled = any(long[:place] + long[place + 1 :] == short for place in twice)
    if typed[0] != meant[0] and long[1:] != short:
        return 4
    return 0 if doubled else 2
