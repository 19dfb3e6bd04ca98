"""People, their memberships and tokens; and the answers that are kept so that a repeated request is done once.

Names and e-mail addresses stand in the table ``person`` alone: erasing its row erases the person.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, delete, insert, select, update

from registry.access import Notice, Person, Role, Token
from registry.errors import Conflict, NotFound
from registry.signing import instant
from registry.store import tables as t
from registry.store.releases import Releases

KEPT_ANSWERS = timedelta(hours=24)
"""How long a repeated request gets the answer of the first."""


class KeptAnswer(NamedTuple):
    """What a request was answered: ``request`` is the SHA-256 of what was asked, ``headers`` those to be repeated."""

    request: str
    status: int
    headers: dict[str, str]
    body: bytes


_MEMBERSHIPS = select(t.organisation.c.slug, t.membership.c.role).join(
    t.organisation, t.organisation.c.id == t.membership.c.organisation_id
)
_TOKENS = select(t.token, t.organisation.c.slug.label("organisation")).join(
    t.organisation, t.organisation.c.id == t.token.c.organisation_id
)


class People(Releases):
    """What the store says of people, memberships, tokens and kept answers."""

    # --- People -----------------------------------------------------------------------------------------------------

    def add_person(self, person: Person) -> None:
        """Keep a new person.

        :raises Conflict: if the e-mail address is another person's.
        """
        with self.database.writing() as connection:
            if person.email and connection.scalar(select(t.person.c.id).where(t.person.c.email == person.email)):
                raise Conflict("this e-mail address is another person's")
            connection.execute(
                insert(t.person).values(
                    id=person.id,
                    name=person.name,
                    email=person.email or None,
                    subject=person.subject or None,
                    # To the microsecond: who came first is who administers the registry.
                    created=person.created.astimezone(UTC).isoformat(timespec="microseconds"),
                    erased="",
                )
            )

    def person(self, name: str) -> Person:
        """A person by id or by e-mail address.

        :raises NotFound: if there is none.
        """
        by = t.person.c.email == name.lower() if "@" in name else t.person.c.id == name
        with self.database.reading() as connection:
            row = connection.execute(select(t.person).where(by)).one_or_none()
        if row is None:
            # The address that was asked for is nobody's here, and would only spread.
            raise NotFound("person", "" if "@" in name else name)
        return _person(row)

    def people(self) -> list[Person]:
        """Everybody, erased people too, in the order in which they came."""
        with self.database.reading() as connection:
            return [_person(row) for row in connection.execute(select(t.person).order_by(*_CAME))]

    def erase_person(self, person: str, at: datetime) -> None:
        """Erase whatever says who a person is, and end whatever they could act with; the id stays where it is.

        :raises NotFound: if there is no such person.
        """
        with self.database.writing() as connection:
            found = connection.execute(select(t.person).where(t.person.c.id == person)).one_or_none()
            if found is None:
                raise NotFound("person", person)
            of_theirs = [t.proposal.c.person_id == person]
            if found.email:
                of_theirs.append(t.proposal.c.email == found.email)
            for condition in of_theirs:
                connection.execute(update(t.proposal).where(condition).values(email="", confirmation=""))
            blank = {"name": "", "email": None, "subject": None, "erased": found.erased or instant(at)}
            connection.execute(update(t.person).where(t.person.c.id == person).values(blank))
            for table in (t.membership, t.session, t.sign_in_link, t.notice):
                connection.execute(delete(table).where(table.c.person_id == person))
            tokens = t.token.c.person_id == person
            connection.execute(update(t.token).where(tokens).values(label=""))
            connection.execute(update(t.token).where(tokens, t.token.c.revoked == "").values(revoked=instant(at)))
            kept = (t.idempotency.c.actor == person) | t.idempotency.c.body.contains(person, autoescape=True)
            connection.execute(delete(t.idempotency).where(kept))

    def memberships(self, person: str) -> frozenset[tuple[str, Role]]:
        """The organisations and roles of a person."""
        with self.database.reading() as connection:
            rows = connection.execute(_MEMBERSHIPS.where(t.membership.c.person_id == person))
            return frozenset((row.slug, row.role) for row in rows)

    def members(self, organisation: str) -> list[tuple[str, Role]]:
        """Who belongs to an organisation, and in which role, by id."""
        with self.database.reading() as connection:
            query = (
                select(t.membership.c.person_id, t.membership.c.role)
                .join(t.organisation, t.organisation.c.id == t.membership.c.organisation_id)
                .where(t.organisation.c.slug == organisation)
                .order_by(t.membership.c.person_id, t.membership.c.role)
            )
            return [(row.person_id, row.role) for row in connection.execute(query)]

    def add_membership(self, person: str, organisation: str, role: Role) -> bool:
        """Give a person a role in an organisation; return whether they lacked it.

        :raises NotFound: if there is no such organisation.
        """
        with self.database.writing() as connection:
            values = {
                "person_id": person,
                "organisation_id": _organisation_id(connection, organisation),
                "role": role,
            }
            if connection.execute(select(t.membership).filter_by(**values)).first() is not None:
                return False
            connection.execute(insert(t.membership).values(values))
            return True

    def remove_membership(self, person: str, organisation: str, role: Role) -> None:
        """Take a role in an organisation from a person.

        :raises NotFound: if there is no such organisation, or they do not have that role in it.
        """
        with self.database.writing() as connection:
            gone = connection.execute(
                delete(t.membership).where(
                    t.membership.c.person_id == person,
                    t.membership.c.organisation_id == _organisation_id(connection, organisation),
                    t.membership.c.role == role,
                )
            )
            if not gone.rowcount:
                raise NotFound("membership", f"{organisation}/{person}/{role}")

    def administrators(self) -> list[str]:
        """The people who administer this registry, in the order in which they came."""
        query = (
            select(t.person.c.id)
            .where(t.person.c.id.in_(select(t.membership.c.person_id).where(t.membership.c.role == "administrator")))
            .order_by(*_CAME)
        )
        with self.database.reading() as connection:
            return list(connection.scalars(query))

    def unseen_notices(self, person: str) -> list[Notice]:
        """What a person was told and has not seen yet, in order."""
        query = select(t.notice).where(t.notice.c.person_id == person, t.notice.c.seen == "").order_by(t.notice.c.id)
        with self.database.reading() as connection:
            rows = connection.execute(query)
            return [Notice(row.id, _instant(row.at), row.object, row.text) for row in rows]

    def see_notices(self, person: str, last: int) -> int:
        """Write down that a person has seen what they were told, up to a notice's number; return how many that were."""
        query = update(t.notice).where(t.notice.c.person_id == person, t.notice.c.seen == "", t.notice.c.id <= last)
        with self.database.writing() as connection:
            return connection.execute(query.values(seen=instant(datetime.now(UTC)))).rowcount

    # --- Tokens -----------------------------------------------------------------------------------------------------

    def add_token(self, token: Token, sha256: str) -> int:
        """Keep a new token, of which only the hash is known here; return its number.

        :raises NotFound: if there is no such organisation.
        """
        with self.database.writing() as connection:
            number: int = connection.execute(
                insert(t.token)
                .values(
                    sha256=sha256,
                    person_id=token.person,
                    organisation_id=_organisation_id(connection, token.organisation),
                    roles=orjson.dumps(token.roles).decode(),
                    label=token.label,
                    created=instant(token.created),
                    expires=token.expires.isoformat(),
                    made_by=token.made_by,
                    revoked="",
                    last_used="",
                )
                .returning(t.token.c.id)
            ).scalar_one()
            return number

    def token(self, number: int) -> tuple[Token, str]:
        """A token and the hash of its secret.

        :raises NotFound: if there is none of that number.
        """
        with self.database.reading() as connection:
            row = connection.execute(_TOKENS.where(t.token.c.id == number)).one_or_none()
        if row is None:
            raise NotFound("token", str(number))
        return _token(row), row.sha256

    def tokens(self, person: str | None = None) -> list[Token]:
        """The tokens of a person, or everybody's, by number."""
        query = _TOKENS.order_by(t.token.c.id)
        with self.database.reading() as connection:
            rows = connection.execute(query if person is None else query.where(t.token.c.person_id == person))
            return [_token(row) for row in rows]

    def revoke_token(self, number: int, at: datetime) -> None:
        """End a token and those that it made, one after the other; what has ended stays as it is."""
        ended = select(t.token.c.id).where(t.token.c.id == number).cte("ended", recursive=True)
        ended = ended.union(select(t.token.c.id).join(ended, t.token.c.made_by == ended.c.id))
        with self.database.writing() as connection:
            still = t.token.c.id.in_(select(ended.c.id)), t.token.c.revoked == ""
            connection.execute(update(t.token).where(*still).values(revoked=instant(at)))

    def use_token(self, number: int, at: datetime) -> None:
        """Note when a token was used."""
        with self.database.writing() as connection:
            connection.execute(update(t.token).where(t.token.c.id == number).values(last_used=instant(at)))

    # --- Signing in -------------------------------------------------------------------------------------------------

    def add_sign_in_link(self, sha256: str, person: str, expires: datetime) -> None:
        """Keep the hash of a link that signs a person in once; forget those that are over."""
        with self.database.writing() as connection:
            over = t.sign_in_link.c.expires < instant(datetime.now(UTC))
            connection.execute(delete(t.sign_in_link).where(over))
            values = {"sha256": sha256, "person_id": person, "expires": instant(expires), "used": ""}
            connection.execute(insert(t.sign_in_link).values(values))

    def use_sign_in_link(self, sha256: str, now: datetime) -> str:
        """Use a link up; return whom it signs in, or nothing if it is unknown, over or used."""
        good = (
            t.sign_in_link.c.sha256 == sha256,
            t.sign_in_link.c.used == "",
            t.sign_in_link.c.expires > instant(now),
        )
        with self.database.writing() as connection:
            used = update(t.sign_in_link).where(*good).values(used=instant(now)).returning(t.sign_in_link.c.person_id)
            return str(connection.execute(used).scalar() or "")

    def add_session(self, sha256: str, person: str, created: datetime, expires: datetime, document: str) -> None:
        """Keep a new session of a person, of which only the hash is known here; forget those that are over."""
        with self.database.writing() as connection:
            connection.execute(delete(t.session).where(t.session.c.expires <= instant(created)))
            connection.execute(
                insert(t.session).values(
                    sha256=sha256,
                    person_id=person,
                    created=instant(created),
                    expires=instant(expires),
                    document=document,
                )
            )

    def session(self, sha256: str, now: datetime) -> tuple[str, str] | None:
        """Whose session it is and its document; None if it is unknown or over."""
        query = select(t.session.c.person_id, t.session.c.document).where(
            t.session.c.sha256 == sha256, t.session.c.expires > instant(now)
        )
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return (row.person_id, row.document) if row is not None else None

    def end_session(self, sha256: str) -> None:
        """End one session."""
        with self.database.writing() as connection:
            connection.execute(delete(t.session).where(t.session.c.sha256 == sha256))

    def end_sessions(self, person: str) -> None:
        """End every session of a person, and the links by which they could begin one."""
        with self.database.writing() as connection:
            for table in (t.session, t.sign_in_link):
                connection.execute(delete(table).where(table.c.person_id == person))

    def person_of_subject(self, subject: str) -> Person | None:
        """The person whom an identity provider calls so; None if nobody is."""
        with self.database.reading() as connection:
            row = connection.execute(select(t.person).where(t.person.c.subject == subject)).one_or_none()
        return _person(row) if row is not None else None

    # --- Kept answers -----------------------------------------------------------------------------------------------

    def kept_answer(self, actor: str, key: str) -> KeptAnswer | None:
        """What this actor's request of that key was answered, if it was within the last day."""
        since = instant(datetime.now(UTC) - KEPT_ANSWERS)
        with self.database.reading() as connection:
            query = select(t.idempotency).where(
                t.idempotency.c.actor == actor, t.idempotency.c.key == key, t.idempotency.c.at >= since
            )
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return KeptAnswer(row.request, row.status, orjson.loads(row.headers), row.body.encode())

    def keep_answer(self, actor: str, key: str, answer: KeptAnswer) -> None:
        """Keep what a request was answered, and forget those of days past."""
        now = datetime.now(UTC)
        with self.database.writing() as connection:
            old = t.idempotency.c.at < instant(now - KEPT_ANSWERS)
            connection.execute(delete(t.idempotency).where(old))
            connection.execute(
                insert(t.idempotency).values(
                    actor=actor,
                    key=key,
                    request=answer.request,
                    status=answer.status,
                    headers=orjson.dumps(answer.headers).decode(),
                    body=answer.body.decode(),
                    at=instant(now),
                )
            )


_CAME = (t.person.c.created, t.person.c.id)


def _organisation_id(connection: Connection, slug: str) -> int:
    found: int | None = connection.scalar(select(t.organisation.c.id).where(t.organisation.c.slug == slug))
    if found is None:
        raise NotFound("organisation", slug)
    return found


def _person(row: Row[Any]) -> Person:
    return Person(
        row.id,
        row.name,
        row.email or "",
        row.subject or "",
        _instant(row.created),
        _instant(row.erased) if row.erased else None,
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        row.id,
        row.person_id,
        row.organisation,
        tuple(orjson.loads(row.roles)),
        row.label,
        _instant(row.created),
        datetime.fromisoformat(row.expires).date(),
        _instant(row.revoked) if row.revoked else None,
        _instant(row.last_used) if row.last_used else None,
        row.made_by,
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
