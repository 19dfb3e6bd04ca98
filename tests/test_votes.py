"""What votes come to: the rules of a nomenclature, and those of a mandatory consultation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Invalid
from registry.model import VotingRules
from registry.votes import (
    CHOICES,
    Attendance,
    Ballot,
    Choice,
    Vote,
    attendance_problems,
    outcome,
    rules_document,
    rules_from,
)
from tests.factories import examples

FIRST, LAST = date(2025, 3, 3), date(2025, 3, 14)
AFTER = LAST + timedelta(days=1)
HASH = "a" * 64
VOTERS = ("dep-01", "dep-02", "dep-71", "dgcs", "drees")
COLLEGES = {"dep-01": "departements", "dep-02": "departements", "dep-71": "departements", "dgcs": "state", "drees": ""}


def a_ballot(voters: tuple[str, ...] = VOTERS, *, call: int = 1, **rules: Any) -> Ballot:
    """A ballot of the first half of March 2025."""
    colleges = tuple((slug, COLLEGES[slug]) for slug in voters)
    return Ballot(VotingRules(voters, **rules), colleges, FIRST, LAST, HASH, 1, "pauthor", call=call)


def a_vote(organisation: str, choice: Choice = "approve", **changes: Any) -> Vote:
    """A vote of somebody who is not the author."""
    given_: dict[str, Any] = {"person": f"p-{organisation}", "reason": "Trop tôt.", "submission": HASH}
    return Vote(organisation, choice=choice, **given_ | changes)


def present(*organisations: str) -> list[Attendance]:
    return [Attendance(organisation) for organisation in organisations]


def test_enough_approvals_decide_before_the_vote_closes() -> None:
    ballot = a_ballot(threshold=2)

    one, two = outcome(ballot, [a_vote("dep-01")], [], LAST), [a_vote("dep-01"), a_vote("dgcs")]

    assert one.outcome == "open"
    assert outcome(ballot, two, [], FIRST).outcome == "approved"


def test_without_enough_approvals_the_vote_ends_in_a_rejection_after_its_last_day() -> None:
    ballot = a_ballot(threshold=2)
    votes = [a_vote("dep-01"), a_vote("dep-02", "abstain"), a_vote("dgcs", "reject")]

    assert outcome(ballot, votes, [], LAST).outcome == "open"
    assert outcome(ballot, votes, [], AFTER).outcome == "rejected"
    assert "approbations : 1, il en faut 2" in outcome(ballot, votes, [], AFTER).reasons


def test_each_college_must_approve_where_that_is_asked() -> None:
    ballot = a_ballot(threshold=2, each_college=True)
    departements = [a_vote("dep-01"), a_vote("dep-02"), a_vote("drees")]

    alone = outcome(ballot, departements, [], LAST)
    together = outcome(ballot, [*departements, a_vote("dgcs")], [], LAST)

    assert (alone.outcome, together.outcome) == ("open", "approved")
    assert "aucune approbation du collège État" in alone.reasons


@pytest.mark.parametrize(
    "vote",
    [
        a_vote("ccas-lyon"),
        a_vote("dep-01", person="pauthor"),
        a_vote("dep-01", submission="b" * 64),
        a_vote("dep-01", "abstain"),
    ],
    ids=["of nobody who votes here", "of the author", "on another content", "an abstention"],
)
def test_a_vote_that_does_not_count_approves_nothing(vote: Vote) -> None:
    assert outcome(a_ballot(), [vote], [], LAST).outcome == "open"


def test_somebody_else_of_the_author_s_organisation_may_vote() -> None:
    ballot = replace(a_ballot(), organisation="dep-01")

    assert outcome(ballot, [a_vote("dep-01")], [], LAST).outcome == "approved"


def test_an_organisation_has_one_vote_its_last() -> None:
    votes = [a_vote("dep-01"), a_vote("dep-01", "reject")]

    assert outcome(a_ballot(), votes, [], LAST).outcome == "open"


def test_a_consultation_is_decided_when_it_closes_and_not_before() -> None:
    ballot = a_ballot(consultation=True, chair="dgcs")
    votes = [a_vote(slug) for slug in VOTERS]

    assert outcome(ballot, votes, present(*VOTERS), LAST).outcome == "open"
    assert outcome(ballot, votes, present(*VOTERS), AFTER).outcome == "approved"


def test_half_of_the_members_present_or_represented_make_a_quorum() -> None:
    voters = VOTERS[:4]
    ballot = a_ballot(voters, consultation=True, chair="dgcs")
    votes = [a_vote("dgcs"), a_vote("dep-01")]

    without = outcome(ballot, votes, present("dgcs"), AFTER)
    represented = outcome(ballot, votes, [Attendance("dgcs"), Attendance("dep-01", "dgcs")], AFTER)

    assert (without.outcome, represented.outcome) == ("no_quorum", "approved")


def test_a_second_call_needs_no_quorum() -> None:
    ballot = a_ballot(consultation=True, chair="dgcs", call=2)

    assert outcome(ballot, [a_vote("dgcs")], present("dgcs"), AFTER).outcome == "approved"


def test_equal_voices_are_decided_by_the_chair_s() -> None:
    ballot = a_ballot(consultation=True, chair="dgcs")
    there = present("dgcs", "dep-01", "dep-02")

    chair_for = outcome(ballot, [a_vote("dgcs"), a_vote("dep-01", "reject")], there, AFTER)
    chair_against = outcome(ballot, [a_vote("dgcs", "reject"), a_vote("dep-01")], there, AFTER)
    chair_silent = outcome(ballot, [a_vote("dep-02", "reject"), a_vote("dep-01")], there, AFTER)

    assert [one.outcome for one in (chair_for, chair_against, chair_silent)] == ["approved", "rejected", "rejected"]


def test_in_a_consultation_whoever_is_absent_has_no_voice() -> None:
    ballot = a_ballot(consultation=True, chair="dgcs")
    votes = [a_vote("dgcs"), a_vote("dep-01", "reject"), a_vote("dep-02", "reject")]

    assert outcome(ballot, votes, present("dgcs", "drees", "dep-71"), AFTER).outcome == "approved"


def test_nobody_holds_two_mandates_nor_one_without_being_there() -> None:
    rows = [
        Attendance("dgcs"),
        Attendance("dep-01", "dgcs"),
        Attendance("dep-02", "dgcs"),
        Attendance("drees", "dep-71"),
    ]

    messages = [problem.message for problem in attendance_problems(a_ballot(), rows)]

    assert messages == ["mandataire absent", "plus d'un mandat"]


# --- Against an oracle that counts otherwise -------------------------------------------------------------------------

_people = st.sampled_from(("pauthor", "p1", "p2"))
_names = st.sampled_from((*VOTERS, "ccas-lyon"))
_votes = st.lists(
    st.builds(
        Vote, _names, _people, st.sampled_from(CHOICES), st.just("Motif."), submission=st.sampled_from((HASH, "b" * 64))
    ),
    max_size=8,
)
_attendance = st.lists(
    st.builds(Attendance, _names, st.sampled_from(("", "", *VOTERS))),
    max_size=6,
    unique_by=lambda row: row.organisation,
)


@st.composite
def _ballots(draw: st.DrawFn) -> Ballot:
    voters = tuple(sorted(draw(st.sets(st.sampled_from(VOTERS), min_size=1))))
    return a_ballot(
        voters,
        call=draw(st.sampled_from((1, 2))),
        threshold=draw(st.integers(1, len(voters))),
        each_college=draw(st.booleans()),
        consultation=draw(st.booleans()),
        chair=draw(st.sampled_from(voters)),
    )


def _is_there(voter: str, rules: VotingRules, attendance: list[Attendance]) -> bool:
    if any(row.organisation == voter and not row.represented_by for row in attendance):
        return True
    for holder in rules.voters:
        if any(row.organisation == holder and not row.represented_by for row in attendance):
            given_ = [row.organisation for row in attendance if row.represented_by == holder]
            if voter == next((name for name in given_ if name in rules.voters), None):
                return True
    return False


def _says(voter: str, rules: VotingRules, votes: list[Vote], attendance: list[Attendance]) -> str:
    for vote in reversed(votes):
        if vote.organisation == voter and vote.person != "pauthor" and vote.submission == HASH:
            return vote.choice if not rules.consultation or _is_there(voter, rules, attendance) else ""
    return ""


def _expected(ballot: Ballot, votes: list[Vote], attendance: list[Attendance], on: date) -> str:
    """The outcome by going through every voter, one at a time, and asking each what it says."""
    rules = ballot.rules

    said = [_says(voter, rules, votes, attendance) for voter in rules.voters]
    for_, against = said.count("approve"), said.count("reject")
    colleges = {COLLEGES[voter] for voter in rules.voters if _says(voter, rules, votes, attendance) == "approve"}
    accepted = for_ >= rules.threshold and (not rules.each_college or {"state", "departements"} <= colleges)
    if on < FIRST:
        return "open"
    if not rules.consultation:
        return "approved" if accepted else "open" if on <= LAST else "rejected"
    if on <= LAST:
        return "open"
    if ballot.call == 1 and sum(_is_there(voter, rules, attendance) for voter in rules.voters) < len(rules.voters) / 2:
        return "no_quorum"
    tied = for_ == against and _says(rules.chair, rules, votes, attendance) == "approve"
    return "approved" if accepted and (for_ > against or tied) else "rejected"


@pytest.mark.fuzz
@settings(max_examples=examples(400))
@given(_ballots(), _votes, _attendance, st.sampled_from((FIRST - timedelta(days=1), FIRST, LAST, AFTER)))
def test_the_outcome_is_what_counting_voter_by_voter_gives(
    ballot: Ballot, votes: list[Vote], attendance: list[Attendance], on: date
) -> None:
    assert outcome(ballot, votes, attendance, on).outcome == _expected(ballot, votes, attendance, on)


# --- The rules themselves --------------------------------------------------------------------------------------------

RULES = {"voters": list(VOTERS), "threshold": 2, "eachCollege": True, "consultation": True, "chair": "dgcs", "days": 10}


def test_voting_rules_come_back_from_json_as_they_went() -> None:
    rules = rules_from(RULES, COLLEGES)

    assert rules is not None
    assert rules_document(rules) == RULES
    assert rules_from({}, COLLEGES) is None


def _wrong() -> Iterator[tuple[Any, str]]:
    yield [], "/"
    yield {**RULES, "voters": []}, "/voters"
    yield {**RULES, "voters": ["dep-01", "ailleurs"]}, "/voters"
    yield {**RULES, "voters": ["dep-01", "dep-01", "dgcs"]}, "/voters"
    yield {**RULES, "threshold": 6}, "/threshold"
    yield {**RULES, "threshold": 0}, "/threshold"
    yield {**RULES, "threshold": True}, "/threshold"
    yield {**RULES, "threshold": "2"}, "/threshold"
    yield {**RULES, "chair": "ccas-lyon"}, "/chair"
    yield {**RULES, "chair": None}, "/chair"
    yield {**RULES, "chair": 3}, "/chair"
    yield {**RULES, "days": 0}, "/days"
    yield {**RULES, "days": 10_000}, "/days"
    yield {**RULES, "consultation": "oui"}, "/consultation"
    yield {**RULES, "voters": ["dep-01", "dep-02"], "chair": "dep-01"}, "/eachCollege"
    yield {**RULES, "quorum": 3}, "/quorum"


@pytest.mark.parametrize(("document", "where"), list(_wrong()))
def test_voting_rules_that_make_no_sense_are_refused(document: Any, where: str) -> None:
    with pytest.raises(Invalid) as caught:
        rules_from(document, COLLEGES)

    assert where in [problem.where for problem in caught.value.problems]
