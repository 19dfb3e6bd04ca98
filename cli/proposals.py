"""Commands on proposals: ask for a change, see what was asked, decide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli import current, output, values
from registry import proposals
from registry.errors import Busy
from registry.proposals import link, proposal_document
from registry.store.proposals import PUBLIC_STATES, Proposal, ProposalState

_NUMBER = click.argument("number", metavar="PROPOSAL", type=click.IntRange(1, 2**31 - 1))
STATES: dict[ProposalState, str] = {
    "held": "à confirmer",
    "received": "reçue",
    "studied": "à l'étude",
    "retained": "retenue",
    "declined": "non retenue",
    "released": "publiée",
}


@click.group()
def proposal() -> None:
    """Changes that anybody asks for, and what becomes of them."""


@proposal.command()
@click.argument("slug", metavar="N")
@click.option("--code", default="", help="Of which concept; without it, of one that is missing.")
@click.option("--what", required=True, help="What is to change.")
@click.option("--why", required=True, help="For what reason.")
@click.option("--legal-basis", default="", help="Which law or other act asks for it.")
@output.json_option
def create(slug: str, **said: str) -> None:
    """Ask for a change of the nomenclature N."""
    _answer(proposals.propose(current.store(), slug, actor=current.actor(), **said))


@proposal.command("list")
@click.option("--in", "slug", metavar="N", help="Only of this nomenclature.")
@click.option("--code", help="Only of this concept.")
@click.option("--state", type=click.Choice(PUBLIC_STATES), help="Only in this state.")
@click.option("--held", is_flag=True, help="Those that wait to be confirmed, with the addresses they came from.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@output.json_option
def list_proposals(slug: str | None, code: str | None, state: ProposalState | None, held: bool, limit: int) -> None:
    """List what was asked for, the last first."""
    registry = current.store()
    if held:
        if slug or code or state:
            raise click.UsageError("--held stands alone")
        waiting = proposals.held(registry, actor=current.actor())
        documents = [{**proposal_document(one), "email": one.email} for one in waiting]
        output.listing(documents, (f"{one.email}  {_line(one)}" for one in waiting))
        return
    found, _ = registry.proposals(slug=slug, code=code, state=state, limit=limit)
    output.listing([proposal_document(one) for one in found], (_line(one) for one in found))


@proposal.command()
@_NUMBER
@click.option("--confirmation", default="", help="What its sender was sent; who decides on proposals needs none.")
@output.json_option
def confirm(number: int, confirmation: str) -> None:
    """Make a proposal public that was held until its sender confirms it."""
    _answer(proposals.confirm(current.store(), number, confirmation, actor=current.actor()))


@proposal.command("link")
@_NUMBER
@output.json_option
def renew(number: int) -> None:
    """Print another link that confirms a held proposal, once, to pass on; the one before is void."""
    renewed = proposals.renew(current.store(), number, actor=current.actor())
    address = link(current.settings(), renewed)
    output.answer({**proposal_document(renewed), "email": renewed.email, "link": address}, [renewed.email, address])


@proposal.command()
@_NUMBER
@output.json_option
def study(number: int) -> None:
    """Say that a proposal is under study."""
    with _telling(number):
        _answer(proposals.study(current.store(), number, actor=current.actor()))


@proposal.command()
@_NUMBER
@click.argument("draft", metavar="DRAFT", type=values.DRAFT)
@output.json_option
def retain(number: int, draft: int) -> None:
    """Say that a draft takes a proposal up: it is released with it."""
    with _telling(number):
        _answer(proposals.retain(current.store(), number, draft, actor=current.actor()))


@proposal.command()
@_NUMBER
@click.argument("reason")
@output.json_option
def decline(number: int, reason: str) -> None:
    """Say that nothing comes of a proposal, and the reason, in public."""
    with _telling(number):
        _answer(proposals.decline(current.store(), number, reason, actor=current.actor()))


@contextmanager
def _telling(number: int) -> Iterator[None]:
    """Send what is decided inside to the address that the proposal came from, if it came from one."""
    registry = current.store()
    email = proposals.seen(registry, number).email
    yield
    try:
        proposals.answer_mail(current.settings(), email, registry.proposal(number))
    except Busy:
        # It is kept nowhere from now on, and whoever decides may write to it.
        click.echo(f"aucun message n'est parti : la réponse est à envoyer à {email}", err=True)


def _answer(found: Proposal) -> None:
    output.answer(proposal_document(found), [_line(found)])


def _line(found: Proposal) -> str:
    about = f"{found.nomenclature}/{found.code}" if found.code else f"{found.nomenclature}, nouveau concept"
    more: dict[str, Any] = {
        "retained": f" dans le projet {found.draft}",
        "declined": f" : {found.reason}",
        "released": f" dans la version {found.released}",
    }
    first = found.what.splitlines()[0][:100]
    return f"{found.id}  {about}  {STATES[found.state]}{more.get(found.state, '')}  {first}"
