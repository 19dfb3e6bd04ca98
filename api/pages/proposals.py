"""Asking for a change: the public list, one proposal, the form, and its confirmation by whoever is not signed in."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.exceptions import NotFound as NotFoundPage

from api import access, current, sessions
from api.pages.rendering import form, page, page_number, refused
from api.pages.wording import sentence
from api.proposals import sent
from registry import proposals
from registry.errors import Invalid, NotFound
from registry.store.proposals import PUBLIC_STATES, Proposal, ProposalState

PER_PAGE = 20
FIELDS = (
    ("nomenclature", "Nomenclature"),
    ("code", "Code du concept"),
    ("what", "Le changement demandé"),
    ("why", "Pourquoi"),
    ("legalBasis", "Base légale"),
    ("email", "Adresse électronique"),
)
"""The fields of the form, as they are called in addresses and on the page."""

_ADDRESS = "/demandes/<int(max=2147483647):number>"
_DEEPEST = 10_000
_LONGEST = 10_000


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/demandes", "proposals", listed)
    pages.add_url_rule("/demandes/nouvelle", "proposal_form", new)
    pages.add_url_rule("/demandes/nouvelle", "propose", propose, methods=["POST"])
    pages.add_url_rule("/demandes/confirmer", "confirmation", confirmation)
    pages.add_url_rule("/demandes/confirmer", "confirm", confirm, methods=["POST"])
    pages.add_url_rule(_ADDRESS, "proposal", shown)


def listed() -> Response:
    """What was asked for, the last first: of one nomenclature, in one state."""
    store = current.store()
    headings = {item.slug: item for item in store.nomenclatures()}
    slug, state = (request.args.get(name, "").strip() for name in ("nomenclature", "etat"))
    number = min(page_number(), _DEEPEST // PER_PAGE)
    chosen: ProposalState | None = next((known for known in PUBLIC_STATES if known == state), None)
    found, total = store.proposals(
        slug=slug if slug in headings else None, state=chosen, offset=(number - 1) * PER_PAGE, limit=PER_PAGE
    )
    filters: dict[str, Any] = {"nomenclature": slug if slug in headings else None, "etat": chosen}
    return page(
        "proposals.html",
        found=found,
        total=total,
        headings=headings,
        filters=filters,
        number=number,
        last=-(-min(total, _DEEPEST) // PER_PAGE) or 1,
        page_address=lambda one: url_for("pages.proposals", **filters, page=one),
    )


def shown(number: int) -> Response:
    """One proposal, and what became of it."""
    found = proposals.seen(current.store(), number)
    return page("proposal.html", proposal=found, heading=current.store().nomenclature(found.nomenclature))


def new() -> Response:
    """The form, filled in as far as the address tells."""
    typed = {name: request.args.get(name, "").strip()[:200] for name in ("nomenclature", "code")}
    return _form(typed, {}, 200)


def propose() -> Response:
    """Take a proposal in: public at once if somebody is signed in, else held until it is confirmed."""
    typed = {name: request.form.get(name, "")[:_LONGEST] for name, _ in FIELDS}
    try:
        made = proposals.propose(
            current.store(),
            typed["nomenclature"],
            code=typed["code"],
            what=typed["what"],
            why=typed["why"],
            legal_basis=typed["legalBasis"],
            email=typed["email"],
            actor=access.actor(),
        )
    except Invalid as error:
        return _form(typed, {one.where: sentence(one) for one in error.problems}, 422)
    except NotFound:
        return _form(typed, {"nomenclature": "Choisissez une nomenclature."}, 422)
    if made.state == "held":
        return form("proposal_held.html", mailed=sent(made))
    return _seen(made)


def confirmation() -> Response:
    """A page with a button, since what looks into mails for us follows links, and must confirm nothing."""
    return form("proposal_confirmation.html", number=_number(request.args), secret=request.args.get("jeton", "")[:100])


def confirm() -> Response:
    """Confirm a held proposal by what was sent to its sender."""
    number = _number(request.form)
    try:
        made = proposals.confirm(current.store(), number, request.form.get("jeton", "")[:100], actor=access.actor())
    except NotFound:
        return refused("proposal_confirmation.html", number=number, secret="")
    return _seen(made)


def _form(typed: dict[str, str], errors: dict[str, str], status: int) -> Response:
    return form(
        "proposal_form.html",
        status,
        typed={name: typed.get(name, "") for name, _ in FIELDS},
        errors=errors,
        fields=FIELDS,
        nomenclatures=current.store().nomenclatures(),
        known=sessions.signed_in() is not None,
        limits=proposals,
    )


def _seen(made: Proposal) -> Response:
    return redirect(url_for("pages.proposal", number=made.id), 303)  # type: ignore[return-value] # werkzeug's is Flask's.


def _number(given: Any) -> int:
    text = given.get("demande", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFoundPage
    return int(text)
