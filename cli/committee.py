"""Commands of the committee: submit a draft, vote on it, publish it, withdraw; and the public record of decisions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import click

from cli import current, output, values
from registry import ballots, drafts, proposals, publishing
from registry.formats.document import edition_document
from registry.store import Store
from registry.store.drafts import DraftHead
from registry.votes import CHOICES, Attendance, Choice

DRAFT = click.argument("number", metavar="DRAFT", type=values.DRAFT)
OPENS = click.option("--opens", type=values.DAY, help="The first day of the vote; today unless it is given.")
CLOSES = click.option("--closes", type=values.DAY, help="Its last day; the voting rules say how long it is otherwise.")
OUTCOMES = {"open": "en cours", "approved": "approuvé", "rejected": "rejeté", "no_quorum": "sans quorum"}
SAID = {"approve": "pour", "reject": "contre", "abstain": "abstention"}


@click.command()
@DRAFT
@click.option("--version", type=values.VERSION, required=True, help="The version that the release bears.")
@click.option("--valid-from", type=values.DAY, required=True, help="The day from which it applies.")
@click.option("--corrects", metavar="V", type=values.VERSION, help="The release that this erratum mends.")
@OPENS
@CLOSES
@output.json_option
def submit(number: int, **said: Any) -> None:
    """Freeze a draft for the vote: content, lineage, version and first day, under one hash.

    Where the nomenclature has no voting rules it is approved at once.
    """
    registry = current.store()
    answer_draft(registry, drafts.submit(registry, number, actor=current.actor(), **_told(said)))


@click.command()
@DRAFT
@click.argument("choice", type=click.Choice(CHOICES))
@click.option("--comment", "reason", default="", help="Why; a rejection needs it. It is public.")
@click.option("--organisation", default="", help="For which organisation, if you are a member of several that vote.")
@click.option("--submission", default="", help="Refuse unless this hash is what is submitted.")
@output.json_option
def vote(number: int, choice: Choice, reason: str, organisation: str, submission: str) -> None:
    """Vote on a submitted draft for your organisation; a later vote takes the place of the one before."""
    registry, actor = current.store(), current.actor()
    answer_draft(
        registry,
        ballots.vote(
            registry, number, choice, actor=actor, reason=reason, organisation=organisation, submission=submission
        ),
    )


@click.command()
@DRAFT
@click.option("--present", metavar="O", multiple=True, help="An organisation that is there. Repeatable.")
@click.option("--mandate", metavar="O=HOLDER", type=values.MANDATE, multiple=True, help="Who is represented by whom.")
@output.json_option
def attend(number: int, present: tuple[str, ...], mandate: tuple[tuple[str, str], ...]) -> None:
    """Write down who is present or represented at a mandatory consultation, in the place of the list before."""
    registry = current.store()
    rows = [*(Attendance(slug) for slug in present), *(Attendance(slug, holder) for slug, holder in mandate)]
    answer_draft(registry, ballots.attend(registry, number, rows, actor=current.actor()))


@click.command(name="second-call")
@DRAFT
@OPENS
@CLOSES
@output.json_option
def second_call(number: int, opens: date | None, closes: date | None) -> None:
    """Call a consultation again that had no quorum: the same submission, and no quorum is needed."""
    registry = current.store()
    answer_draft(registry, ballots.second_call(registry, number, actor=current.actor(), opens=opens, closes=closes))


@click.command()
@DRAFT
@output.json_option
def withdraw(number: int) -> None:
    """Give a draft up; it stays readable."""
    registry = current.store()
    answer_draft(registry, drafts.withdraw(registry, number, actor=current.actor()))


ON_DRAFTS = (submit, vote, attend, second_call, withdraw)
"""The commands here that belong to `socle draft`."""


@click.command()
@DRAFT
@click.option("--version", type=values.VERSION, help="The version, where the draft was not submitted.")
@click.option("--valid-from", type=values.DAY, help="The day from which it applies, likewise.")
@click.option("--corrects", metavar="V", type=values.VERSION, help="The release that this erratum mends.")
@click.option("--at", type=values.INSTANT, help="Not now: at this instant, by `socle work`.")
@output.json_option
def publish(number: int, at: datetime | None, **said: Any) -> None:
    """Turn a draft into a release that never changes again: whole, or not at all; now, or at an instant to come.

    A nomenclature with voting rules asks for the committee's approval of exactly this content (`socle draft submit`).
    """
    registry, actor = current.store(), current.actor()
    if at is not None:
        answer_draft(registry, publishing.schedule(registry, number, at, actor=actor, **_told(said)))
        return
    output.progress("Contrôle, écriture des formats, publication…")
    edition = publishing.publish(registry, number, current.keys(), actor=actor, **_told(said))
    name = f"{edition.nomenclature}@{edition.version}"
    output.answer(
        edition_document(edition), [f"publié : {name}, {edition.concepts} concepts, {edition.content_sha256}"]
    )


@click.command(name="withdraw-release")
@click.argument("release", metavar="N@V", type=values.PINNED_RELEASE)
@click.option("--why", required=True, help="The reason, shown wherever the release is read.")
@output.json_option
def withdraw_release(release: values.ReleaseName, why: str) -> None:
    """Withdraw a faulty release: it stays readable and marked, and is no longer in force. There is no way back."""
    slug, version = release.slug, release.release or ""
    edition = publishing.withdraw(current.store(), slug, version, why, current.keys(), actor=current.actor())
    output.answer({**edition_document(edition), "why": why}, [f"retirée : {slug}@{version}, {why}"])


@click.command()
@click.option("--in", "slug", metavar="N", help="Only on this nomenclature.")
@output.json_option
def decisions(slug: str | None) -> None:
    """The public record of what the committee decided: every vote that is over, by organisation, with the reasons."""
    found = ballots.decisions(current.store(), slug)
    output.listing(found, (line for one in found for line in _decision_lines(one)))


def _told(said: dict[str, Any]) -> dict[str, Any]:
    """What a command was told, without what it was not."""
    return {name: value for name, value in said.items() if value is not None}


def answer_draft(registry: Store, head: DraftHead) -> None:
    """Answer with a draft as it stands now."""
    document = drafts.draft_document(registry, head)
    output.answer(document, _draft_lines(document))


def _draft_lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"projet {found['draft']} de {found['nomenclature']} : {found['state']}, révision {found['revision']}"
    if found["title"]:
        yield f"  {found['title']}"
    yield f"  base : {found['base'] or 'aucune'}" + (
        f", dépassée par {found['overtakenBy']}" if found["overtakenBy"] else ""
    )
    if found["version"]:
        yield f"  soumis : {found['version']}, en vigueur à partir du {found['validFrom']}, {found['submission']}"
    if found["publishAt"]:
        yield f"  publication prévue : {found['publishAt']}"
    if found["release"]:
        yield f"  publié : {found['nomenclature']}@{found['release']}"
    if found["ballot"]:
        yield from _ballot_lines(found["ballot"])


def _decision_lines(found: dict[str, Any]) -> Iterator[str]:
    title = f", {found['title']}" if found["title"] else ""
    yield f"{found['nomenclature']}@{found['version']}, projet {found['draft']}{title}"
    yield from _ballot_lines(found)


def _ballot_lines(found: dict[str, Any]) -> Iterator[str]:
    void = ", annulé par une modification" if found["voidedAt"] else ""
    yield f"  vote du {found['opens']} au {found['closes']} : {OUTCOMES[found['outcome']]}{void}"
    yield from (f"    {reason}" for reason in found["reasons"])
    for one in found["votes"]:
        yield f"    {one['organisation']} : {SAID[one['choice']]}" + (f" ({one['reason']})" if one["reason"] else "")


def due(registry: Store) -> Iterator[str]:
    """Do what is due now, and say so in lines: votes that time has decided, publications, what to forget."""
    count = ballots.settle_all(registry)
    if count:
        yield f"{count} vote(s) clos"
    if registry.due_drafts(datetime.now(UTC)):
        for number, edition in publishing.publish_due(registry, current.keys(), datetime.now(UTC)):
            if edition is None:
                yield f"projet {number} : publication impossible, voir les avis"
            else:
                yield f"publié : {edition.nomenclature}@{edition.version}"
    if forgotten := proposals.forget(registry):
        yield f"{forgotten} demande(s) jamais confirmée(s), effacée(s)"
