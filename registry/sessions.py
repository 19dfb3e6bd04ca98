"""Signing in on the pages: by a link that is printed once, or by an identity provider; the sessions that follow.

A session acts in all of its person's roles. Of links and sessions the registry keeps hashes, and each ends by itself.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from registry import signing
from registry.access import BY_SESSION, Actor, Person, acting, actor_of, email_fault, new_person, object_of
from registry.errors import Forbidden, NotFound, Unauthenticated
from registry.rules import text_fault

if TYPE_CHECKING:
    from registry.store import Store

LINK_LASTS = timedelta(minutes=15)
SESSION_LASTS = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in: ``secret`` is what their browser keeps, of which the registry keeps the SHA-256.

    ``id_token`` is what the identity provider said of them, to be shown to it when they sign out.
    """

    secret: str
    person: str
    id_token: str = ""


def create_sign_in_link(store: Store, person: str, *, actor: Actor) -> str:
    """Make the secret of a link by which a person signs in once, within a quarter of an hour.

    On the machine itself an administrator makes one for anybody; over the network nobody does, since it would let them
    act as another.

    :raises NotFound: if there is no such person, or they were erased.
    :raises Forbidden: if the actor does not administer the registry on its machine.
    """
    with acting(store, actor, "person.write", object_of("person", person)) as act:
        if actor.door != "terminal":
            raise Forbidden("person.write", ("administrator",))
        if store.person(person).erased:
            raise NotFound("person", person)
        secret = secrets.token_urlsafe(32)
        store.add_sign_in_link(signing.sha256(secret.encode()), person, _now() + LINK_LASTS)
        act.after = "sign-in link"
    return secret


def sign_in(store: Store, secret: str, *, origin: str = "", request: str = "") -> Session:
    """Begin a session by a link that was printed; the link is used up.

    :raises Unauthenticated: if the link is unknown, used or over.
    """
    with store.at_once():
        person = store.use_sign_in_link(_hashed(secret), _now())
        if not person:
            raise Unauthenticated("the sign-in link is unknown, used or over")
        return _new_session(store, person, "", "link", origin, request)


def sign_in_as(
    store: Store,
    subject: str,
    *,
    name: str,
    email: str,
    siret: str,
    id_token: str,
    origin: str = "",
    request: str = "",
) -> Session:
    """Begin a session for whom an identity provider vouches; the first time, they are made known.

    A person who comes for the first time proposes for the organisations of that SIRET; where there are none, they read.
    An address that is another person's is left to that person: nobody becomes another by an address.
    """
    with store.at_once():
        person = store.person_of_subject(subject)
        if person is None:
            person = _provided(store, subject, name, email)
            store.add_person(person)
            actor = Actor(person.id, door="provider", origin=origin, request=request)
            store.add_journal_entry("action", actor, "person.write", f"person {person.id}", after="created")
            for organisation in store.organisations() if siret else ():
                if organisation.siret == siret:
                    store.add_membership(person.id, organisation.slug, "proposer")
                    store.add_journal_entry(
                        "action",
                        actor,
                        "person.write",
                        f"person {person.id}",
                        organisation=organisation.slug,
                        after="proposer",
                    )
        return _new_session(store, person.id, id_token, "provider", origin, request)


def refuse_sign_in(store: Store, reason: str, *, origin: str = "", request: str = "") -> None:
    """Write down that somebody whom an identity provider sent was not signed in, and why."""
    store.add_refusal(Actor(door="provider", origin=origin, request=request), "session.create", reason)


def session_actor(store: Store, secret: str, *, origin: str = "", request: str = "") -> tuple[Actor, Session]:
    """Who acts by a session, in all of their roles, and the session.

    :raises Unauthenticated: if it is unknown or over.
    """
    found = store.session(_hashed(secret), _now())
    if found is None:
        raise Unauthenticated("the session is unknown or over")
    person, document = found
    actor = actor_of(store, person, door=BY_SESSION, origin=origin, request=request)
    return actor, Session(secret, person, document)


def sign_out(store: Store, session: Session, *, actor: Actor) -> None:
    """End a session."""
    with acting(store, actor, "session.end", f"person {session.person}") as act:
        store.end_session(_hashed(session.secret))
        act.after = "signed out"


def end_session(store: Store, secret: str) -> None:
    """End a session that another takes the place of, if there is one."""
    if secret:
        store.end_session(_hashed(secret))


def _new_session(store: Store, person: str, id_token: str, door: str, origin: str, request: str) -> Session:
    now, secret = _now(), secrets.token_urlsafe(32)
    store.add_session(_hashed(secret), person, now, now + SESSION_LASTS, id_token)
    actor = Actor(person, door=door, origin=origin, request=request)
    store.add_journal_entry("action", actor, "session.create", f"person {person}", after="signed in")
    return Session(secret, person, id_token)


def _provided(store: Store, subject: str, name: str, email: str) -> Person:
    """A new person as an identity provider describes them; what it says and we refuse is left out."""
    email = email.lower()
    if email_fault(email):
        email = ""
    if email:
        with suppress(NotFound):
            store.person(email)
            email = ""
    named = "" if text_fault(name, limit=200) else name
    return replace(new_person(named or "Sans nom", email), subject=subject)


def _hashed(secret: str) -> str:
    return signing.sha256(secret.encode("utf-8", "replace"))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
