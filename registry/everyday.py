"""What people say, and what nomenclatures of social services call it: a ``gamin`` is an ``enfant``.

The pairs are in ``everyday.txt``, a line each: words of every day, an equals sign, words of the field. A line says that
whoever uses one of the words on its left may mean one of those on its right; it never says what a concept is called.
They are readings, not labels: a hit found by one of them ranks below those that hold the words themselves, and says so.

The rule by which the lines were written, and by which anybody can write them again without knowing what will be asked:

1. Take every concept and heading of the national nomenclatures in order, those of one subject in one block. The block
   names them, so that one left out is seen.
2. From the sources of these concepts list the words for the person concerned, for the situation or event that brings
   them, for the thing, act or place that is given, and for the body that gives it. A source is the article of law that
   the concept names, a sheet of service-public.fr under the theme of the block, a local list, a page of a body that
   gives the thing, or a law that names a body anew. The block names those that it used.
3. Go through the concepts again with four voices that do not know the administrative name: the person, a relative, a
   neighbour or teacher, and somebody at the front desk. Ask each for nouns, verbs, objects, places, moments, ages,
   feelings, money and body words. A word that no source of step 2 bears needs an article of a general dictionary
   (Wiktionnaire; the Trésor de la langue française or the Académie do as well) that has as a synonym or in a
   definition a word of the concepts or of the block, or that marks it as familiar or regional for one. The block names
   the headword.
4. Beside a word so found write its other forms (feminine, plural, verb with the noun of its act, the persons of a verb
   that are said most, acronym), and a plain synonym if the French thesaurus gives it for a word of the same block. A
   word that no source bears is left out.
5. A word that says as much outside social services (``livret``, ``location``, ``parking``) stands on the left only in
   an expression of words so found and of the plainest words of the language that leaves one sense (``place de
   parking``, ``trouver un logement``). What belongs to another field
   altogether (identity papers, tax returns, repairs of cars) is left out.
6. On the right write the fewest words of the labels and definitions that tell these concepts from others, the topic
   rather than the person: never ``aide``, ``accès`` or ``service``, which half of all concepts hold.
7. Leave out what the labels of the concept already say, and a word that says several unrelated things. An expression
   stands on the left once, however many feminines and plurals it has: their stems are one.

The words were chosen so for Socle from sources and not from queries; nobody of the field has reviewed them yet.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

from registry import analysis


def _lines() -> list[tuple[str, str]]:
    """What is on either side of the equals sign, line by line; the lines that name a block have none."""
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
