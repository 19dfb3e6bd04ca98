"""Votes on drafts, as they happen: a ballot opens on a submission, organisations vote, it is decided or voided.

What votes come to is said by ``registry.votes``, which is pure; here it is written down. A ballot that time alone has
decided is settled by whatever looks at the draft to change it, and by ``socle work``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeVar

from registry.access import Actor, acting
from registry.errors import Conflict, Forbidden, Invalid, Problem, Stale
from registry.model import VotingRules, today
from registry.rules import refuse, text_fault
from registry.store import Store
from registry.store.drafts import DraftHead
from registry.store.votes import now
from registry.votes import (
    LONGEST,
    Attendance,
    Ballot,
    Choice,
    Verdict,
    Vote,
    attendance_problems,
    attending,
    last_day,
    outcome,
    rules_document,
    rules_from,
)

REASON_LENGTH = 2_000
BEING_DECIDED = ("submitted", "approved", "scheduled")
"""States in which an edit voids the votes."""

_LONGEST = timedelta(days=LONGEST)


_Head = TypeVar("_Head", bound=DraftHead)


class Standing(NamedTuple):
    """The vote on a draft as it stands: the ballot, its votes, who is there, and what it comes to."""

    ballot: Ballot
    votes: list[Vote]
    attendance: list[Attendance]
    verdict: Verdict


def set_rules(store: Store, slug: str, document: Any, *, actor: Actor) -> VotingRules | None:
    """Say how the committee decides on a nomenclature, from JSON; an empty object asks for no votes.

    Ballots that are open keep the rules under which they began.

    :raises NotFound: if there is no such nomenclature.
    :raises Invalid: with every problem found.
    """
    with acting(store, actor, "nomenclature.rules", f"nomenclature {slug}") as act:
        before = store.voting_rules(slug)
        rules = rules_from(document, _colleges(store))
        store.set_voting_rules(slug, rules)
        act.before, act.after = (_brief(found) for found in (before, rules))
    return rules


def rules_of(store: Store, slug: str) -> dict[str, Any]:
    """How the committee decides on a nomenclature, as JSON; an empty object where no votes are asked for.

    :raises NotFound: if there is no such nomenclature.
    """
    rules = store.voting_rules(slug)
    return rules_document(rules) if rules else {}


def ballot_on(
    store: Store, draft: DraftHead, submission: str, rules: VotingRules, *, opens: date | None, closes: date | None
) -> Ballot:
    """A ballot on what is being submitted, under these rules.

    :raises Invalid: if its days are not in order, or further off than the longest vote lasts.
    """
    first, soonest, latest = opens or today(), today(), today() + _LONGEST
    if not soonest <= first <= latest:
        refuse([_day_problem("opens", first, f"du {soonest} au {latest}")])
    last, latest = closes or last_day(rules, first), first + _LONGEST
    if not first <= last <= latest:
        refuse([_day_problem("closes", last, f"du {first} au {latest}")])
    known = _colleges(store)
    colleges = tuple((slug, known.get(slug, "")) for slug in rules.voters)
    return Ballot(rules, colleges, first, last, submission, draft.round + 1, draft.author, draft.organisation)


def standing(store: Store, draft: DraftHead, on: date | None = None) -> Standing | None:
    """The vote on a draft as it stands on a day, today by default; None if there is none."""
    return ballot_standing(store, draft.id, draft.ballot, on) if draft.ballot else None


def ballot_standing(store: Store, draft_id: int, ballot: Ballot, on: date | None = None) -> Standing:
    """One ballot on a draft as it stands on a day: decided ones stay what they were."""
    votes = store.votes(draft_id, ballot.round)
    attendance = store.attendance(draft_id, ballot.round)
    if ballot.decided_at:
        on = date.fromisoformat(ballot.decided_on)
    return Standing(ballot, votes, attendance, outcome(ballot, votes, attendance, on or today()))


def settled(store: Store, draft: _Head, on: date | None = None) -> _Head:
    """The draft, with what its votes came to by now written down. To be called within a transaction."""
    found = standing(store, draft, on) if draft.state == "submitted" else None
    if found is None or found.verdict.outcome == "open" or found.ballot.decided_at:
        return draft
    decided = found.verdict.outcome
    day = (on or today()).isoformat()
    ballot = replace(found.ballot, outcome=decided, decided_at=now(), decided_on=day)
    # Without a quorum nothing was decided: the draft waits for the second call.
    state = draft.state if decided == "no_quorum" else decided
    return store.change_draft(draft, replace(draft, state=state, ballots=(*draft.ballots[:-1], ballot)))


def settle_all(store: Store) -> int:
    """Write down what time alone has decided; return how many ballots that were."""
    count = 0
    for head in store.balloted_drafts():
        if head.state == "submitted":
            with store.at_once():
                before = store.draft_head(head.id)
                after = settled(store, before)
                if after is not before and after.ballots:
                    decided = after.ballots[-1].outcome
                    store.add_journal_entry(
                        "action", Actor(door="work"), "draft.settle", f"draft {head.id}", after=decided
                    )
                    count += 1
    return count


def voided(store: Store, draft: _Head, why: str) -> _Head:
    """The draft without its submission; its votes count no more, and whoever voted is told. Within a transaction.

    A ballot that ended in a rejection stays in the record: it is over.
    """
    draft = settled(store, draft)
    ballots = draft.ballots
    if draft.ballot is not None:
        for vote in store.votes(draft.id, draft.ballot.round):
            store.add_notice(vote.person, f"draft {draft.id}", why)
        if draft.state in BEING_DECIDED:
            ballots = (*ballots[:-1], replace(draft.ballot, voided_at=now()))
    return replace(
        draft,
        ballots=ballots,
        version="",
        valid_from=None,
        corrects="",
        submission="",
        publish_at=None,
        scheduled_by="",
    )


def vote(
    store: Store,
    draft_id: int,
    choice: Choice,
    *,
    actor: Actor,
    reason: str = "",
    organisation: str = "",
    submission: str = "",
) -> DraftHead:
    """Vote for an organisation on what is submitted; a later vote of it takes the place of the one before.

    ``organisation`` may be left out by a member of one voter only; a member whose organisation holds another's mandate
    votes for that one by naming it. Nobody speaks for two organisations otherwise, not even who moved between them.
    ``submission``, if given, is the hash of what the voter read.

    :raises Forbidden: to the draft's author, and to whoever is no member of a voter.
    :raises Conflict: if no vote is open on the draft, or the same person has voted for another organisation.
    :raises Stale: if what is submitted is not what the voter read.
    :raises Invalid: if a rejection has no reason, or it is not clear for whom the vote is.
    """
    head = store.draft_head(draft_id)
    voting, via = _on_behalf(store, head, actor, organisation)
    with acting(store, actor, "draft.vote", f"draft {draft_id}", organisation=via) as act:
        head = settled(store, store.draft_head(draft_id))
        ballot = _open_ballot(head)
        if actor.person == head.author or voting not in ballot.rules.voters:
            raise Forbidden("draft.vote", (), voting)
        if submission and submission != ballot.submission:
            raise Stale(f"draft {draft_id}: {ballot.submission} is submitted now")
        _check_reason(choice, reason)
        before = {vote.organisation: vote for vote in store.votes(draft_id, ballot.round)}
        mandated = {row.organisation for row in store.attendance(draft_id, ballot.round) if row.represented_by}
        spoken_for = {vote.organisation for vote in before.values() if vote.person == actor.person} - mandated - {via}
        if spoken_for:
            raise Conflict(
                f"draft {draft_id}: the same person has voted for {min(spoken_for)}; beside a mandate, "
                "whoever votes speaks for one organisation"
            )
        if voting in before:
            act.before = f"{voting} {before[voting].choice}"
        store.put_vote(draft_id, ballot.round, Vote(voting, actor.person, choice, reason, now(), ballot.submission))
        act.after = f"{voting} {choice} {ballot.submission}"
        changed = settled(store, head)
        return changed if changed is not head else store.change_draft(head, head)


def attend(store: Store, draft_id: int, rows: list[Attendance], *, actor: Actor) -> DraftHead:
    """Write down who is present or represented at a consultation, in the place of the list before.

    :raises Conflict: if no vote is open on the draft.
    :raises Invalid: with what is wrong in the list (R133-9: one mandate at most).
    """
    with acting(store, actor, "draft.attend", f"draft {draft_id}") as act:
        head = settled(store, store.draft_head(draft_id))
        ballot = _open_ballot(head, early=True)
        refuse(attendance_problems(ballot, rows))
        store.set_attendance(draft_id, ballot.round, rows)
        act.after = ", ".join(sorted(attending(ballot, rows)))[:400]
        return store.change_draft(head, head)


def second_call(
    store: Store, draft_id: int, *, actor: Actor, opens: date | None = None, closes: date | None = None
) -> DraftHead:
    """Call a consultation again that ended without quorum, on the same submission: no quorum is asked (R133-10).

    :raises Conflict: if it did not end so.
    """
    with acting(store, actor, "draft.submit", f"draft {draft_id}") as act:
        head = settled(store, store.draft_head(draft_id))
        if head.state != "submitted" or head.ballot is None or head.ballot.outcome != "no_quorum":
            raise Conflict(f"draft {draft_id} is {head.state}: only a consultation without quorum is called again")
        first = head.ballot
        again = ballot_on(store, head, head.submission, first.rules, opens=opens, closes=closes)
        again = replace(again, colleges=first.colleges, call=2, version=first.version, valid_from=first.valid_from)
        act.after = f"round {again.round}"
        return store.change_draft(head, replace(head, round=again.round, ballots=(*head.ballots, again)))


def decisions(store: Store, slug: str | None = None) -> list[dict[str, Any]]:
    """The public record: every ballot that is over, with its votes by organisation, the one decided last first."""
    found = [
        decision_document(head, ballot_standing(store, head.id, ballot))
        for head in store.balloted_drafts()
        if slug in (None, head.nomenclature.slug)
        for ballot in head.ballots
        if ballot.outcome != "open" or (not ballot.voided_at and today() > ballot.closes)
    ]
    return sorted(found, key=lambda one: (one["decidedAt"] or one["closes"], one["draft"], one["round"]), reverse=True)


def decision_document(head: DraftHead, found: Standing) -> dict[str, Any]:
    """A ballot in the public record, as JSON: organisations, never people."""
    ballot = found.ballot
    return {
        "draft": head.id,
        "title": head.title,
        "nomenclature": head.nomenclature.slug,
        "version": ballot.version,
        "validFrom": ballot.valid_from or None,
        "released": found.verdict.outcome == "approved" and not ballot.voided_at and head.released != "",
        **ballot_document(found),
    }


def ballot_document(found: Standing) -> dict[str, Any]:
    """A ballot as JSON: organisations, never people."""
    ballot, votes, attendance, verdict = found
    there = attending(ballot, attendance)
    return {
        "round": ballot.round,
        "call": ballot.call,
        "submission": ballot.submission,
        "opens": ballot.opens.isoformat(),
        "closes": ballot.closes.isoformat(),
        "rules": rules_document(ballot.rules),
        "outcome": verdict.outcome,
        "reasons": list(verdict.reasons),
        "decidedAt": ballot.decided_at or None,
        "voidedAt": ballot.voided_at or None,
        "votes": [
            {"organisation": vote.organisation, "choice": vote.choice, "reason": vote.reason, "at": vote.at}
            for vote in votes
        ],
        "quorum": {
            "asked": ballot.rules.consultation and ballot.call == 1,
            "present": sorted(row.organisation for row in attendance if not row.represented_by),
            "mandates": {row.organisation: row.represented_by for row in attendance if row.represented_by},
            "reached": 2 * len(there) >= len(ballot.rules.voters) if ballot.rules.consultation else None,
        },
    }


def _on_behalf(store: Store, head: DraftHead, actor: Actor, organisation: str) -> tuple[str, str]:
    """For which organisation the vote is, and which one the actor must be a member of to give it.

    :raises Invalid: if the actor is a member of several voters and names none.
    """
    voters = head.ballot.rules.voters if head.ballot else ()
    mine = actor.organisations("member")
    if organisation:
        if organisation not in mine and head.ballot is not None and head.ballot.rules.consultation:
            for row in store.attendance(head.id, head.ballot.round):
                if row.organisation == organisation and row.represented_by in mine:
                    return organisation, row.represented_by
        return organisation, organisation
    entitled = [slug for slug in mine if slug in voters]
    if len(entitled) > 1:
        raise Invalid(
            [Problem("vote_is_sound", "pour quel organisme ?", where="organisation", accepted=", ".join(entitled))]
        )
    only = entitled[0] if entitled else mine[0] if mine else ""
    return only, only


def _open_ballot(head: DraftHead, *, early: bool = False) -> Ballot:
    """The ballot that is open on a draft; ``early`` takes one that has not opened yet.

    :raises Conflict: if there is none.
    """
    if head.state != "submitted" or head.ballot is None:
        raise Conflict(f"draft {head.id} is {head.state}: there is no vote on it")
    ballot = head.ballot
    if today() > ballot.closes or ballot.decided_at or (today() < ballot.opens and not early):
        raise Conflict(f"draft {head.id}: the vote is open from {ballot.opens} to {ballot.closes}")
    return ballot


def _check_reason(choice: Choice, reason: str) -> None:
    fault = text_fault(reason, limit=REASON_LENGTH, lines=True) if reason else ""
    if choice == "reject" and not reason:
        fault = "un rejet se motive"
    if fault:
        raise Invalid([Problem("vote_is_sound", fault, where="reason", accepted="un motif")])


def _colleges(store: Store) -> Mapping[str, str]:
    return {organisation.slug: organisation.college for organisation in store.organisations()}


def _brief(rules: VotingRules | None) -> str:
    return f"{len(rules.voters)} voters, threshold {rules.threshold}" if rules else ""


def _day_problem(where: str, day: date, accepted: str) -> Problem:
    return Problem("ballot_is_sound", "jour hors limites", where=where, value=day.isoformat(), accepted=accepted)
