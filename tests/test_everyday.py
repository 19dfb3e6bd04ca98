"""The words of every day that ship are linted like code: sourced, telling, said once, and about concepts that exist."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import pytest

from registry import analysis
from registry.everyday import readings
from registry.model import TEXT_PROPERTIES, Concept
from tests.shipped_files import SLUGS, shipped_document, shipped_release

NATIONAL = ("types-aide", "categories-accompagnement", "mesures")
TELLS_NOTHING = frozenset(analysis.stem(word) for word in ("aide", "acces", "service", "personne", "demande"))


class Block(NamedTuple):
    """A block of the file: what it is about, the concepts and sources that it names, and its lines."""

    title: str
    concepts: list[str]
    sources: list[str]
    lines: list[tuple[list[str], list[str]]]


def blocks() -> list[Block]:
    """The blocks of the shipped file, in order; what stands before the first one explains the file."""
    text = resources.files("registry").joinpath("everyday.txt").read_text(encoding="utf-8")
    _, *parts = text.split("\n\n")
    return [_block(part.strip().splitlines()) for part in parts]


def _block(rows: list[str]) -> Block:
    title, *notes = [row.removeprefix("#").strip() for row in rows if row.startswith("#")]
    concepts, _, sources = " ".join(notes).removeprefix("Concepts:").partition("Sources:")
    sides = [row.partition("=") for row in rows if not row.startswith("#")]
    return Block(
        title,
        concepts.split(),
        [source.strip() for source in sources.split(";") if source.strip()],
        [(_items(said), _items(means)) for said, _, means in sides],
    )


def _items(side: str) -> list[str]:
    return [item.strip() for item in side.split(",")]


BLOCKS = blocks()
LINES = [line for block in BLOCKS for line in block.lines]


def _stems_of(concept: Concept) -> set[str]:
    return {
        stem
        for item in TEXT_PROPERTIES
        for _, text in getattr(concept, item.name)
        for stem in analysis.stems(str(text))
    }


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.title)
def test_every_block_says_whom_it_is_about_and_where_its_words_come_from(block: Block) -> None:
    parts = (block.title, block.concepts, block.sources, block.lines)

    assert all(parts), f"{block.title}: a title, « Concepts: », « Sources: » and a line are needed"


def test_every_national_concept_was_looked_at_in_one_block() -> None:
    newest = [shipped_release(slug, shipped_document(slug)["releases"][-1]["version"]) for slug in NATIONAL]
    codes = sorted(code for release in newest for code in release.concepts)

    named = sorted(code for block in BLOCKS for code in block.concepts)

    assert named == codes


def test_words_of_the_field_are_words_of_shipped_concepts() -> None:
    held = {
        stem
        for slug in SLUGS
        for item in shipped_document(slug)["releases"]
        for concept in shipped_release(slug, item["version"]).concepts.values()
        for stem in _stems_of(concept)
    }

    unknown = [word for _, means in LINES for word in means if not set(analysis.stems(word)) <= held]

    assert unknown == []


def test_words_of_the_field_tell_concepts_apart() -> None:
    vague = [word for _, means in LINES for word in means if TELLS_NOTHING & set(analysis.stems(word))]

    assert vague == []


def test_every_line_says_something_and_means_something_else() -> None:
    idle = [
        (said, means)
        for said, means in LINES
        if not all(analysis.stems(word) for word in (*said, *means))
        or any(set(analysis.stems(" ".join(means))) <= set(analysis.stems(word)) for word in said)
    ]

    assert idle == []


def test_an_expression_is_said_once() -> None:
    said = [tuple(word.stem for word in analysis.words(text)) for texts, _ in LINES for text in texts]

    assert sorted(said) == sorted(set(said))


def test_what_is_read_is_what_the_blocks_hold() -> None:
    written = {tuple(word.stem for word in analysis.words(text)) for texts, _ in LINES for text in texts}

    read = {reading.said for found in readings().values() for reading in found}

    assert read == written
