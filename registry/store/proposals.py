"""What people asked to be changed, from the form to the release that answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Row, Select, delete, func, insert, select, update

from registry import signing
from registry.errors import NotFound
from registry.store import tables as t
from registry.store.releases import Releases, nomenclature_id

ProposalState = Literal["held", "received", "studied", "retained", "declined", "released"]
PROPOSAL_STATES: tuple[ProposalState, ...] = get_args(ProposalState)
PUBLIC_STATES = PROPOSAL_STATES[1:]
"""Whatever is held until its sender confirms it is shown to nobody but the secretary."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that somebody asks for: of the concept ``code``, or without one of a new concept.

    ``person`` asked for it signed in, or ``email`` is where they are told of it until it is decided: neither is public.
    ``confirmation`` is what the sender of a held one proves to have got: known when it is made, and never again, since
    only its SHA-256 is kept. ``draft`` retained it, ``released`` is the version that answers.
    """

    id: int
    nomenclature: str
    code: str
    what: str
    why: str
    legal_basis: str
    created: datetime
    state: ProposalState
    person: str = ""
    email: str = ""
    confirmation: str = ""
    draft: int | None = None
    reason: str = ""
    released: str = ""
    confirmation_sha256: str = ""


_PROPOSALS = (
    select(
        t.proposal,
        t.nomenclature.c.slug.label("nomenclature"),
        func.coalesce(t.release.c.version, "").label("released"),
    )
    .select_from(t.proposal)
    .join(t.nomenclature, t.nomenclature.c.id == t.proposal.c.nomenclature_id)
    .outerjoin(t.draft, t.draft.c.id == t.proposal.c.draft_id)
    .outerjoin(t.release, t.release.c.id == t.draft.c.release_id)
)


class Proposals(Releases):
    """What the store says of proposals."""

    def add_proposal(self, proposal: Proposal) -> int:
        """Keep a new proposal; return its number.

        :raises NotFound: if there is no such nomenclature.
        """
        with self.database.writing() as connection:
            scheme = nomenclature_id(connection, proposal.nomenclature)
            if scheme is None:
                raise NotFound("nomenclature", proposal.nomenclature)
            number: int = connection.execute(
                insert(t.proposal)
                .values(
                    nomenclature_id=scheme,
                    code=proposal.code,
                    what=proposal.what,
                    why=proposal.why,
                    legal_basis=proposal.legal_basis,
                    created=signing.instant(proposal.created),
                    person_id=proposal.person or None,
                    email=proposal.email,
                    confirmation=proposal.confirmation_sha256,
                    state=proposal.state,
                    draft_id=proposal.draft,
                    reason=proposal.reason,
                )
                .returning(t.proposal.c.id)
            ).scalar_one()
            return number

    def proposal(self, number: int) -> Proposal:
        """A proposal by its number.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(_PROPOSALS.where(t.proposal.c.id == number)).one_or_none()
        if row is None:
            raise NotFound("proposal", str(number))
        return _proposal(row)

    def proposals(
        self,
        *,
        slug: str | None = None,
        state: ProposalState | None = None,
        code: str | None = None,
        before: int | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[list[Proposal], int]:
        """Proposals, the last one first, those before ``before``, and how many there are; held ones only by name."""
        conditions = [t.proposal.c.state == state] if state else [t.proposal.c.state != "held"]
        if slug is not None:
            conditions.append(t.nomenclature.c.slug == slug)
        if code is not None:
            conditions.append(t.proposal.c.code == code)
        query: Select[Any] = _PROPOSALS.where(*conditions)
        with self.database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            page = query if before is None else query.where(t.proposal.c.id < before)
            rows = connection.execute(page.order_by(t.proposal.c.id.desc()).offset(offset).limit(limit))
            return [_proposal(row) for row in rows], total

    def change_proposal(self, after: Proposal) -> None:
        """Write what became of a proposal."""
        with self.database.writing() as connection:
            values = {
                "email": after.email,
                "confirmation": after.confirmation_sha256,
                "state": after.state,
                "draft_id": after.draft,
                "reason": after.reason,
            }
            connection.execute(update(t.proposal).where(t.proposal.c.id == after.id).values(values))

    def release_proposals(self, draft_id: int) -> None:
        """Say of whatever a draft retained that it is released; call it in the publication's transaction."""
        with self.database.writing() as connection:
            retained = t.proposal.c.draft_id == draft_id, t.proposal.c.state == "retained"
            connection.execute(update(t.proposal).where(*retained).values(state="released"))

    def unconfirmed_since(self, since: datetime, email: str | None = None) -> int:
        """How many proposals wait to be confirmed that were sent since an instant, by an address or by anybody."""
        conditions = [t.proposal.c.state == "held", t.proposal.c.created >= signing.instant(since)]
        if email is not None:
            conditions.append(t.proposal.c.email == email)
        with self.database.reading() as connection:
            query = select(func.count()).select_from(t.proposal).where(*conditions)
            return int(connection.execute(query).scalar_one())

    def forget_unconfirmed(self, before: datetime) -> int:
        """Delete what nobody confirmed that was sent before an instant; return how many that were.

        Of the last proposal of all, an empty row stays until there is another: SQLite would give its number away again.
        """
        last = select(func.max(t.proposal.c.id)).scalar_subquery()
        old = t.proposal.c.state == "held", t.proposal.c.created < signing.instant(before), t.proposal.c.email != ""
        emptied = dict.fromkeys(("code", "what", "why", "legal_basis", "email", "confirmation"), "")
        with self.database.writing() as connection:
            count = connection.execute(update(t.proposal).where(*old).values(emptied)).rowcount
            empty = t.proposal.c.state == "held", t.proposal.c.email == "", t.proposal.c.id < last
            connection.execute(delete(t.proposal).where(*empty))
            return count

    def has_code(self, slug: str, code: str) -> bool:
        """Whether any release of a nomenclature has a concept of this code."""
        query = (
            select(t.concept_state.c.code)
            .join(t.nomenclature, t.nomenclature.c.id == t.concept_state.c.nomenclature_id)
            .where(t.nomenclature.c.slug == slug, t.concept_state.c.code == code)
            .limit(1)
        )
        with self.database.reading() as connection:
            return connection.execute(query).first() is not None


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        row.id,
        row.nomenclature,
        row.code,
        row.what,
        row.why,
        row.legal_basis,
        datetime.fromisoformat(row.created).astimezone(UTC),
        row.state,
        row.person_id or "",
        row.email,
        "",
        row.draft_id,
        row.reason,
        row.released if row.state == "released" else "",
        row.confirmation,
    )
