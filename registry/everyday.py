"""What people say, and what nomenclatures of social services call it: ``vieux`` is ``âgé``, ``facture`` is ``impayé``.

The pairs are in ``everyday.txt``, a line each: words of every day, an equals sign, words of the field. A line says that
whoever uses one of the words on its left may mean one of those on its right; it never says what a concept is called.
The words on the left come from ordinary French; those on the right are words of the law and of the labels, so a line
serves every nomenclature of the field and no query in particular. The rule by which lines were written, and by which
anyone can add to them: take a word of the field that several labels hold, or that the law's article defines; write on
its left the ordinary words of the dictionary for it, and the names of the things, the people and the moments that the
article covers; leave out a word that says several of these things. They are readings, not labels: a hit found by one
of them ranks below those that hold the words themselves, and says so. The pairs were written for Socle, in ordinary
French, and nobody of the field has reviewed them yet.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

from registry import analysis


def _lines() -> list[tuple[str, str]]:
    """What is on either side of the equals sign, line by line; titles have none."""
    text = resources.files("registry").joinpath("everyday.txt").read_text(encoding="utf-8")
    sides = (line.partition("=") for line in text.splitlines())
    return [(said, means) for said, equals, means in sides if equals]


class Reading(NamedTuple):
    """What words may mean: the stems that they are said with, in order, and the stems of the field."""

    said: tuple[str, ...]
    means: tuple[str, ...]


@cache
def readings() -> dict[str, tuple[Reading, ...]]:
    """Every reading, by the stem that it begins with, the longest expression first."""
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for said, means in _lines():
        stems = dict.fromkeys(stem for text in means.split(",") for stem in analysis.stems(text))
        for text in said.split(","):
            found.setdefault(tuple(word.stem for word in analysis.words(text)), {}).update(stems)
    by_first: dict[str, list[Reading]] = {}
    for said_stems, meant in found.items():
        by_first.setdefault(said_stems[0], []).append(Reading(said_stems, tuple(meant)))
    return {first: tuple(sorted(items, key=lambda one: -len(one.said))) for first, items in by_first.items()}


@cache
def words() -> dict[str, tuple[str, ...]]:
    """What a word of every day alone may mean, as stems of the field, by the word as it is spelt once folded."""
    found: dict[str, tuple[str, ...]] = {}
    for said, _ in _lines():
        for text in said.split(","):
            parts = analysis.words(text)
            if len(parts) == 1:
                found[parts[0].text] = next(
                    one.means for one in readings()[parts[0].stem] if one.said == (parts[0].stem,)
                )
    return found
