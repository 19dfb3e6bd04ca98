"""What the committee's votes leave in the database: rules, votes, attendance, notices to people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from registry import signing
from registry.errors import NotFound
from registry.model import VotingRules
from registry.store import tables as t
from registry.store.releases import Releases
from registry.votes import Attendance, Vote


class Votes(Releases):
    """What the store says of votes."""

    def voting_rules(self, slug: str) -> VotingRules | None:
        """How the committee decides on a nomenclature; None where no votes are asked for.

        :raises NotFound: if there is no such nomenclature.
        """
        with self.database.reading() as connection:
            found = connection.execute(select(t.nomenclature.c.voting).where(t.nomenclature.c.slug == slug)).scalar()
        if found is None:
            raise NotFound("nomenclature", slug)
        return voting_rules_from(orjson.loads(found)) if found else None

    def set_voting_rules(self, slug: str, rules: VotingRules | None) -> None:
        """Say how the committee decides on a nomenclature from now on; ballots that are open keep the rules they have.

        :raises NotFound: if there is no such nomenclature.
        """
        voting = orjson.dumps(rules).decode() if rules else ""
        with self.database.writing() as connection:
            changed = connection.execute(
                update(t.nomenclature).where(t.nomenclature.c.slug == slug).values(voting=voting)
            )
            if not changed.rowcount:
                raise NotFound("nomenclature", slug)

    def votes(self, draft_id: int, round: int) -> list[Vote]:
        """The votes of one round on a draft, by organisation: the last of each."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(t.vote, t.organisation.c.slug)
                .join(t.organisation, t.organisation.c.id == t.vote.c.organisation_id)
                .where(t.vote.c.draft_id == draft_id, t.vote.c.round == round)
                .order_by(t.organisation.c.slug)
            )
            return [Vote(row.slug, row.person_id, row.choice, row.reason, row.at, row.submission) for row in rows]

    def put_vote(self, draft_id: int, round: int, vote: Vote) -> None:
        """Keep an organisation's vote, in the place of the one that it gave before in this round.

        :raises NotFound: if there is no such organisation.
        """
        with self.database.writing() as connection:
            organisation = _organisation_id(connection, vote.organisation)
            place = (
                t.vote.c.draft_id == draft_id,
                t.vote.c.round == round,
                t.vote.c.organisation_id == organisation,
            )
            connection.execute(delete(t.vote).where(*place))
            connection.execute(
                insert(t.vote).values(
                    draft_id=draft_id,
                    round=round,
                    organisation_id=organisation,
                    person_id=vote.person,
                    choice=vote.choice,
                    reason=vote.reason,
                    at=vote.at,
                    submission=vote.submission,
                )
            )

    def attendance(self, draft_id: int, round: int) -> list[Attendance]:
        """Who is present or represented in one round, by organisation."""
        holder = t.organisation.alias("holder")
        with self.database.reading() as connection:
            rows = connection.execute(
                select(t.organisation.c.slug, holder.c.slug.label("holder"))
                .select_from(t.attendance)
                .join(t.organisation, t.organisation.c.id == t.attendance.c.organisation_id)
                .outerjoin(holder, holder.c.id == t.attendance.c.represented_by)
                .where(t.attendance.c.draft_id == draft_id, t.attendance.c.round == round)
                .order_by(t.organisation.c.slug)
            )
            return [Attendance(row.slug, row.holder or "") for row in rows]

    def set_attendance(self, draft_id: int, round: int, rows: Iterable[Attendance]) -> None:
        """Keep the list of who is present or represented in one round, in the place of the one before.

        :raises NotFound: if there is no such organisation.
        """
        with self.database.writing() as connection:
            connection.execute(
                delete(t.attendance).where(t.attendance.c.draft_id == draft_id, t.attendance.c.round == round)
            )
            for row in rows:
                connection.execute(
                    insert(t.attendance).values(
                        draft_id=draft_id,
                        round=round,
                        organisation_id=_organisation_id(connection, row.organisation),
                        represented_by=_organisation_id(connection, row.represented_by) if row.represented_by else None,
                    )
                )

    def add_notice(self, person: str, object: str, text: str) -> None:
        """Tell a person, in French, what happened to something that concerns them."""
        with self.database.writing() as connection:
            connection.execute(insert(t.notice).values(person_id=person, at=now(), object=object, text=text, seen=""))


def voting_rules_from(found: dict[str, object]) -> VotingRules:
    """Voting rules from what is stored."""
    found = {**found, "voters": tuple(found["voters"])}  # type: ignore[arg-type] # a list, as it was stored.
    return VotingRules(**found)  # type: ignore[arg-type] # the fields are those that were stored.


def now() -> str:
    """This instant, as it is stored."""
    return signing.instant(datetime.now(UTC))


def _organisation_id(connection: Connection, slug: str) -> int:
    found = connection.execute(select(t.organisation.c.id).where(t.organisation.c.slug == slug)).scalar()
    if found is None:
        raise NotFound("organisation", slug)
    return int(found)
