"""What people ask to be changed: sent, confirmed, studied, retained in a draft or declined, answered by a release.

Whoever is known asks directly. Anybody else gives an e-mail address, and what they ask is held, seen by nobody, until
they follow the link that was sent there. The address serves that and the answer alone: it is never shown, and goes when
the proposal is decided.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from registry import mail, signing
from registry.access import Actor, acting, email_fault, refusing
from registry.errors import Busy, Conflict, NotFound, Problem
from registry.rules import refuse, text_fault
from registry.settings import Settings
from registry.store import Store
from registry.store.proposals import PUBLIC_STATES, Proposal, ProposalState

WHAT_LENGTH, WHY_LENGTH, BASIS_LENGTH, REASON_LENGTH = 4_000, 4_000, 1_000, 2_000

HELD_AN_HOUR = 5
"""How many proposals of one address may wait to be confirmed, of those sent within an hour."""

HELD_BY_ALL = 200
"""… and of all addresses: nobody can have the registry write to the whole world."""

KEPT_UNCONFIRMED = timedelta(days=7)
_DECIDE = "proposal.decide"
_FROM: dict[ProposalState, tuple[ProposalState, ...]] = {
    "studied": ("received", "retained"),
    "retained": ("received", "studied", "retained"),
    "declined": ("received", "studied", "retained"),
}
"""What a proposal can be made to be, and what it must be before."""

_TOLD: dict[ProposalState, str] = {
    "studied": "Votre demande {number} est à l'étude.",
    "retained": "Votre demande {number} est retenue dans le projet de version {draft}.",
    "declined": "Votre demande {number} n'est pas retenue : {reason}",
}


def propose(
    store: Store,
    slug: str,
    *,
    what: str,
    why: str,
    code: str = "",
    legal_basis: str = "",
    email: str = "",
    actor: Actor,
) -> Proposal:
    """Ask for a change; it is public at once if whoever asks is known, and held until confirmed otherwise.

    Without a ``code`` it is about a concept that is missing.

    :raises NotFound: if there is no such nomenclature.
    :raises Invalid: with every field that is refused; or if too much waits from this address.
    :raises Busy: if too much waits from everybody.
    """
    now = _now()
    # Browsers end the lines of a form's texts so.
    what, why, legal_basis = (text.replace("\r\n", "\n").strip() for text in (what, why, legal_basis))
    email = "" if actor.person else email.strip().lower()
    proposal = Proposal(0, slug, code.strip(), what, why, legal_basis, now, "received", actor.person, email)
    if not actor.person:
        proposal = _confirmable(replace(proposal, state="held"))
    with acting(store, actor, "proposal.create", f"nomenclature {slug}"[:100]) as act:
        store.nomenclature(slug)
        refuse(_problems(store, proposal))
        if proposal.state == "held" and store.unconfirmed_since(now - timedelta(hours=1)) >= HELD_BY_ALL:
            raise Busy("too many proposals wait to be confirmed")
        number = store.add_proposal(proposal)
        act.object, act.after = f"proposal {number}", proposal.state
    return replace(proposal, id=number)


def confirm(store: Store, number: int, confirmation: str = "", *, actor: Actor) -> Proposal:
    """Make a held proposal public: by what was sent to its sender, or without it by whoever decides on proposals.

    Confirmed a second time, it stays as it is.

    :raises NotFound: if there is none of that number that this confirms.
    """
    with acting(store, actor, "proposal.confirm", f"proposal {number}") as act:
        proposal = _known(store, number)
        decides = bool({"editor", "secretary"} & actor.roles)
        given = signing.sha256(confirmation.encode("utf-8", "replace"))
        if not (decides or hmac.compare_digest(proposal.confirmation_sha256.encode(), given.encode())):
            raise NotFound("proposal", str(number))
        after = proposal
        if proposal.state == "held":
            after = replace(proposal, state="received")
            store.change_proposal(after)
        act.before, act.after = proposal.state, after.state
    return after


def renew(store: Store, number: int, *, actor: Actor) -> Proposal:
    """Give a held proposal another confirmation, for the secretary to pass on; the one before confirms nothing more.

    :raises NotFound: if there is no such proposal.
    :raises Conflict: if it is not held.
    """
    with acting(store, actor, _DECIDE, f"proposal {number}") as act:
        proposal = _known(store, number)
        if proposal.state != "held":
            raise Conflict(f"proposal {number} is {proposal.state}")
        after = _confirmable(proposal)
        store.change_proposal(after)
        act.before, act.after = proposal.state, "held, link renewed"
    return after


def forget(store: Store) -> int:
    """Delete what nobody confirmed in time, with the addresses that it came from; return how many that were."""
    with store.at_once():
        return store.forget_unconfirmed(_now() - KEPT_UNCONFIRMED)


def _known(store: Store, number: int) -> Proposal:
    """A proposal, public or not; one that nobody confirmed in time is as if it were forgotten already."""
    proposal = store.proposal(number)
    if proposal.state == "held" and proposal.created < _now() - KEPT_UNCONFIRMED:
        raise NotFound("proposal", str(number))
    return proposal


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _confirmable(proposal: Proposal) -> Proposal:
    """A proposal with a new secret that confirms it."""
    secret = secrets.token_urlsafe(32)
    return replace(proposal, confirmation=secret, confirmation_sha256=signing.sha256(secret.encode()))


def study(store: Store, number: int, *, actor: Actor) -> Proposal:
    """Say that a proposal is under study.

    :raises NotFound: if there is no such proposal.
    :raises Conflict: if it is decided.
    """
    return _decide(store, number, "studied", actor=actor)


def retain(store: Store, number: int, draft: int, *, actor: Actor) -> Proposal:
    """Say that a draft takes a proposal up.

    :raises NotFound: if there is no such proposal or draft.
    :raises Conflict: if the proposal is decided, or the draft is over or another nomenclature's.
    """
    return _decide(store, number, "retained", draft=draft, actor=actor)


def decline(store: Store, number: int, reason: str, *, actor: Actor) -> Proposal:
    """Say that nothing comes of a proposal, and why, in public.

    :raises NotFound: if there is no such proposal.
    :raises Invalid: if the reason is missing or refused.
    :raises Conflict: if it is decided.
    """
    return _decide(store, number, "declined", reason=reason, actor=actor)


def _decide(
    store: Store, number: int, state: ProposalState, *, draft: int | None = None, reason: str = "", actor: Actor
) -> Proposal:
    with acting(store, actor, _DECIDE, f"proposal {number}") as act:
        proposal = seen(store, number)
        if proposal.state not in _FROM[state]:
            raise Conflict(f"proposal {number} is {proposal.state}")
        if draft is not None:
            _check_draft(store, proposal, draft)
        if state == "declined" and (fault := text_fault(reason, limit=REASON_LENGTH, lines=True)):
            refuse([_problem("reason", fault, "", "un motif, qui sera public")])
        decided = {} if state == "studied" else {"email": "", "confirmation_sha256": ""}
        changes: dict[str, Any] = {"state": state, "draft": draft, "reason": reason, **decided}
        after = replace(proposal, **changes)
        store.change_proposal(after)
        if proposal.person and not store.person(proposal.person).erased:
            store.add_notice(proposal.person, f"proposal {number}", _said(after))
        act.before, act.after = proposal.state, state if draft is None else f"{state} draft {draft}"
    return after


def _check_draft(store: Store, proposal: Proposal, draft: int) -> None:
    head = store.draft_head(draft)
    if head.nomenclature.slug != proposal.nomenclature:
        raise Conflict(f"draft {draft} is of {head.nomenclature.slug}, proposal {proposal.id} of another nomenclature")
    if head.state in ("published", "withdrawn"):
        raise Conflict(f"draft {draft} is {head.state}")


def seen(store: Store, number: int) -> Proposal:
    """A proposal that is public.

    :raises NotFound: if there is none of that number, or it is still held.
    """
    proposal = store.proposal(number)
    if proposal.state not in PUBLIC_STATES:
        raise NotFound("proposal", str(number))
    return proposal


def held(store: Store, *, actor: Actor) -> list[Proposal]:
    """What waits to be confirmed, with the addresses that it came from.

    :raises Forbidden: if the actor does not decide on proposals.
    """
    with refusing(store, actor, _DECIDE, "proposals"):
        found, _ = store.proposals(state="held", limit=1_000)
        return [proposal for proposal in found if proposal.created >= _now() - KEPT_UNCONFIRMED]


def proposal_document(proposal: Proposal) -> dict[str, Any]:
    """A proposal as JSON for everybody: never who asks."""
    return {
        "id": proposal.id,
        "nomenclature": proposal.nomenclature,
        "code": proposal.code or None,
        "what": proposal.what,
        "why": proposal.why,
        "legalBasis": proposal.legal_basis or None,
        "created": signing.instant(proposal.created),
        "state": proposal.state,
        "draft": proposal.draft,
        "reason": proposal.reason or None,
        "release": proposal.released or None,
    }


def _problems(store: Store, proposal: Proposal) -> Iterator[Problem]:
    if proposal.code and not (len(proposal.code) <= 64 and store.has_code(proposal.nomenclature, proposal.code)):
        yield _problem("code", "aucune version n'a ce code", proposal.code, "un code, ou rien pour un nouveau concept")
    for field, text, limit in (
        ("what", proposal.what, WHAT_LENGTH),
        ("why", proposal.why, WHY_LENGTH),
        ("legalBasis", proposal.legal_basis, BASIS_LENGTH),
    ):
        if (text or field != "legalBasis") and (fault := text_fault(text, limit=limit, lines=True)):
            yield _problem(field, fault, "", f"un texte d'au plus {limit} caractères")
    if proposal.state != "held":
        return
    if fault := email_fault(proposal.email):
        yield _problem("email", fault, "", "nom@domaine.fr")
    elif store.unconfirmed_since(proposal.created - timedelta(hours=1), proposal.email) >= HELD_AN_HOUR:
        message = "trop de demandes de cette adresse attendent d'être confirmées"
        yield _problem("email", message, "", "confirmez-les, ou attendez une heure")


def _problem(field: str, message: str, value: str, accepted: str) -> Problem:
    return Problem("proposal_is_sound", message, (), field, value, accepted)


def confirmation_mail(settings: Settings, proposal: Proposal) -> None:
    """Send the link that confirms a held proposal to its sender.

    :raises Busy: if it can't be sent; the secretary then makes another link (``renew``).
    """
    mail.send(
        settings, proposal.email, f"Confirmez votre demande {proposal.id}", _MAIL.format(link=link(settings, proposal))
    )


def answer_mail(settings: Settings, email: str, proposal: Proposal) -> None:
    """Tell whoever gave this address what became of what they asked; nothing where there is no address.

    :raises Busy: if it can't be sent.
    """
    if email:
        address = f"{settings.address}demandes/{proposal.id}"
        mail.send(
            settings, email, f"Votre demande {proposal.id}", _ANSWER.format(said=_said(proposal), address=address)
        )


def _said(proposal: Proposal) -> str:
    """What became of a proposal, to whoever asked."""
    return _TOLD[proposal.state].format(number=proposal.id, draft=proposal.draft, reason=proposal.reason)


_ANSWER = """Bonjour,

{said}

{address}
"""


def link(settings: Settings, proposal: Proposal) -> str:
    """The address that confirms a held proposal, just after it was made or renewed."""
    return f"{settings.address}demandes/confirmer?{urlencode({'demande': proposal.id, 'jeton': proposal.confirmation})}"


_MAIL = """Bonjour,

Une demande d'évolution d'une nomenclature a été déposée sur Socle avec votre adresse.
Elle ne sera lue qu'une fois confirmée, dans les sept jours, à cette adresse :

{link}

Si elle n'est pas de vous, ne faites rien : elle sera oubliée.
"""
