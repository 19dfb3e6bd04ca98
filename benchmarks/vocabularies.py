"""What becomes of any folder of vocabularies: each file is imported or refused, with the errors counted by rule.

``python -m benchmarks.vocabularies DIR`` prints a line a file, and ``--errors`` every error below it. A file is
imported if a first release of it could be published once its warnings are accepted in writing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from registry import rules
from registry.errors import Invalid, NotFound, Problem, TooLarge
from registry.formats import Format, of_file
from registry.model import Content, Nomenclature, Release, french
from registry.sandbox import OPERATOR_LIMITS

PLACE = "https://vocabularies.example/"


class Outcome(NamedTuple):
    """What became of a file: what it holds, if it could be read; what is wrong with it, ``total`` of it in all."""

    file: Path
    content: Content | None
    problems: tuple[Problem, ...]
    total: int

    @property
    def errors(self) -> list[Problem]:
        """What it is refused for."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def line(self) -> str:
        """The outcome in one line, without the file's name."""
        if self.content is None or self.errors:
            more = f" (of {self.total})" if self.total > len(self.problems) else ""
            return f"refused   {len(self.errors)} errors{more}: {_counted(self.errors)}"
        concepts = self.content.concepts.values()
        languages = sorted({language for concept in concepts for language, _ in concept.pref_label})
        found = f"{len(concepts)} concepts, {len(self.content.groups or ())} groups, {' '.join(languages)}"
        return f"imported  {found}" + (f"; warnings: {_counted(self.problems)}" if self.problems else "")


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Every vocabulary under a folder, in the order of their names."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            format = of_file(file.name)
        except NotFound:
            continue
        if format.read:
            yield outcome(file, format)


def outcome(file: Path, format: Format) -> Outcome:
    """What becomes of one file."""
    slug = re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:63]
    described = Nomenclature(slug, PLACE + slug, french(file.stem), publisher=PLACE, license=PLACE + "licence")
    try:
        content = format.read(file.read_bytes(), described, OPERATOR_LIMITS) if format.read else Content({})
    except Invalid as error:
        return Outcome(file, None, tuple(error.problems), error.total)
    except TooLarge as error:
        return Outcome(file, None, (Problem("file_is_small_enough", str(error)),), 1)
    release = Release(
        content.nomenclature or described,
        "1.0",
        date(2024, 1, 1),
        content.concepts,
        content.links or frozenset(),
        content.groups or (),
    )
    found = tuple(rules.problems(release))
    return Outcome(file, content, found, len(found))


def _counted(problems: Iterable[Problem]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(Counter(one.rule for one in problems).items()))


def main(folder: str, *options: str) -> int:
    """Print the outcomes; return an exit code."""
    count = 0
    for found in outcomes(Path(folder)):
        count += 1
        print(f"{found.file.relative_to(folder)!s:<48} {found.line()}", flush=True)
        if "--errors" in options:
            for problem in found.errors:
                codes = ", ".join(problem.codes[:10])
                print(f"    {problem.rule}: {f'{codes}, ' if codes and problem.where else ''}{problem}")
    if not count:
        print(f"no vocabulary in {folder}", file=sys.stderr)
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
