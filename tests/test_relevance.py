"""How good search and candidates are on the shipped data: the figures of docs/search.md, held as floors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import relevance
from registry import finding
from registry.model import today
from registry.search import Document, Index
from registry.store import Store


@pytest.fixture(scope="module")
def documents(shipped_store: Store) -> list[Document]:
    """Every concept in force of the three nomenclatures at which the reviewed queries aim."""
    found = finding.documents(shipped_store, today())
    return [document for document in found if document.nomenclature in relevance.OURS]


@pytest.fixture(scope="module")
def index(documents: list[Document]) -> Iterator[Index]:
    with relevance.index_of(documents) as opened:
        yield opened


@pytest.mark.parametrize(
    ("kind", "first", "five"),
    # What the design asks for, but for everyday queries among five (100 %): docs/search.md names the one that fails.
    [("everyday", 0.97, 0.99), ("typing error", 0.92, 0.97), ("hard", 0.45, 0.70)],
)
def test_queries_find_what_was_meant(index: Index, kind: str, first: float, five: float) -> None:
    score = relevance.scored(index, relevance.asked()[kind])

    assert score.first >= first * score.asked, score.failures
    assert score.five >= five * score.asked, score.failures


@pytest.mark.parametrize("kind", ["out", "out, ours"])
def test_queries_out_of_the_field_find_nothing(index: Index, kind: str) -> None:
    silent, whole = relevance.silent(index, relevance.asked()[kind])

    assert silent >= 0.8 * whole


def test_no_everyday_query_goes_unanswered(index: Index) -> None:
    silent, whole = relevance.silent(index, relevance.asked()["everyday"])

    assert silent <= 0.02 * whole


def test_no_query_of_the_file_stands_among_the_everyday_words() -> None:
    text = relevance.everyday_words()

    copied = [query.text for query in relevance.queries() if query.difficulty == "difficile" and query.text in text]

    assert copied == []


def test_an_expression_of_every_day_is_understood_once_its_word_is_corrected(index: Index) -> None:
    right, wrong = index.search("enfant en danger"), index.search("enfant en dager")

    assert wrong.understood_as == "enfant en danger"
    assert wrong.hits[0].document.code == right.hits[0].document.code
    assert any(hit.why.kind == "everyday" for hit in wrong.hits)


def test_candidates_find_what_reviewers_chose(documents: list[Document]) -> None:
    scores, failures = relevance.candidates_scored(documents)

    mapped = [score for relation, score in scores.items() if relation != "none"]
    labels = sum(score.labels for score in mapped)
    sure = sum(score.sure for score in scores.values())
    assert sum(score.first for score in mapped) >= 0.85 * labels, failures
    assert sum(score.five for score in mapped) >= 0.97 * labels, failures
    assert sum(score.surely_right for score in scores.values()) >= 0.98 * sure, failures
    assert scores["none"].sure <= 0.4 * scores["none"].labels


def test_a_typing_error_is_the_same_at_each_run() -> None:
    texts = [query.text for query in relevance.queries()]

    assert [relevance.misspelt(text) for text in texts] == [relevance.misspelt(text) for text in texts]
    assert relevance.misspelt("apa") == "apa"
    assert relevance.misspelt("aide menagere") != "aide menagere"
