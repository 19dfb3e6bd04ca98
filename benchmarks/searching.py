"""Search at size, in processes of their own: making an index, asking it, and asking the API what is meant to hurt it.

Arguments: ``build`` or ``ask``, database, folder of the registry, file of the queries. The figures come out as one
JSON object; times are of the processor.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from werkzeug.test import create_environ, run_wsgi_app

from benchmarks import hostile
from benchmarks.relevance import misspelt
from registry import analysis, finding
from registry.model import Release, today
from registry.search import Index
from registry.settings import read
from registry.store import Store

_EACH = 100
_Asked = TypeVar("_Asked")


def asked(release: Release) -> dict[str, list[str]]:
    """Queries made from the labels of a release, by kind, and ``words``: those of the labels. The same at each run."""
    chance = random.Random(1)
    labels = [text for concept in release.concepts.values() for text in _labels(concept.pref_label, concept.alt_label)]
    chosen = chance.sample(labels, min(_EACH, len(labels)))
    some = [" ".join(chance.sample(label.split(), min(3, len(label.split())))) for label in chosen]
    return {
        "a label": chosen,
        "a label with an error": [misspelt(label) for label in chosen],
        "some words": some,
        "some words with an error": [misspelt(words) for words in some],
        "a beginning": [label[: chance.randint(2, len(label))] for label in chosen],
        "one word": [chance.choice(label.split()) for label in chosen],
        "a sentence": [f"je ne peux plus payer {words}" for words in some],
        "words": sorted({word.text for label in chosen for word in analysis.words(label) if not word.stop}),
    }


def _labels(*properties: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (text for texts in properties for _, text in texts)


def build(store: Store, folder: Path) -> dict[str, float]:
    """Make the index of the releases in force, and say how long that takes, from reading them on."""
    started = time.process_time()
    finding.current_index(store, folder / "index", today())
    return {"seconds": time.process_time() - started}


def ask(store: Store, database: str, folder: Path, queries: dict[str, list[str]]) -> dict[str, Any]:
    """Median and 99th percentile of searches and suggestions, and the worst of each kind of hostile query."""
    index = finding.current_index(store, folder / "index", today())
    words = queries.pop("words")
    typed = [text[:end] for texts in queries.values() for text in texts for end in (3, len(text) // 2, len(text))]
    gc.collect()
    kinds = {kind: sorted(_times(index.search, texts)) for kind, texts in queries.items()}
    return {
        "kinds": {kind: _figures(times) for kind, times in kinds.items()},
        "search": _figures(sorted(one for times in kinds.values() for one in times)),
        "suggest": _figures(sorted(_times(index.suggest, typed))),
        "hostile": dict(_worst(index, database, folder, words)),
    }


def _times(call: Callable[[_Asked], object], asked: Iterable[_Asked]) -> list[float]:
    """Milliseconds of the processor that each call takes."""
    times = []
    for one in asked:
        started = time.process_time_ns()
        call(one)
        times.append((time.process_time_ns() - started) / 1e6)
    return times


def _figures(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), times[int(0.99 * len(times))]


def _worst(index: Index, database: str, folder: Path, words: list[str]) -> Iterator[tuple[str, tuple[float, float]]]:
    """The most milliseconds of the processor that a hostile query takes, by kind: of the index, and of the whole API.

    :raises RuntimeError: when the API neither answers nor says that it refuses such an address.
    """
    from api import create_app

    app = create_app(read({"SOCLE_DATA_DIR": str(folder), "SOCLE_DATABASE_URL": database}))

    def ask_api(environ: dict[str, Any]) -> None:
        _, status, _ = run_wsgi_app(app, environ, buffered=True)
        if not status.startswith(("200", "400", "414")):
            raise RuntimeError(f"{environ['QUERY_STRING'][:60]} answers {status}")

    for place in ("search", "suggest"):
        ask_api(create_environ(f"/api/v1/{place}", query_string="q=aide"))  # The first request opens the index.

    for kind in hostile.KINDS:
        texts = list(hostile.queries(kind, words))
        written = [urlencode({"q": text}, errors="surrogatepass") for text in texts]
        requests = [
            create_environ(f"/api/v1/{place}", query_string=one) for one in written for place in ("search", "suggest")
        ]
        direct = _times(index.search, texts) + _times(index.suggest, texts)
        yield kind, (max(direct), max(_times(ask_api, requests)))
    app.extensions["socle"].store.close()


def main(what: str, database: str, folder: str, file: str) -> dict[str, Any]:
    """Do one of the two, and return its figures."""
    store = Store(database, Path(folder) / "blobs")
    try:
        if what == "build":
            return build(store, Path(folder))
        return ask(store, database, Path(folder), json.loads(Path(file).read_text(encoding="utf-8")))
    finally:
        store.close()


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:5])))
