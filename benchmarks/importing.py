"""One import as a process of its own, so that its memory and time are its own.

Arguments: database, folder of release files, file, version, codes that have kept their meaning.

The file becomes a draft, is checked, and is published as VERSION, as ``socle draft new``, ``draft check`` and
``publish`` do. Each step's seconds come out as one JSON object, with the rows of concept states that were added.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import sys
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.generator import FIRST_DAY, keys_of, nomenclature
from registry import drafts, publishing, sandbox
from registry.errors import AlreadyPublished
from registry.formats import of_file
from registry.model import Content, Decision, Nomenclature
from registry.store import Store
from registry.store import tables as t


def main(database: str, folder: str, file: str, version: str, same_meaning: tuple[str, ...]) -> dict[str, float]:
    """Import one file; return seconds of processor by step, and rows of concept states added."""
    store = Store(database, Path(folder))
    described = nomenclature()
    with contextlib.suppress(AlreadyPublished):  # This may not be its first release.
        store.add_nomenclature(described)
    rows = _rows(store)
    marks = {"start": _seconds()}
    draft = drafts.from_content(
        store, described.slug, _content(Path(file), described), decision=Decision("Banc d'essai.", same_meaning)
    )
    marks["draft new"] = _seconds()
    problems = drafts.problems(store, draft)
    marks["draft check"] = _seconds()
    if problems:
        raise SystemExit(f"the generator makes what the rules refuse: {problems[0]}")
    publishing.publish(store, draft, keys_of(store), version=version, valid_from=FIRST_DAY)
    marks["publish"] = _seconds()
    found = {"rows": float(_rows(store) - rows)}
    store.close()
    return found | {name: marks[name] - marks[before] for before, name in itertools.pairwise(marks)}


def _content(file: Path, described: Nomenclature) -> Content:
    """What a file holds, under the limits that hold for an operator's own files."""
    read = of_file(file.name).read
    assert read is not None
    return read(file.read_bytes(), described, sandbox.OPERATOR_LIMITS)


def _rows(store: Store) -> int:
    with store.database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(t.concept_state)).scalar_one())


def _seconds() -> float:
    """Processor seconds of this process and of the children that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], tuple(sys.argv[5:]))))
