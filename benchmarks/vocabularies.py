"""What becomes of any folder of vocabularies: each file is imported or refused, with the errors counted by rule.

``python -m benchmarks.vocabularies DIR`` prints a line a file, and ``--errors`` every error below it. A file is
imported if a first release of it could be published once its warnings are accepted in writing. The other options are
those of ``socle draft new``. Of a file with several schemes each is tried, on a line of its own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from registry import rules
from registry.errors import Invalid, NotFound, Problem, TooLarge
from registry.formats import Format, of_file, read_content
from registry.formats.skos_scope import NO_CHOICE, Choices
from registry.model import Content, Nomenclature, Release, french
from registry.sandbox import OPERATOR_LIMITS, RDF_FORMATS

PLACE = "https://vocabularies.example/"


class Outcome(NamedTuple):
    """What became of a file: what it holds, if it could be read; what is wrong with it, ``total`` of it in all."""

    file: Path
    content: Content | None
    problems: tuple[Problem, ...]
    total: int
    scheme: str = ""

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


def outcomes(folder: Path, choices: Choices = NO_CHOICE) -> Iterator[Outcome]:
    """Every vocabulary under a folder, in the order of their names; of several schemes in a file, each."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        try:
            format = of_file(file.name, data)
        except NotFound:
            continue
        if format.read is None:
            continue
        found = outcome(file, data, format, choices)
        asked = next((one for one in found.problems if one.where == "skos:ConceptScheme"), None)
        if asked is None or choices.scheme:
            yield found
        else:
            for scheme in asked.value.split(", "):
                yield outcome(file, data, format, choices._replace(scheme=scheme))


def outcome(file: Path, data: bytes, format: Format, choices: Choices = NO_CHOICE) -> Outcome:
    """What becomes of one file."""
    slug = re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:63]
    described = Nomenclature(slug, PLACE + slug, french(file.stem), publisher=PLACE, license=PLACE + "licence")
    if format.name not in RDF_FORMATS:
        choices = NO_CHOICE
    try:
        content = read_content(format.name, data, described, OPERATOR_LIMITS, choices)
    except Invalid as error:
        return Outcome(file, None, tuple(error.problems), error.total, choices.scheme)
    except TooLarge as error:
        return Outcome(file, None, (Problem("file_is_small_enough", str(error)),), 1, choices.scheme)
    release = Release(
        content.nomenclature or described,
        "1.0",
        date(2024, 1, 1),
        content.concepts,
        content.links or frozenset(),
        content.groups or (),
    )
    found = tuple(rules.problems(release))
    return Outcome(file, content, found, len(found), choices.scheme)


def _counted(problems: Iterable[Problem]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in sorted(Counter(one.rule for one in problems).items()))


def main(*arguments: str) -> int:
    """Print the outcomes; return an exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.vocabularies", description="Try the import on a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--errors", action="store_true", help="every error below the line of its file")
    parser.add_argument("--scheme", default="")
    parser.add_argument("--language", default="")
    parser.add_argument("--inside-only", action="store_true")
    parser.add_argument("--codes", choices=("notation", "iri"), default="notation")
    parser.add_argument("--replaced-on", type=date.fromisoformat)
    said = parser.parse_args(arguments)
    count = 0
    for found in outcomes(said.folder, Choices(**{field: getattr(said, field) for field in Choices._fields})):
        count += 1
        name = f"{found.file.relative_to(said.folder)} {found.scheme}".strip()
        print(f"{name:<48} {found.line()}", flush=True)
        if said.errors:
            for problem in found.errors:
                codes = ", ".join(problem.codes[:10])
                print(f"    {problem.rule}: {f'{codes}, ' if codes and problem.where else ''}{problem}")
    if not count:
        print(f"no vocabulary in {said.folder}", file=sys.stderr)
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
