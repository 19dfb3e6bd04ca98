"""How the committee decides: organisations vote on what was submitted, and rules say what their votes come to.

Pure functions over values: who may vote, whose votes count, whether there is a quorum, and the outcome with its reasons
in French. A **simple vote** is decided as soon as enough organisations approve, at the latest when it closes. A
**consultation** that the law makes mandatory is decided when it closes only, by the code des relations entre le public
et l'administration (CRPA) on top of the nomenclature's own rules:

- R133-9: a member may give its mandate to another one; nobody holds more than one;
- R133-10: half of the members at least are present or have given a mandate; without that, a second call on the same
  agenda, which says so, needs no quorum;
- R133-11: the majority of the votes of the members present or represented; when they are equal, the chair's decides.

The majority is that of the votes expressed: an abstention is neither for nor against. Days are those of Europe/Paris,
the last one included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple, get_args

from registry.errors import Invalid, Problem
from registry.model import VotingRules

Choice = Literal["approve", "reject", "abstain"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
Outcome = Literal["open", "approved", "rejected", "no_quorum"]
COLLEGES: Mapping[str, str] = {"state": "État", "departements": "départements"}
"""The colleges of which each must approve where the rules say so, and their names."""

FIELDS = ("voters", "threshold", "eachCollege", "consultation", "chair", "days")
LONGEST = 366


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote on one submission: the rules as they stood then, who is in which college, from when until when.

    ``call`` is 2 when a consultation is called again for want of a quorum. ``author`` is the person who wrote the
    draft. ``outcome`` is what it came to at ``decided_at``, counted as of the day ``decided_on``; ``voided_at`` when an
    edit undid it (empty: it did not). ``version`` and ``valid_from`` are those of the submission, for the record.
    """

    rules: VotingRules
    colleges: tuple[tuple[str, str], ...]
    opens: date
    closes: date
    submission: str
    round: int
    author: str
    organisation: str = ""
    call: int = 1
    outcome: Outcome = "open"
    decided_at: str = ""
    decided_on: str = ""
    voided_at: str = ""
    version: str = ""
    valid_from: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """What an organisation said, by one of its members, of one submission."""

    organisation: str
    person: str
    choice: Choice
    reason: str = ""
    at: str = ""
    submission: str = ""


@dataclass(frozen=True, slots=True)
class Attendance:
    """An organisation that is present, or represented by the one that it gave its mandate to."""

    organisation: str
    represented_by: str = ""


class Verdict(NamedTuple):
    """What a ballot comes to on a day, and why, in French."""

    outcome: Outcome
    reasons: tuple[str, ...]


def outcome(ballot: Ballot, votes: Iterable[Vote], attendance: Iterable[Attendance], on: date) -> Verdict:
    """What a ballot comes to on a day."""
    rules = ballot.rules
    counted = counted_votes(ballot, votes, attendance)
    approving = [organisation for organisation, vote in counted.items() if vote.choice == "approve"]
    rejecting = [organisation for organisation, vote in counted.items() if vote.choice == "reject"]
    reasons = [f"approbations : {len(approving)}, il en faut {rules.threshold}"]
    enough = len(approving) >= rules.threshold
    if rules.each_college:
        heard = {college for organisation, college in ballot.colleges if organisation in approving}
        missing = [name for college, name in COLLEGES.items() if college not in heard]
        enough = enough and not missing
        reasons += [f"aucune approbation du collège {name}" for name in missing]
    over = on > ballot.closes
    if on < ballot.opens:
        return Verdict("open", (f"le vote ouvre le {ballot.opens}",))
    if not rules.consultation:
        if enough:
            return Verdict("approved", tuple(reasons))
        when = f"le vote {'a fermé' if over else 'ferme'} le {ballot.closes}"
        return Verdict("rejected" if over else "open", (*reasons, when))
    there = len(attending(ballot, attendance))
    reasons.append(f"présents ou représentés : {there} sur {len(rules.voters)} (CRPA R133-10)")
    if ballot.call > 1:
        reasons.append("seconde convocation, sans condition de quorum (CRPA R133-10)")
    if not over:
        return Verdict("open", (*reasons, f"la consultation ferme le {ballot.closes}"))
    if ballot.call == 1 and 2 * there < len(rules.voters):
        return Verdict("no_quorum", (*reasons, "quorum non atteint"))
    reasons.append(f"voix exprimées : {len(approving)} pour, {len(rejecting)} contre (CRPA R133-11)")
    majority = len(approving) > len(rejecting)
    if len(approving) == len(rejecting):
        majority = rules.chair in approving
        reasons.append(f"partage égal : la voix de {rules.chair} {'décide' if majority else 'ne décide pas pour'}")
    return Verdict("approved" if enough and majority else "rejected", tuple(reasons))


def counted_votes(ballot: Ballot, votes: Iterable[Vote], attendance: Iterable[Attendance] = ()) -> dict[str, Vote]:
    """The votes that count, by organisation: one each, its last, of a voter, on this very submission, not the author's.

    In a consultation only the voices of organisations present or represented count (R133-11).
    """
    entitled = attending(ballot, attendance) if ballot.rules.consultation else frozenset(ballot.rules.voters)
    return {
        vote.organisation: vote
        for vote in votes
        if vote.organisation in entitled and vote.person != ballot.author and vote.submission == ballot.submission
    }


def attending(ballot: Ballot, attendance: Iterable[Attendance]) -> frozenset[str]:
    """The voters who are present, or whose mandate one who is present holds: the first that it was given (R133-9)."""
    rows = [row for row in attendance if row.organisation in ballot.rules.voters]
    present = {row.organisation for row in rows if not row.represented_by}
    mandates: dict[str, str] = {}
    for row in rows:
        if row.represented_by in present and row.organisation not in present:
            mandates.setdefault(row.represented_by, row.organisation)
    return frozenset(present.union(mandates.values()))


def last_day(rules: VotingRules, opens: date) -> date:
    """The day on which a ballot closes unless it says otherwise."""
    return opens + timedelta(days=rules.days - 1)


def attendance_problems(ballot: Ballot, rows: Iterable[Attendance]) -> list[Problem]:
    """What is wrong with a list of who is present or represented (R133-9)."""
    rows = list(rows)
    names = [row.organisation for row in rows]
    present = {row.organisation for row in rows if not row.represented_by}
    holders = [row.represented_by for row in rows if row.represented_by]

    def problem(message: str, organisation: str, accepted: str) -> Problem:
        return Problem("attendance_is_sound", message, where="attendance", value=organisation, accepted=accepted)

    found = [
        problem("organisme qui ne vote pas ici", name, ", ".join(ballot.rules.voters))
        for name in dict.fromkeys(names)
        if name not in ballot.rules.voters
    ]
    found += [
        problem("organisme cité deux fois", name, "présent ou représenté, une fois")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    found += [
        problem("mandataire absent", holder, "un organisme présent")
        for holder in sorted(set(holders))
        if holder not in present
    ]
    found += [
        problem("plus d'un mandat", holder, "un mandat au plus (CRPA R133-9)")
        for holder in sorted({holder for holder in holders if holders.count(holder) > 1})
    ]
    return found


def rules_document(rules: VotingRules) -> dict[str, Any]:
    """Voting rules as JSON."""
    values = (
        list(rules.voters),
        rules.threshold,
        rules.each_college,
        rules.consultation,
        rules.chair or None,
        rules.days,
    )
    return dict(zip(FIELDS, values, strict=True))


def rules_from(document: Any, colleges: Mapping[str, str]) -> VotingRules | None:
    """Voting rules from JSON; an empty object stands for none: no votes are asked for.

    ``colleges`` holds every organisation that there is, with its college or the empty string.

    :raises Invalid: with every problem found.
    """
    if document == {}:
        return None
    problems = list(_misshapen(document))
    if problems:
        raise Invalid(problems)
    rules = VotingRules(
        tuple(sorted(document["voters"])),
        document.get("threshold", 1),
        document.get("eachCollege", False),
        document.get("consultation", False),
        document.get("chair") or "",
        document.get("days", VotingRules(()).days),
    )
    problems += [
        _problem("voters", "organisme inconnu", slug, "un organisme enregistré")
        for slug in rules.voters
        if slug not in colleges
    ]
    if len(set(rules.voters)) != len(rules.voters):
        problems.append(_problem("voters", "organisme cité deux fois", "", "une voix par organisme"))
    if not 1 <= rules.threshold <= len(rules.voters):
        problems.append(
            _problem("threshold", "seuil hors limites", str(rules.threshold), f"de 1 à {len(rules.voters)}")
        )
    if not 1 <= rules.days <= LONGEST:
        problems.append(_problem("days", "durée hors limites", str(rules.days), f"de 1 à {LONGEST}"))
    if (rules.chair or rules.consultation) and rules.chair not in rules.voters:
        problems.append(_problem("chair", "la présidence n'est pas parmi les votants", rules.chair, "un votant"))
    if rules.each_college:
        there = {colleges.get(slug, "") for slug in rules.voters}
        problems += [
            _problem("eachCollege", f"aucun votant du collège {name}", college, "un votant au moins de chaque collège")
            for college, name in COLLEGES.items()
            if college not in there
        ]
    if problems:
        raise Invalid(problems)
    return rules


def _misshapen(document: Any) -> Iterable[Problem]:
    if not isinstance(document, dict):
        yield _problem("", "règles illisibles", "", "un objet JSON")
        return
    for name in document:
        if name not in FIELDS:
            yield _problem(str(name), "champ inconnu", "", ", ".join(FIELDS))
    voters = document.get("voters")
    if not (isinstance(voters, list) and voters and all(isinstance(slug, str) for slug in voters)):
        yield _problem("voters", "liste attendue", "", "une liste d'organismes")
    for name in ("threshold", "days"):
        if type(document.get(name, 1)) is not int:
            yield _problem(name, "nombre attendu", str(document[name]), "un nombre entier")
    for name in ("eachCollege", "consultation"):
        if not isinstance(document.get(name, False), bool):
            yield _problem(name, "oui ou non attendu", str(document[name]), "true ou false")
    if not isinstance(document.get("chair") or "", str):
        yield _problem("chair", "organisme attendu", str(document["chair"]), "un votant")


def _problem(where: str, message: str, value: str, accepted: str) -> Problem:
    return Problem("voting_rules_are_sound", message, where=f"/{where}", value=value, accepted=accepted)
