"""Commands on nomenclatures and the list of their releases."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import IO, Any

import click

from cli import current, output
from registry import ballots, rules, shipped, signing
from registry.access import acting
from registry.errors import Invalid, NotFound, Problem
from registry.formats.document import edition_document, learnt_document, nomenclature_document
from registry.model import NAMES_IN_USE, SLUG, Edition, Nomenclature, Release
from registry.store import Store


@click.group(invoke_without_command=True)
@output.json_option
@click.pass_context
def nomenclatures(ctx: click.Context) -> None:
    """List the nomenclatures with their releases in force and issued last; or create one."""
    if ctx.invoked_subcommand is None:
        registry = current.store()
        found = [_document(registry, nomenclature) for nomenclature in registry.nomenclatures()]
        rows = ((one["slug"], one["current"] or "-", one["latest"] or "-", one["title"]["fr"][0]) for one in found)
        output.listing(found, output.table([("identifiant", "en vigueur", "dernière", "titre"), *rows]))


@nomenclatures.command()
@click.argument("slug", metavar="N")
@click.argument("file", type=click.File("rb"))
@output.json_option
def create(slug: str, file: IO[bytes]) -> None:
    """Create the nomenclature N, without any release yet, from a JSON file.

    Its fields: title, description ({"fr": …}), publisher, license (IRIs), attribution, codePattern, levelTitles,
    generic; iri (by default SOCLE_BASE_IRI and N).
    """
    described = _described(current.contents(file), slug, current.settings().base_iri)
    registry = current.store()
    with acting(registry, current.actor(), "nomenclature.create", f"nomenclature {slug}") as act:
        registry.add_nomenclature(described)
        act.after = described.iri[:200]
    output.answer({"slug": slug, "iri": described.iri}, [f"nomenclature {slug} créée : {described.iri}"])


@nomenclatures.command(name="rules")
@click.argument("slug", metavar="N")
@click.argument("file", type=click.File("rb"), required=False)
@output.json_option
def voting_rules(slug: str, file: IO[bytes] | None) -> None:
    """Say how the committee decides on the nomenclature N, from a JSON file; without one, show how it does.

    Its fields: voters (organisations), threshold (approvals), eachCollege, consultation (mandatory by law), chair (an
    organisation), days (how long a vote is open). An empty object asks for no votes.
    """
    registry = current.store()
    if file is not None:
        try:
            document = json.loads(current.contents(file))
        except ValueError as error:
            raise Invalid([Problem("voting_rules_are_sound", f"JSON illisible : {error}")]) from error
        ballots.set_rules(registry, slug, document, actor=current.actor())
    found = ballots.rules_of(registry, slug)
    output.answer(
        found, [f"{name} : {_said(value)}" for name, value in found.items()] or [f"{slug} : aucun vote demandé"]
    )


def _said(value: Any) -> str:
    """The value of a voting rule, to be read."""
    if isinstance(value, bool):
        return "oui" if value else "non"
    return ", ".join(value) if isinstance(value, list) else str(value or "aucune")


@click.command()
@click.argument("slug", metavar="N")
@output.json_option
def releases(slug: str) -> None:
    """List the releases of the nomenclature N, withdrawn ones too, oldest first."""
    found = current.store().editions(slug)
    rows = (
        (one.version, one.valid_from, signing.instant(one.issued), one.concepts, one.deprecated, _remarks(one))
        for one in found
    )
    header = ("version", "en vigueur à partir du", "publiée", "concepts", "dont dépréciés", "")
    output.listing([edition_document(one) | learnt_document(one) for one in found], output.table([header, *rows]))


def _remarks(edition: Edition) -> str:
    corrects = f"corrige {edition.corrects}" if edition.corrects else ""
    withdrawn = output.withdrawal(edition)
    return ", ".join(filter(None, (corrects, withdrawn)))


def _document(registry: Store, nomenclature: Nomenclature) -> dict[str, Any]:
    in_force = _version(registry, nomenclature.slug, "current")
    latest = _version(registry, nomenclature.slug, "latest")
    shown = registry.heading(nomenclature.slug, in_force or latest or "") if in_force or latest else nomenclature
    return nomenclature_document(shown, current=in_force, latest=latest)


def _version(registry: Store, slug: str, which: str) -> str | None:
    try:
        return current.edition(registry, slug, which).version
    except NotFound:
        return None


def _described(data: bytes, slug: str, base_iri: str) -> Nomenclature:
    """A nomenclature from a user's JSON, checked as the shipped ones are.

    :raises Invalid: with every problem found.
    """
    try:
        document = json.loads(data)
        document = {"iri": base_iri + slug, "codePattern": Nomenclature.code_pattern, **document, "slug": slug}
        described = shipped.nomenclature(document)
    except (ValueError, TypeError) as error:
        raise Invalid(
            [Problem("nomenclature_is_readable", f"JSON illisible : {error}", accepted="un objet")]
        ) from error
    problems = list(rules.heading_is_complete(Release(described, "", date.min)))
    if not SLUG.fullmatch(slug) or slug in NAMES_IN_USE:
        accepted = f"{SLUG.pattern}, sauf {', '.join(sorted(NAMES_IN_USE))}"
        problems.append(Problem("slug_is_well_formed", "identifiant refusé", where="N", value=slug, accepted=accepted))
    problems += _pattern(described.code_pattern)
    rules.refuse(problems)
    return described


def _pattern(pattern: str) -> list[Problem]:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return [Problem("code_pattern_compiles", f"motif illisible : {error}", where="codePattern", value=pattern)]
    return []
