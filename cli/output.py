"""What a command answers: text for people, JSON with --json; problems one per line on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click

from registry import errors
from registry.errors import Conflict, Invalid, NotFound, Problem
from registry.model import Edition

_AS_JSON = "cli.output.as_json"
_Command = TypeVar("_Command", bound=Callable[..., Any])

KINDS = {
    "nomenclature": "nomenclature",
    "release": "version",
    "concept": "concept",
    "draft": "projet",
    "draft edition": "projet de table",
    "format": "format",
    "organisation": "organisme",
    "code list": "liste locale",
    "crosswalk": "table de correspondance",
    "person": "personne",
    "membership": "rôle",
    "token": "jeton",
    "proposal": "demande",
    "webhook": "webhook",
    "delivery": "livraison",
}
HINTS = {
    "releases": "versions qui l'ont",
    "successors": "successeurs",
    "nomenclatures": "nomenclatures",
    "inForceFrom": "en vigueur à partir du",
    "accepted": "lus",
    "crosswalks": "tables",
    "lists": "listes",
    "lacks": "manque",
}
NEXT = {
    "draft edition": "socle crosswalk import, ou socle crosswalk carry, en ouvre un",
    "organisation": "socle organisation create le fait connaître",
}
"""What somebody at a terminal may do about what is not there."""
WORDS: dict[type[Exception], str] = {
    errors.TooLarge: "trop grand",
    errors.WrongSetting: "wrong setting",
    errors.AlreadyPublished: "existe déjà",
    errors.VotesMissing: "votes manquants",
    errors.Stale: "modifié entre-temps",
    errors.Unauthenticated: "personne n'est nommé : --as PERSONNE ou SOCLE_TOKEN",
    errors.Forbidden: "rôle insuffisant",
    errors.KeyRefused: "clé de signature",
    errors.Unverified: "vérification en échec",
    errors.Conflict: "conflit",
    errors.Busy: "registre indisponible",
    errors.Damaged: "registre endommagé",
    OSError: "système",
}


def json_option(command: _Command) -> _Command:
    """Give a command the option --json, which ``answer`` and ``report`` obey."""

    def keep(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_AS_JSON] = value

    # Read before the others, so that what is wrong with them is already told in JSON.
    option = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=keep, help="Answer in JSON."
    )
    return option(command)


def answer(document: Any, lines: Iterable[str]) -> None:
    """Print the document with --json, else the lines."""
    if as_json():
        _print_json(document)
    else:
        for line in lines:
            click.echo(line)


def listing(items: Sequence[Any], lines: Iterable[str], **more: Any) -> None:
    """Answer with a list, shaped as the API's."""
    answer({"items": items, "total": len(items), **more}, lines)


def table(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Rows as aligned columns."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def withdrawal(edition: Edition) -> str:
    """When and why a release was withdrawn, in French; empty if it was not."""
    return f"retirée le {edition.withdrawn_at:%Y-%m-%d} : {edition.withdrawn_why}" if edition.withdrawn_at else ""


def progress(line: str) -> None:
    """Say what is going on, to somebody who watches."""
    if sys.stderr.isatty():
        click.echo(line, err=True)


def warn(problems: Iterable[Problem]) -> None:
    """Print warnings on standard error."""
    for problem in problems:
        click.echo(f"avertissement : {problem} [{problem.rule}]", err=True)


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem as JSON."""
    return {
        "rule": problem.rule,
        "severity": problem.severity,
        "message": problem.message,
        "codes": list(problem.codes),
        "where": problem.where,
        "value": problem.value,
        "accepted": problem.accepted,
    }


def report(error: Exception) -> None:
    """Print what went wrong: in words on standard error, or with --json as the command's answer."""
    if as_json():
        _print_json(_document(error))
    else:
        for line in _lines(error):
            click.echo(line, err=True)


def as_json() -> bool:
    """Whether the command is to answer in JSON."""
    return bool(click.get_current_context().meta.get(_AS_JSON)) if click.get_current_context(silent=True) else False


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _document(error: Exception) -> dict[str, Any]:
    found: dict[str, Any] = {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, Invalid):
        found |= {"problems": [problem_document(problem) for problem in error.problems], "total": error.total}
    elif isinstance(error, NotFound):
        found |= {"kind": error.kind, "name": error.name, **error.hints}
    elif isinstance(error, Conflict):
        found |= error.details
    return found


def _lines(error: Exception) -> Iterator[str]:
    if isinstance(error, Invalid):
        for problem in error.problems:
            kind = "avertissement" if problem.severity == "warning" else "erreur"
            yield f"{kind} : {problem} [{problem.rule}]"
        more = error.total - len(error.problems)
        yield f"{error.total} problème{'s' if error.total > 1 else ''}" + (
            f", dont {more} non affichés" if more else ""
        )
    elif isinstance(error, NotFound):
        hints = "; ".join(f"{HINTS.get(key, key)} : {_joined(value)}" for key, value in error.hints.items() if value)
        # Neither a list nor a nomenclature has a blank in its name: only what is said between the two is in English.
        name = error.name.replace(" to ", " → ") if error.kind in ("crosswalk", "draft edition") else error.name
        yield f"introuvable : {KINDS.get(error.kind, error.kind)} {name}" + (f" ({hints})" if hints else "")
        if error.kind in NEXT:
            yield f"  {NEXT[error.kind]}"
    else:
        words = next(words for kind, words in WORDS.items() if isinstance(error, kind))
        yield f"{words} : {error}"
        if isinstance(error, Conflict):
            yield from _clashing(error.details)


def _clashing(details: Mapping[str, Any]) -> Iterator[str]:
    """The fields in which two changes clash, each with what either side says."""
    for clash in details.get("clashes", ()):
        said = (f"{name} {json.dumps(clash[name], ensure_ascii=False)}" for name in ("base", "ours", "theirs"))
        yield f"  {clash['code']}.{clash['field']} : {', '.join(said)}"


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
