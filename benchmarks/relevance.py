"""How good search and candidates are, measured on reviewed queries and mappings: ``make relevance``.

Queries and mappings are those of ``benchmarks/data``; nothing in Socle knows them. A query is right *first* when the
first hit is one of the concepts that were accepted for it, and *among five* when one of the first five is. Typing
errors are generated, one in each query, the same at each run. The candidates of a local list are looked for
without what the registry learnt from the list's own crosswalks.
"""

from __future__ import annotations

import csv
import random
import statistics
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from benchmarks.generator import keys_of
from registry import analysis, everyday, finding, planning, shipped
from registry.candidates import candidates
from registry.model import today
from registry.search import Document, Index, build
from registry.store import Store, migrate

DATA = Path(__file__).parent / "data"
OURS = ("types-aide", "categories-accompagnement", "mesures")
"""The nomenclatures at which the reviewed queries aim."""


@dataclass(frozen=True)
class Query:
    """A query with the concepts that answer it, the best first."""

    text: str
    accepted: tuple[str, ...]
    difficulty: str


@dataclass(frozen=True)
class Score:
    """How many queries were right, and which were not, with what came instead."""

    asked: int
    first: int
    best: int
    five: int
    failures: tuple[tuple[Query, tuple[str, ...]], ...]

    def __str__(self) -> str:
        return f"{_share(self.first, self.asked)} / {_share(self.five, self.asked)} / {_share(self.best, self.asked)}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):5.1f} %"


# --- What is asked -------------------------------------------------------------------------------------------------


def queries() -> list[Query]:
    """The reviewed queries, in the order of their file."""
    with (DATA / "queries-dev.csv").open(encoding="utf-8", newline="") as lines:
        return [
            Query(row["query"], tuple(code for code in row["accepted_codes"].split(";") if code), row["difficulty"])
            for row in csv.DictReader(lines)
        ]


def misspelt(text: str, *, shortest: int = 4) -> str:
    """The text with one typing error, always the same for the same text.

    One of: a letter forgotten, two exchanged, a neighbour's key, an accent left out, two words glued. It falls in a
    word of ``shortest`` letters or more; a query without any comes back as it is.
    """
    chance = random.Random(text)
    places = [(start, word) for start, word in _words(text) if len(word) >= shortest and word.isalpha()]
    kinds: list[Callable[[str], str]] = [_forgotten, _exchanged, _neighbour, _unaccented, _glued]
    for start, word in chance.sample(places, len(places)):
        for kind in chance.sample(kinds, len(kinds)):
            letter = start + chance.randrange(len(word) - 1)
            place = start + len(word) if kind is _glued else letter
            changed = text[:place] + kind(text[place:])
            if changed != text:
                return changed
    return text


def _forgotten(rest: str) -> str:
    return rest[1:]


def _exchanged(rest: str) -> str:
    return rest[1] + rest[0] + rest[2:]


_ROWS = ("azertyuiop", "qsdfghjklm", "wxcvbn")


def _neighbour(rest: str) -> str:
    for row in _ROWS:
        place = row.find(rest[0])
        if place >= 0:
            return row[place + 1 if place + 1 < len(row) else place - 1] + rest[1:]
    return rest


def _unaccented(rest: str) -> str:
    plain = unicodedata.normalize("NFD", rest)
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _glued(rest: str) -> str:
    return rest[1:]


def _words(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for word in text.split(" "):
        yield start, word
        start += len(word) + 1


def everyday_words() -> str:
    """The words of every day that the search knows, as they are written."""
    return resources.files("registry").joinpath("everyday.txt").read_text(encoding="utf-8")


# --- What is found -------------------------------------------------------------------------------------------------


def scored(index: Index, asked: Iterable[Query]) -> Score:
    """How well an index answers queries."""
    items = list(asked)
    first = best = five = 0
    failures = []
    for item in items:
        found = tuple(hit.document.code for hit in index.search(item.text, limit=5).hits)
        right = found[:1] and found[0] in item.accepted
        first += bool(right)
        best += found[:1] == item.accepted[:1]
        five += bool(set(found) & set(item.accepted))
        if not right:
            failures.append((item, found))
    return Score(len(items), first, best, five, tuple(failures))


def silent(index: Index, asked: Iterable[Query]) -> tuple[int, int]:
    """To how many of these queries an index rightly answers nothing, and out of how many."""
    items = list(asked)
    return sum(not index.search(item.text).hits for item in items), len(items)


def processor(index: Index, asked: Sequence[Query], search: Callable[[Index, str], Any]) -> tuple[float, float]:
    """Median and 99th percentile of the processor time of a query, in milliseconds."""
    times = []
    for _ in range(5):
        for item in asked:
            start = time.process_time_ns()
            search(index, item.text)
            times.append((time.process_time_ns() - start) / 1e6)
    times.sort()
    return statistics.median(times), times[int(0.99 * len(times))]


@contextmanager
def index_of(documents: Iterable[Document]) -> Iterator[Index]:
    """An index of these documents, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        build(documents, Path(folder) / "index")
        index = Index.open(Path(folder) / "index")
        yield index
        index.close()


@contextmanager
def without(module: Any, name: str, instead: Any) -> Iterator[None]:
    """Switch one part of the search off, to see what it is worth; nothing remembered with it, or without it, stays."""
    kept = getattr(module, name)
    setattr(module, name, instead)
    _forget()
    try:
        yield
    finally:
        setattr(module, name, kept)
        _forget()


def _forget() -> None:
    for module in (analysis, everyday):
        for thing in vars(module).values():
            if hasattr(thing, "cache_clear"):
                thing.cache_clear()


@contextmanager
def shipped_store() -> Iterator[Store]:
    """A registry of all that is shipped, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/socle.db"
        migrate(url)
        store = Store(url, Path(folder) / "blobs")
        shipped.publish(store, keys_of(store))
        yield store
        store.close()


# --- What is printed -----------------------------------------------------------------------------------------------

_KINDS = ("everyday", "typing error", "typing error, any word", "hard")


def asked() -> dict[str, list[Query]]:
    """The queries by kind; ``out`` are the reviewed ones out of the field, ``out, ours`` those written for Socle."""
    reviewed = queries()
    kinds = {"courante": "everyday", "difficile": "hard", "hors-champ": "out"}
    found: dict[str, list[Query]] = {kind: [] for kind in kinds.values()}
    for query in reviewed:
        found[kinds[query.difficulty]].append(query)
    found["typing error"] = [replace(query, text=misspelt(query.text)) for query in found["everyday"]]
    found["typing error, any word"] = [
        replace(query, text=misspelt(query.text, shortest=2)) for query in found["everyday"]
    ]
    lines = (DATA / "out-of-field.csv").read_text(encoding="utf-8").splitlines()[1:]
    found["out, ours"] = [Query(line, (), "") for line in lines]
    return found


def _row(name: str, index: Index, kinds: dict[str, list[Query]]) -> str:
    cells = [str(scored(index, kinds[kind])) for kind in _KINDS]
    for kind in ("out", "out, ours"):
        none, whole = silent(index, kinds[kind])
        cells.append(f"{none}/{whole}")
    kept, whole = silent(index, kinds["everyday"])
    return f"| {name} | " + " | ".join([*cells, _share(whole - kept, whole).strip()]) + " |"


def _no_corrections(*_: Any, **__: Any) -> tuple[list[planning.Form], list[str]]:
    return [], []


def _table(documents: Sequence[Document], kinds: dict[str, list[Query]]) -> None:
    ours = [document for document in documents if document.nomenclature in OURS]
    print("Each cell: first hit accepted / one of five accepted / first hit the best one. Out of the field:")
    print(
        "answered with nothing, out of how many; the last column is the share of everyday queries that get an answer."
    )
    print()
    print("| index | " + " | ".join((*_KINDS, "out", "out, ours", "kept")) + " |")
    print("| --- |" + " --- |" * (len(_KINDS) + 3))
    with index_of(ours) as index:
        print(_row("our three nomenclatures", index, kinds), flush=True)
    with index_of(documents) as index:
        print(_row("with data-inclusion", index, kinds), flush=True)
    for name, stripped in (
        ("without alternative labels", [replace(one, alt_label=()) for one in ours]),
        ("without hidden labels", [replace(one, hidden_label=()) for one in ours]),
        ("without local labels", [replace(one, local_label=()) for one in ours]),
        ("without any of these", [replace(one, alt_label=(), hidden_label=(), local_label=()) for one in ours]),
    ):
        with index_of(stripped) as index:
            print(_row(name, index, kinds), flush=True)
    for name, part in (
        ("without stemming", (analysis, "stem", lambda word: word)),
        ("without correction", (planning, "corrected", _no_corrections)),
        ("without everyday words", (everyday, "_lines", list)),
    ):
        with without(*part), index_of(ours) as index:
            print(_row(name, index, kinds), flush=True)


def _failures(documents: Sequence[Document], kinds: dict[str, list[Query]]) -> None:
    with index_of(document for document in documents if document.nomenclature in OURS) as index:
        for kind in _KINDS:
            print(f"\n{kind}: not first (+: among five)")
            for query, found in scored(index, kinds[kind]).failures:
                mark = "+" if set(found) & set(query.accepted) else " "
                expected = ", ".join(query.accepted)
                print(f"  {mark} {query.text} — expected {expected}; found {', '.join(found) or 'nothing'}")
        for kind in ("out", "out, ours"):
            print(f"\n{kind}: answered though it should not be")
            for query in kinds[kind]:
                if hits := index.search(query.text, limit=1).hits:
                    print(f"    {query.text} — {hits[0].document.pref_label} ({hits[0].score})")
        print()
        told = [query for kind in ("everyday", "typing error", "hard") for query in kinds[kind]]
        for name, search in (("search", _search), ("suggest", _suggest)):
            median, last = processor(index, told, search)
            print(f"processor time of {name}, ms: median {median:.2f}, 99th percentile {last:.2f}")


def _search(index: Index, text: str) -> object:
    return index.search(text)


def _suggest(index: Index, text: str) -> object:
    return index.suggest(text)


# --- Candidates ----------------------------------------------------------------------------------------------------

_ORGANISATIONS = {
    "mss": "mon-suivi-social",
    "simdph2010": "cnsa",
    "simdph": "cnsa",
    "serafin": "cnsa",
    "onpe2011": "onpe",
    "cd28": "dep-28",
    "cd35": "dep-35",
    "di-v0": "data-inclusion",
    "di-v1": "data-inclusion",
}
"""Whose lists these are, where the reviewed file names them otherwise than the registry."""


@dataclass(frozen=True)
class LocalLabel:
    """A label of a local list with the concepts of one nomenclature that it was mapped to (none: no equivalent)."""

    organisation: str
    label: str
    nomenclature: str
    relation: str
    targets: tuple[str, ...]


def local_labels() -> list[LocalLabel]:
    """The reviewed mappings, a local code and nomenclature each."""
    found: dict[tuple[str, str, str], LocalLabel] = {}
    with (DATA / "mapping-eval-dev.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            scheme = row["local_scheme"].partition(":")[0]
            key = (row["local_scheme"], row["local_code"], row["target_scheme"])
            organisation = _ORGANISATIONS.get(scheme, scheme)
            one = LocalLabel(organisation, row["local_label"], row["target_scheme"], row["relation"], ())
            one = found.setdefault(key, one)
            if row["target_code"]:
                found[key] = replace(one, targets=(*one.targets, row["target_code"]))
    return list(found.values())


@dataclass
class CandidateScore:
    """How many local labels found their concept, and how often sure was right."""

    labels: int = 0
    first: int = 0
    five: int = 0
    sure: int = 0
    surely_right: int = 0


def candidates_scored(documents: Sequence[Document]) -> tuple[dict[str, CandidateScore], list[str]]:
    """Scores by relation, and the failures; nothing that an organisation's own lists say is known for its labels."""
    scores: dict[str, CandidateScore] = {}
    failures: list[str] = []
    by_organisation: dict[str, list[LocalLabel]] = {}
    for label in local_labels():
        by_organisation.setdefault(label.organisation, []).append(label)
    for organisation, labels in by_organisation.items():
        known = [_unlearnt(document, organisation) for document in documents if document.nomenclature in OURS]
        with index_of(known) as index:
            for one in labels:
                found = candidates(index, one.label, nomenclature=one.nomenclature or None)
                codes = tuple(candidate.document.code for candidate in found)
                right = bool(codes) and codes[0] in one.targets
                sure = [candidate.document.code for candidate in found if candidate.sure]
                score = scores.setdefault(one.relation, CandidateScore())
                score.labels += 1
                score.first += right
                score.five += bool(set(codes) & set(one.targets))
                score.sure += bool(sure)
                score.surely_right += bool(sure) and sure[0] in one.targets
                if not right and (one.targets or sure):
                    mark = "+" if set(codes) & set(one.targets) else " "
                    expected = ", ".join(one.targets) or "nothing sure"
                    failures.append(
                        f"  {mark} {one.label} ({one.relation}) — expected {expected}; found {', '.join(codes)}"
                    )
    return scores, failures


def _unlearnt(document: Document, organisation: str) -> Document:
    kept = tuple(one for one in document.local_label if not one[1].startswith(f"{organisation}/"))
    mapped = tuple(one for one in document.mapped if not one.source.startswith(f"{organisation}/"))
    return replace(document, local_label=kept, mapped=mapped)


def _candidates(documents: Sequence[Document]) -> None:
    scores, failures = candidates_scored(documents)
    print("\n| candidates | labels | first | among five | called sure | of these right |")
    print("| --- | --- | --- | --- | --- | --- |")
    mapped = [score for relation, score in scores.items() if relation != "none"]
    whole = CandidateScore(
        sum(score.labels for score in mapped),
        sum(score.first for score in mapped),
        sum(score.five for score in mapped),
        sum(score.sure for score in mapped),
        sum(score.surely_right for score in mapped),
    )
    for relation, score in (*scores.items(), ("all but none", whole)):
        shares = (_share(part, score.labels) for part in (score.first, score.five, score.sure))
        right = _share(score.surely_right, score.sure) if score.sure else "–"
        print(f"| {relation} | {score.labels} | " + " | ".join(shares) + f" | {right} |")
    print("\ncandidates: not first (+: among five)")
    print("\n".join(failures))


def main() -> None:
    """Print the tables and what failed."""
    with shipped_store() as store:
        documents = list(finding.documents(store, today()))
    kinds = asked()
    _table(documents, kinds)
    _failures(documents, kinds)
    _candidates(documents)


if __name__ == "__main__":
    main()
