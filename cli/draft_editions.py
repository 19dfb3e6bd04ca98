"""Commands on the draft of a crosswalk: a department's file in, codes decided, candidates, carried, published."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cli import current, output, reading, values
from cli.values import ListName
from registry import access, crosswalks, draft_editions, draft_files, editions, importing, rules, staleness
from registry.access import Actor
from registry.crosswalks import RELATIONS, Organisation
from registry.draft_editions import STATES, Choice, Said
from registry.draft_files import Given
from registry.editions import Counts, Coverage
from registry.errors import Conflict, NotFound
from registry.model import today
from registry.sandbox import OPERATOR_LIMITS
from registry.staleness import Review
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition, DraftRow

if TYPE_CHECKING:
    from registry.search import Index

KINDS = ("departement", "metropole", "ccas", "editeur", "etat", "comite")
WORDS = {"mapped": "avec cible", "noMatch": "sans équivalent", "unreviewed": "à examiner"}
ACTIONS = {"keep": "à relire", "successor": "successeur proposé", "byHand": "à décider"}

NAME = click.argument("name", metavar="ORG/LIST", type=values.LIST)
NOMENCLATURE = click.argument("nomenclature", metavar="N")
REVISION = click.option("--revision", type=click.IntRange(1), help="Refuse unless the draft is still at this revision.")
_EDITION = click.IntRange(1, 2**31 - 1)


# --- By file -------------------------------------------------------------------------------------------------------


@click.command("import")
@NAME
@NOMENCLATURE
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Only say what it would do.")
@click.option(
    "--column",
    "columns",
    type=values.COLUMN_NAME,
    multiple=True,
    help="Which header has a role: code=N°. Columns are recognised without it. Repeatable.",
)
@click.option("--sheet", default="", help="The sheet of a workbook that has several.")
@click.option("--relation", type=click.Choice(RELATIONS), help="What a row with a target and no relation is taken for.")
@click.option(
    "--refused", type=click.Path(dir_okay=False, path_type=Path), help="Where rows are refused: the file to mend."
)
@click.option("--drop", is_flag=True, help="Let decisions go that the file does not have any more.")
@click.option("--list", "codes", type=click.File("rb"), help="The local list's codes (CSV), where FILE lacks labels.")
@click.option("--title", help="The title of a new list; its name unless given.")
@click.option("--organisation-name", default="", help="The name of a new organisation.")
@click.option("--kind", default="departement", show_default=True, help=f"What it is: {', '.join(KINDS)}…")
@click.option(
    "--release", type=values.RELEASE, help="What the targets are of: the draft's, the file's, or in force today."
)
@click.option("--valid-from", type=values.DAY, help="The day from which the edition will apply; that of publication.")
@click.option("--author", help="Who stands for the mappings; the organisation unless given.")
@click.option("--license", help="The licence of the crosswalk; that of the last edition, or Licence Ouverte.")
@click.option("--publish", "at_once", is_flag=True, help="Publish the draft as an edition at once.")
@click.option("--edition", "number", type=_EDITION, help="With --publish: the edition; the next one unless given.")
@output.json_option
def import_(name: ListName, nomenclature: str, file: IO[bytes], **options: Any) -> None:
    """Make the draft of a crosswalk from a FILE as it is: CSV, XLSX, ODS, XLS or SSSOM/TSV, with columns of its own.

    All of it, or nothing: each row that is refused is listed, with what would be accepted.
    """
    registry, place = current.store(), _place(name, nomenclature)
    said = _said(registry, nomenclature, options)
    data = current.contents(file)
    imported = draft_files.read(
        registry,
        place,
        data,
        said,
        file=str(getattr(file, "name", "")),
        columns=dict(options["columns"]),
        relation=options["relation"] or "",
        sheet=options["sheet"],
        limits=OPERATOR_LIMITS,
    )
    if imported.refusals and options["refused"]:
        options["refused"].write_bytes(importing.refused_file(data, imported, whole=True)[0])
        number, many = imported.refused, "s" if imported.refused > 1 else ""
        told = f"{number} ligne{many} à corriger dans {options['refused']}, avec les motifs ; puis l'importer"
        click.echo(told, err=True)
    given = draft_files.given(imported)
    if options["codes"]:
        given = given.with_list(crosswalks.read_list(current.contents(options["codes"])))
    with registry.at_once():
        _known(registry, place, options)
        actor = _mapper(place)
        with draft_editions.reading(registry, place, actor):
            found = draft_files.change(registry, place, given, said)
        report = draft_files.report_document(registry, imported, found)
        if options["dry_run"]:
            problems = [output.problem_document(one) for one in found.problems[: rules.LISTED]]
            lines = [*_report_lines(report), *(str(one) for one in found.problems[: rules.LISTED])]
            output.answer({**report, "problems": problems, "total": len(found.problems)}, lines)
            # Leaving the transaction so takes back an organisation that was made known for the question alone.
            click.get_current_context().exit(1 if found.problems else 0)
        draft = _put(registry, place, given, said, actor, drop=options["drop"])
        if options["at_once"]:
            _publish(registry, place, actor, number=options["number"])
            return
        document = {**report, "draft": draft_editions.document(registry, draft)}
        output.answer(document, [*_report_lines(report), _head_line(registry, draft)])


def _put(registry: Store, place: CrosswalkName, given: Given, said: Said, actor: Actor, *, drop: bool) -> DraftEdition:
    """Let the draft hold what the file says; whoever is at a terminal is asked before decisions go."""
    try:
        return draft_files.put(registry, place, given, said, actor=actor, drop=drop)
    except Conflict as error:
        dropped: Any = error.details.get("dropped")
        if not dropped or not sys.stdin.isatty():
            raise
        click.echo(f"{dropped['total']} correspondances ne sont plus dans le fichier :", err=True)
        for one in dropped["examples"]:
            click.echo(f"  {one['code']} {one['relation']} {one['target'] or ''}".rstrip(), err=True)
        click.confirm("Les abandonner ?", abort=True, err=True)
        return draft_files.put(registry, place, given, said, actor=actor, drop=True)


def _known(registry: Store, place: CrosswalkName, options: Mapping[str, Any]) -> None:
    """Make the organisation known, where it is new and its name is given."""
    try:
        registry.organisation(place.organisation)
    except NotFound:
        if not options["organisation_name"]:
            raise NotFound(
                "organisation", place.organisation, {"lacks": "--organisation-name, s'il est nouveau"}
            ) from None
        organisation = Organisation(place.organisation, options["organisation_name"], options["kind"])
        access.create_organisation(registry, organisation, actor=current.actor())


def _said(registry: Store, nomenclature: str, options: Mapping[str, Any]) -> Said:
    release = options["release"]
    return Said(
        current.edition(registry, nomenclature, release).version if release else None,
        options["valid_from"],
        options["author"],
        options["license"],
        options["title"],
    )


# --- Looking at one, and deciding ----------------------------------------------------------------------------------


@click.command()
@NAME
@NOMENCLATURE
@click.option("--status", type=click.Choice(STATES), help="Only codes in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many codes.")
@click.option("--after", default="", help="Only codes after this one.")
@output.json_option
def draft(name: ListName, nomenclature: str, status: str | None, limit: int, after: str) -> None:
    """Show the draft of a crosswalk: its codes, each mapped, without equivalent or to be reviewed."""
    registry, found = _readable(name, nomenclature)
    rows = registry.draft_rows(found, state=status, after=after, limit=limit)
    items = [draft_editions.row_document(row) for row in rows]
    document = draft_editions.document(registry, found)
    total = document["coverage"]["codes"][status or "total"]
    output.answer({**document, "items": items, "total": total}, [_head_line(registry, found), *_row_lines(rows)])


@click.command()
@NAME
@NOMENCLATURE
@output.json_option
def check(name: ListName, nomenclature: str) -> None:
    """Check the draft of a crosswalk; ends with exit code 1 if publishing it would be refused."""
    registry, found = _readable(name, nomenclature)
    problems = draft_editions.problems(registry, found)
    rules.refuse(one for one in problems if one.severity == "error")
    output.warn(problems)
    told = [output.problem_document(one) for one in problems]
    output.answer({"problems": told, "total": len(told)}, [_head_line(registry, found)])


@click.command("map")
@NAME
@NOMENCLATURE
@click.argument("code")
@click.argument("decision", nargs=-1, required=True, metavar="noMatch|unreviewed|(RELATION TARGET)…")
@click.option("--covers", is_flag=True, help="These narrower concepts together are all that the code means.")
@click.option("--weight", "weights", multiple=True, help="Of each target, in their order: numbers from 0 to 1.")
@click.option("--comment", default="", help="Why.")
@click.option("--justification", default="", help="How it was found, in the words of semapv; by hand unless given.")
@REVISION
@output.json_option
def map_(
    name: ListName, nomenclature: str, code: str, decision: tuple[str, ...], revision: int | None, **said: Any
) -> None:
    """Decide what a local CODE is: relations to concepts, without equivalent, or to be reviewed again.

    What is given takes the place of what the draft had: socle crosswalk map dep-71/solis types-aide 12 exactMatch TA-1
    """
    registry, place = current.store(), _place(name, nomenclature)
    choice = Choice(code, tuple(_decided(decision, said)))
    found = draft_editions.decide(registry, place, [choice], actor=_mapper(place), revision=revision)
    output.answer(draft_editions.document(registry, found), [_head_line(registry, found)])


def _decided(decision: tuple[str, ...], said: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The rows of a decision, by column."""
    common = {"comment": said["comment"], "justification": said["justification"]}
    if decision == ("noMatch",):
        yield {"relation": "noMatch", "target_code": "", **common}
    elif decision != ("unreviewed",):
        if len(decision) % 2 or len(said["weights"]) not in (0, len(decision) // 2):
            raise click.UsageError("give noMatch, unreviewed, or relations each with its target and perhaps a weight")
        weights = said["weights"] or [""] * (len(decision) // 2)
        for relation, target, weight in zip(decision[::2], decision[1::2], weights, strict=True):
            covers = "true" if said["covers"] else ""
            yield {"relation": relation, "target_code": target, "weight": weight, "covers": covers, **common}


@click.command()
@NAME
@NOMENCLATURE
@click.option("--accept-sure", is_flag=True, help="Map the codes whose candidate is sure; no others.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="The score that it needs."
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many codes.")
@click.option("--after", default="", help="Only codes after this one.")
@REVISION
@output.json_option
def candidates(name: ListName, nomenclature: str, accept_sure: bool, revision: int | None, **options: Any) -> None:
    """Propose concepts for each code of a draft that nobody decided on; nothing is mapped unless it is asked for."""
    from registry.formats.document import candidate_document

    registry, place = current.store(), _place(name, nomenclature)
    if accept_sure:
        actor = _mapper(place)
        index = _index(registry, draft_editions.draft(registry, place, actor=actor))
        threshold = options["threshold"]
        after, written = draft_editions.accept_sure(
            registry, index, place, threshold=threshold, actor=actor, revision=revision
        )
        _accepted(registry, after, written)
        return
    _, found = _readable(name, nomenclature)
    index = _index(registry, found)
    proposed = draft_editions.candidates(registry, index, found, after=options["after"], limit=options["limit"])
    heading = registry.heading(found.nomenclature, found.release).iri
    items = [
        {
            **editions.code_document(one.code),
            "candidates": [candidate_document(each, heading) for each in one.candidates],
        }
        for one in proposed
    ]
    lines = [line for one in proposed for line in _candidate_lines(one)]
    total = draft_editions.coverage(registry, found).codes.unreviewed
    output.answer({"items": items, "total": total}, [*lines, *_sure_lines(proposed, total)])


def _sure_lines(proposed: Sequence[draft_editions.Proposed], total: int) -> Iterator[str]:
    """How many codes are left, and how far those that are sure can be trusted, as it was measured."""
    right, said, labels = draft_editions.SURE
    sure = sum(any(each.sure for each in one.candidates) for one in proposed)
    yield (
        f"{len(proposed)} codes sur {total} à examiner, dont {sure} avec un candidat sûr"
        if total
        else "rien à examiner"
    )
    if sure:
        yield f"  --accept-sure les écrit ; mesuré sur {labels} libellés : {said} candidats sûrs, {right} justes"


def _candidate_lines(one: draft_editions.Proposed) -> Iterator[str]:
    yield f"{one.code.code}  {one.code.label}"
    for each in one.candidates:
        sure = "sûr, " if each.sure else ""
        yield f"    {each.relation} {each.document.code}  {each.document.pref_label}  [{sure}{each.score:.2f}]"
    if not one.candidates:
        yield "    aucun concept probable"


def _index(registry: Store, found: DraftEdition) -> Index:
    from registry import finding  # It imports Whoosh, which takes long.

    release = registry.edition(found.nomenclature, found.release)
    return finding.index_of(registry, current.settings().index, [release], today())


# --- From release to release ---------------------------------------------------------------------------------------


@click.command()
@click.argument("name", metavar="ORG/LIST[@E]", type=values.LIST)
@NOMENCLATURE
@click.option("--release", type=values.RELEASE, help="The release to look at; in force today unless given.")
@click.option("--draft", "of_draft", is_flag=True, help="What the draft was carried with, and has to decide on again.")
@click.option("--accept-successors", is_flag=True, help="Map the draft's codes of which each target has one successor.")
@REVISION
@output.json_option
def review(
    name: ListName,
    nomenclature: str,
    release: str | None,
    of_draft: bool,
    accept_successors: bool,
    revision: int | None,
) -> None:
    """List the mappings whose target was touched up to a release, with what is proposed for each; nothing moves."""
    registry, place = current.store(), _place(name, nomenclature)
    if accept_successors:
        after, written = staleness.accept_successors(registry, place, actor=_mapper(place), revision=revision)
        _accepted(registry, after, written)
        return
    if of_draft:
        _, found = _readable(name, nomenclature)
        reviews = staleness.draft_review(registry, found)
    else:
        edition = registry.crosswalk_edition(
            name.organisation, name.slug, nomenclature, edition=name.edition, at=None if name.edition else today()
        )
        reviews = [staleness.review_list(registry, edition, current.edition(registry, nomenclature, release).version)]
    items = [item for one in reviews for item in staleness.item_documents(one, one.items)]
    told = [staleness.review_document(one) for one in reviews]
    lines = [line for one in reviews for line in _review_lines(one)] or ["rien à décider de nouveau"]
    if not of_draft and any(one.release != one.to for one in reviews):
        to = reviews[0].to
        lines.append(f"socle crosswalk carry {place.organisation}/{place.code_list} {nomenclature} --release {to}")
        lines[-1] += " ouvre un projet sur cette version ; rien ne change sans vous"
    output.listing(items, lines, reviews=told)


@click.command()
@NAME
@NOMENCLATURE
@click.option("--release", type=values.RELEASE, help="The release to carry it to; in force today unless given.")
@REVISION
@output.json_option
def carry(name: ListName, nomenclature: str, release: str | None, revision: int | None) -> None:
    """Put a crosswalk on another release: its draft, or a new draft beside its last edition.

    Mappings that hold stay; codes of which one does not are to be reviewed: see `socle crosswalk review --draft`.
    """
    registry, place = current.store(), _place(name, nomenclature)
    to = current.edition(registry, nomenclature, release).version
    found, left = staleness.carry(registry, place, to, actor=_mapper(place), revision=revision)
    document = {"draft": draft_editions.document(registry, found), "review": staleness.review_document(left)}
    output.answer(document, [_head_line(registry, found), *_review_lines(left)])


def _review_lines(found: Review) -> Iterator[str]:
    if found.release == found.to:
        yield f"déjà sur {found.nomenclature}@{found.to} : rien à reprendre"
        return
    counts = found.counts()
    told = ", ".join(f"{word} {counts[action]}" for action, word in ACTIONS.items())
    yield f"{found.nomenclature}, de {found.release} à {found.to} : {told} ; codes à décider {counts['codes']}"
    for item in found.items:
        kinds = ", ".join(reading.KINDS[kind] for kind in item.kinds)
        yield f"  {item.code.code}  {item.mapping.relation} {item.before.code}  [{kinds}] {ACTIONS[item.action]}"
        for one in item.proposed:
            yield f"      {one.relation or 'à définir'} {one.concept.code}  {one.concept.label}"
        if item.reason:
            yield f"      {item.reason}"


# --- Ending one ----------------------------------------------------------------------------------------------------


@click.command()
@NAME
@NOMENCLATURE
@click.option("--valid-from", type=values.DAY, help="The day from which it applies; the draft's, or today.")
@click.option("--edition", "number", type=_EDITION, help="The edition; the next one unless given.")
@REVISION
@output.json_option
def publish(
    name: ListName, nomenclature: str, valid_from: date | None, number: int | None, revision: int | None
) -> None:
    """Turn the draft of a crosswalk into a numbered edition that never changes."""
    registry, place = current.store(), _place(name, nomenclature)
    _publish(registry, place, _mapper(place), valid_from=valid_from, number=number, revision=revision)


def _publish(registry: Store, place: CrosswalkName, actor: Actor, **options: Any) -> None:
    edition, warnings = draft_editions.publish(registry, place, actor=actor, **options)
    output.warn(warnings)
    many = "s" if edition.mappings > 1 else ""
    since = f"applicable depuis le {edition.valid_from.isoformat()}"
    told = f"publié : {title(edition)}, {edition.mappings} correspondance{many}, {since}"
    output.answer(crosswalks.edition_document(edition), [told])


@click.command()
@NAME
@NOMENCLATURE
@REVISION
@output.json_option
def discard(name: ListName, nomenclature: str, revision: int | None) -> None:
    """Give the draft of a crosswalk up: nothing of it is kept."""
    registry, place = current.store(), _place(name, nomenclature)
    draft_editions.discard(registry, place, actor=_mapper(place), revision=revision)
    output.answer(
        {"discarded": place._asdict()}, [f"abandonné : {place.organisation}/{place.code_list} → {place.nomenclature}"]
    )


COMMANDS = (import_, draft, check, map_, candidates, review, carry, publish, discard)
"""What the group `socle crosswalk` has of them."""


def title(edition: crosswalks.CrosswalkEdition) -> str:
    """An edition in words."""
    name = f"{edition.organisation}/{edition.code_list}@{edition.edition}"
    return f"{name} → {edition.nomenclature}@{edition.release}"


def coverage_words(found: Coverage) -> str:
    """How far a list is covered, in words."""
    counts = ", ".join(f"{word} {found.codes.document()[state]}" for state, word in WORDS.items())
    if found.uses is None or not sum(found.uses):
        return counts
    return f"{counts} ; {share_of_uses(found.uses)} des usages examinés"


def share_of_uses(uses: Counts) -> str:
    """The share of uses that somebody decided on, as it is written in French."""
    return f"{100 * (uses.mapped + uses.no_match) / sum(uses):.1f} %".replace(".", ",")


def _place(name: ListName, nomenclature: str) -> CrosswalkName:
    return CrosswalkName(name.organisation, name.slug, nomenclature)


def _mapper(place: CrosswalkName) -> Actor:
    """Who acts; the registry's administrator on its own machine may for every organisation."""
    return access.standing_in(current.actor(), place.organisation, "mapper")


def _readable(name: ListName, nomenclature: str) -> tuple[Store, DraftEdition]:
    place = _place(name, nomenclature)
    return current.store(), draft_editions.draft(current.store(), place, actor=_mapper(place))


def _accepted(registry: Store, found: DraftEdition, written: Iterable[crosswalks.Mapping]) -> None:
    accepted = [editions.mapping_document(one) for one in written]
    lines = (f"  {one['code']} {one['relation']} {one['target']}" for one in accepted)
    document = {"draft": draft_editions.document(registry, found), "accepted": accepted}
    number = len(accepted)
    told = f"{number} correspondances écrites" if number > 1 else f"{number or 'aucune'} correspondance écrite"
    output.answer(document, [told, *lines, _head_line(registry, found)])


def _head_line(registry: Store, found: DraftEdition) -> str:
    name = f"{found.code_list.organisation}/{found.code_list.slug} → {found.nomenclature}@{found.release}"
    return f"projet de {name}, révision {found.revision} : {coverage_words(draft_editions.coverage(registry, found))}"


def _row_lines(rows: Iterable[DraftRow]) -> Iterator[str]:
    for row in rows:
        yield f"{row.code.code}  {row.code.label}  [{WORDS[draft_editions.state(row)]}]"
        for item in row.mappings:
            old = f"  (valait dans {item.stale_from})" if item.stale_from else ""
            yield f"    {item.mapping.relation} {item.mapping.target_code}{old}".rstrip()


def _report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    rows = report["rows"]
    yield f"lu : {report['format']}, lignes {rows['read']}, acceptées {rows['accepted']}, refusées {rows['refused']}"
    yield "colonnes : " + ", ".join(f"{column['header']} = {column['role']}" for column in report["columns"])
    if report["unused"]:
        yield f"colonnes non lues : {', '.join(report['unused'])}"
    yield from report["remarks"]
    if report["dropped"]["total"]:
        yield f"correspondances qui ne sont plus dans le fichier : {report['dropped']['total']}"
