"""Who may do what: persons act for organisations, in roles; whatever they do is written down in the journal.

A person is an opaque id everywhere but in one table of names, which can be erased (GDPR, article 17). What a person may
do follows from memberships: an organisation and a role in it. A token carries some of its owner's memberships, never
more. Every write goes through ``acting``: it refuses, or it does the work and the journal's entry in one transaction.

**The journal** is a second chain beside the release log, for administrators. An entry is canonical JSON (RFC 8785):
``{"type": "action" | "refusal", "seq", "at", "previous", "person", "door", "operation", "object", "organisation",
"before", "after", "origin", "request"}``; ``previous`` is the SHA-256 of the entry before (64 zeros for the first).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from registry import signing
from registry.crosswalks import AS_KIND, COLLEGES, Organisation, college_of
from registry.errors import Busy, Conflict, Damaged, Forbidden, NotFound, Problem, Unauthenticated
from registry.model import SLUG, today
from registry.rules import refuse as refuse_problems
from registry.rules import text_fault

if TYPE_CHECKING:
    from registry.store import Store

Role = Literal["reader", "mapper", "proposer", "editor", "member", "secretary", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts: an opaque person id, memberships as (organisation slug, role), and by which door.

    ``door`` is ``anonymous``, ``terminal``, ``session`` or ``token 12``; ``origin`` is the class of the address that a
    request came from (a network, never an address), ``request`` its id.
    """

    person: str = ""
    memberships: frozenset[tuple[str, Role]] = frozenset()
    door: str = "anonymous"
    origin: str = ""
    request: str = ""

    @property
    def roles(self) -> frozenset[Role]:
        """The roles held, in whatever organisation."""
        return frozenset(role for _, role in self.memberships)

    def organisations(self, *roles: Role) -> tuple[str, ...]:
        """The organisations in which one of the roles is held, sorted."""
        return tuple(sorted({organisation for organisation, role in self.memberships if role in roles}))


ANYONE = Actor()

BY_SESSION = "session"
"""The door of whoever is signed in on the pages."""

OPERATIONS: Mapping[str, tuple[Role, ...]] = {
    "proposal.create": (),
    "proposal.confirm": (),
    "proposal.decide": ("editor", "secretary"),
    "nomenclature.create": ("secretary", "administrator"),
    "nomenclature.rules": ("secretary", "administrator"),
    "draft.create": ("editor", "secretary"),
    "draft.read": ("editor", "member", "secretary", "administrator"),
    "draft.edit": ("editor", "secretary"),
    "draft.submit": ("secretary",),
    "draft.vote": ("member",),
    "draft.attend": ("secretary",),
    "draft.withdraw": ("secretary", "editor"),
    "release.publish": ("secretary",),
    "release.withdraw": ("secretary",),
    "crosswalk.write": ("mapper",),
    "crosswalk.read": ("mapper",),
    "organisation.write": ("administrator",),
    "person.read": ("administrator",),
    "person.write": ("administrator",),
    "token.create": ROLES,
    "token.revoke": ROLES,
    "key.write": ("administrator",),
    "journal.read": ("administrator",),
    "self.read": ROLES,
    "notice.see": ROLES,
    "webhook.read": ROLES,
    "webhook.write": ROLES,
    "session.create": (),
    "session.end": ROLES,
}
"""Every operation that is not open reading, and the roles of which one is needed.

None named: anybody may. All named: whoever is known may, even without a role.
"""

OF_ONE_ORGANISATION = frozenset({"draft.vote", "crosswalk.write", "crosswalk.read"})
"""Operations whose role must be held in the organisation concerned; elsewhere any organisation will do."""


def allow(actor: Actor, operation: str, *, organisation: str = "") -> None:
    """Do nothing if the actor may do this.

    :raises Unauthenticated: if nobody is known and the operation is not open to anybody.
    :raises Forbidden: naming the roles of which one is needed.
    """
    roles = OPERATIONS[operation]
    if not roles:
        return
    if not actor.person:
        raise Unauthenticated(operation)
    if roles == ROLES:
        return
    one = organisation if operation in OF_ONE_ORGANISATION else ""
    if not any(role in roles and (not one or held == one) for held, role in actor.memberships):
        raise Forbidden(operation, roles, one)


@dataclass(slots=True)
class Act:
    """What is done under ``acting``: set ``object``, ``before`` and ``after`` once they are known."""

    object: str = ""
    before: str = ""
    after: str = ""


@contextmanager
def acting(store: Store, actor: Actor, operation: str, object: str = "", *, organisation: str = "") -> Iterator[Act]:
    """Let the actor do one thing: what is written inside, and the journal's entry, are one transaction.

    ``before`` and ``after`` of the act are hashes (or short names) of what was changed, not the content itself.

    :raises Unauthenticated, Forbidden: if the actor may not, or if what is inside says so; that is in the journal too.
    """
    act = Act(object)
    with refusing(store, actor, operation, object, organisation=organisation), store.at_once():
        yield act
        store.add_journal_entry(
            "action", actor, operation, act.object, organisation=organisation, before=act.before, after=act.after
        )


@contextmanager
def refusing(store: Store, actor: Actor, operation: str, object: str, *, organisation: str = "") -> Iterator[None]:
    """Refuse what the actor may not do, and write down each refusal, this one or one that is raised inside.

    Anonymous visitors leave no entry: they are too many.

    :raises Unauthenticated, Forbidden: if the actor may not.
    """
    try:
        allow(actor, operation, organisation=organisation)
        yield
    except (Unauthenticated, Forbidden) as error:
        if actor.person and _TOLD not in getattr(error, "__notes__", ()):
            store.add_refusal(actor, operation, object, organisation=organisation)
            error.add_note(_TOLD)
        raise


_TOLD = "the refusal is in the journal"
"""Noted on a refusal once it is written down: what it passes through on its way out need not write it again."""


def object_of(kind: str, name: str) -> str:
    """What is acted on, as the journal calls it: somebody might send a name or an address in the place of an id."""
    return f"{kind} {name}" if SLUG.fullmatch(name) else kind


def check_journal(store: Store) -> tuple[int, str]:
    """Follow the journal from its first entry; return how many there are and the hash of the last.

    :raises Damaged: naming the first entry that is not what was sealed.
    """
    entries = list(_journal(store, 0))
    try:
        count = signing.check_chain(entries)
    except Damaged as error:
        raise Damaged(f"journal: {error}") from error
    return count, signing.sha256(entries[-1]) if entries else signing.FIRST


def journal(store: Store, after: int = 0, *, actor: Actor) -> Iterator[bytes]:
    """Every entry of the journal after the entry ``after``, as it was sealed.

    :raises Forbidden: if the actor is no administrator.
    """
    with refusing(store, actor, "journal.read", "journal"):
        return _journal(store, after)


def _journal(store: Store, after: int) -> Iterator[bytes]:
    while page := store.journal_entries(after):
        yield from page
        after += len(page)


def network(address: str) -> str:
    """The class of an address, which is all that is kept of it: its /24, or /48 of IPv6; empty if it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


# --- Organisations -------------------------------------------------------------------------------------------------

_INSEE = re.compile(r"[0-9AB]{2,5}|[0-9]{9}")


def create_organisation(store: Store, organisation: Organisation, *, actor: Actor) -> None:
    """Make an organisation known.

    :raises Invalid: with every field that is refused.
    :raises Conflict: if the slug is taken.
    """
    with acting(store, actor, "organisation.write", object_of("organisation", organisation.slug)) as act:
        refuse_problems(_organisation_problems(organisation))
        with suppress(NotFound):
            store.organisation(organisation.slug)
            raise Conflict(f"organisation {organisation.slug} exists")
        store.add_organisation(organisation)
        act.after = organisation_etag(organisation)


def change_organisation(store: Store, slug: str, changes: Mapping[str, Any], *, actor: Actor) -> Organisation:
    """Change fields of an organisation, but for its slug; return it as it is then.

    Where the kind changes, the college follows unless one was chosen.

    :raises NotFound: if there is no such organisation.
    :raises Invalid: with every field that is refused.
    """
    with acting(store, actor, "organisation.write", object_of("organisation", slug)) as act:
        before = store.organisation(slug)
        derived = {"college": AS_KIND} if before.college == college_of(before.kind) else {}
        after = replace(before, **{**derived, **changes, "slug": slug})
        refuse_problems(_organisation_problems(after))
        store.change_organisation(after)
        act.before, act.after = organisation_etag(before), organisation_etag(after)
    return after


def organisation_etag(organisation: Organisation) -> str:
    """A hash of all that is known of an organisation."""
    return signing.sha256(repr([getattr(organisation, field.name) for field in fields(organisation)]).encode())


def _organisation_problems(organisation: Organisation) -> Iterator[Problem]:
    def problem(field: str, message: str, accepted: str) -> Problem:
        value = str(getattr(organisation, field))
        return Problem("organisation_is_sound", message, (), field, value, accepted)

    if not SLUG.fullmatch(organisation.slug):
        yield problem("slug", "identifiant mal formé", "minuscules, chiffres et traits d'union")
    if fault := text_fault(organisation.name, limit=200):
        yield problem("name", fault, "un nom")
    if organisation.kind not in KINDS:
        yield problem("kind", "genre inconnu", ", ".join(KINDS))
    if organisation.insee and not _INSEE.fullmatch(organisation.insee):
        yield problem("insee", "code INSEE mal formé", "le code d'un département, d'une commune, ou un SIREN")
    if organisation.siret and not is_siret(organisation.siret):
        yield problem("siret", "SIRET mal formé, ou clé fausse", "14 chiffres")
    if organisation.college not in COLLEGES:
        yield problem("college", "collège inconnu", ", ".join(filter(None, COLLEGES)))


KINDS = (
    "state",
    "departement",
    "metropole",
    "ccas",
    "vendor",
    "committee",
    # What the shipped organisations call themselves.
    "etat",
    "editeur",
    "association",
    "autre",
)
"""What an organisation can be."""

_LA_POSTE = "356000000"


def is_siret(text: str) -> bool:
    """Whether a text is a SIRET: fourteen digits with the check of Luhn, or La Poste's own (their sum, by five)."""
    if not re.fullmatch(r"[0-9]{14}", text):
        return False
    digits = [int(digit) for digit in text]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2]) + sum(digits[1::2])
    return doubled % 10 == 0 or (text.startswith(_LA_POSTE) and sum(digits) % 5 == 0)


# --- People --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts: an opaque id, and until they are erased what they are called.

    ``subject`` is what an identity provider calls them.
    """

    id: str
    name: str
    email: str
    subject: str
    created: datetime
    erased: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person was told; ``object`` names what it is about."""

    id: int
    at: datetime
    object: str
    text: str


COMMITTEE = "comite"
FIRST_NAME = "Administration locale"
_FIRST_ROLES: tuple[Role, ...] = ("administrator", "secretary", "editor")
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")


def create_person(store: Store, name: str, email: str = "", *, actor: Actor) -> Person:
    """Make a person known, under an id that says nothing of them.

    :raises Invalid: if the name or the address is refused.
    :raises Conflict: if the address is another person's.
    """
    with acting(store, actor, "person.write") as act:
        person = new_person(name, email)
        store.add_person(person)
        act.object, act.after = f"person {person.id}", "created"
    return person


def people(store: Store, *, actor: Actor) -> list[Person]:
    """Everybody, erased people too, in the order in which they came.

    :raises Forbidden: if the actor is no administrator.
    """
    with refusing(store, actor, "person.read", "people"):
        return store.people()


def erase(store: Store, person: str, *, actor: Actor) -> None:
    """Erase a person (GDPR, article 17): name, address, sign-in, roles and tokens go; the id stays in the journal.

    :raises NotFound: if there is no such person.
    :raises Conflict: if nobody would be left to administer the registry.
    """
    with acting(store, actor, "person.write", object_of("person", person)) as act:
        store.erase_person(person, _now())
        _keep_an_administrator(store)
        act.after = "erased"


def join(store: Store, person: str, organisation: str, role: Role, *, actor: Actor) -> bool:
    """Give a person a role in an organisation; return whether they lacked it.

    :raises NotFound: if there is no such person or organisation.
    """
    with acting(store, actor, "person.write", object_of("person", person), organisation=organisation) as act:
        if store.person(person).erased:
            raise NotFound("person", person)
        act.after = role
        return store.add_membership(person, organisation, role)


def leave(store: Store, person: str, organisation: str, role: Role, *, actor: Actor) -> None:
    """Take a role in an organisation from a person; their tokens lose it too.

    :raises NotFound: if they do not have it.
    :raises Conflict: if nobody would be left to administer the registry.
    """
    with acting(store, actor, "person.write", object_of("person", person), organisation=organisation) as act:
        store.remove_membership(person, organisation, role)
        if not store.memberships(person):
            store.end_sessions(person)
        _keep_an_administrator(store)
        act.before = role


def first_administrator(store: Store, name: str = "") -> tuple[Person, bool]:
    """The person who administers the registry on its own machine, and whether they had to be made first.

    A registry without any administrator gets one, in the committee.
    """
    known = store.administrators()
    if known:
        return store.person(known[0]), False
    with store.at_once():
        # Another process may have been first, until the transaction began.
        if store.administrators():
            return store.person(store.administrators()[0]), False
        person = new_person(name or FIRST_NAME, "")
        store.add_person(person)
        try:
            store.organisation(COMMITTEE)
        except NotFound:
            store.add_organisation(Organisation(COMMITTEE, "Comité des nomenclatures", "committee"))
        for role in _FIRST_ROLES:
            store.add_membership(person.id, COMMITTEE, role)
        actor = Actor(person.id, door="terminal")
        store.add_journal_entry(
            "action", actor, "registry.init", f"person {person.id}", organisation=COMMITTEE, after="administrator"
        )
    return person, True


def actor_of(store: Store, person: str, *, door: str, origin: str = "", request: str = "") -> Actor:
    """A person, known by id or e-mail address, as who acts by this door in all of their roles.

    :raises NotFound: if there is no such person.
    :raises Unauthenticated: if they were erased.
    """
    found = store.person(person)
    if found.erased:
        raise Unauthenticated(f"person {found.id} was erased")
    return Actor(found.id, store.memberships(found.id), door, origin, request)


def standing_in(actor: Actor, organisation: str, role: Role) -> Actor:
    """Whoever administers the registry on its own machine, as somebody who has a role in an organisation too.

    They could act as anybody there; the journal says that they did it themselves, at the terminal. Others stay as they
    are.
    """
    if actor.door != "terminal" or "administrator" not in actor.roles:
        return actor
    return replace(actor, memberships=actor.memberships | {(organisation, role)})


def email_fault(email: str) -> str:
    """Why a text is no e-mail address, in French; the empty string if it is one."""
    return "" if _EMAIL.fullmatch(email) and not text_fault(email, limit=254) else "adresse mal formée"


def see_notices(store: Store, last: int, *, actor: Actor) -> int:
    """Note that whoever acts has seen what they were told, up to a notice's number; return how many that were."""
    with acting(store, actor, "notice.see", f"notices up to {last}") as act:
        count = store.see_notices(actor.person, last)
        act.after = f"{count} seen"
    return count


def new_person(name: str, email: str) -> Person:
    """A person under a new id, not kept yet.

    :raises Invalid: if the name or the address is refused.
    """
    problems = []
    if fault := text_fault(name, limit=200):
        problems.append(Problem("person_is_sound", fault, (), "name", "", "un nom"))
    email = email.lower()
    if email and (fault := email_fault(email)):
        problems.append(Problem("person_is_sound", fault, (), "email", "", "nom@domaine.fr"))
    refuse_problems(problems)
    return Person("p" + secrets.token_hex(8), name, email, "", datetime.now(UTC))


def _keep_an_administrator(store: Store) -> None:
    if not store.administrators():
        raise Conflict("nobody would be left to administer the registry")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


# --- Tokens --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """What lets a program act for a person in some of their roles in one organisation, until the day ``expires``.

    Its text is ``reg_<id>_<secret>``, shown once; only the secret's SHA-256 is kept. ``made_by`` is the number of the
    token that made it, if one did: it ends with that one.
    """

    id: int
    person: str
    organisation: str
    roles: tuple[Role, ...]
    label: str
    created: datetime
    expires: date
    revoked: datetime | None = None
    last_used: datetime | None = None
    made_by: int | None = None


DAYS, MOST_DAYS = 90, 365
"""For how long a token is, unless something else is said, and at most."""

_TOKEN = re.compile(r"reg_([1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})")
_USE_IS_NOTED_EVERY = timedelta(hours=1)
_BY_TOKEN = "token "  # noqa: S105 -- how the door is called, not a secret.


def create_token(
    store: Store,
    person: str,
    organisation: str,
    roles: Sequence[Role],
    *,
    days: int | None = None,
    label: str = "",
    actor: Actor,
) -> tuple[Token, str]:
    """Make a token for a person; return it with its text, which nothing can show again.

    Without ``days`` it lasts for ninety, or as long as the token that makes it.

    People make their own. On the machine itself an administrator makes one for anybody; over the network nobody does,
    since it would let them act as another. A token makes none that carries more, or lasts longer, than itself.

    :raises Forbidden: if it would be another person's, or carry more than the actor does.
    :raises Invalid: if the person lacks a role, or the days are none or more than a year.
    """
    with acting(store, actor, "token.create", object_of("person", person), organisation=organisation) as act:
        local = actor.door == "terminal" and "administrator" in actor.roles
        if not local and (person != actor.person or not {(organisation, role) for role in roles} <= actor.memberships):
            raise Forbidden("token.create", tuple(roles), organisation)
        maker = _token_of(store, actor)
        last = maker.expires if maker else _in_days(MOST_DAYS)
        expires = min(_in_days(DAYS), last) if days is None else _in_days(days)
        held = tuple(role for role in ROLES if role in roles)
        made_by = maker.id if maker else None
        token = Token(0, person, organisation, held, label, _now(), expires, made_by=made_by)
        refuse_problems(_token_problems(token, store, last))
        secret = secrets.token_urlsafe(32)
        number = store.add_token(token, signing.sha256(secret.encode()))
        act.after = f"token {number}"
    return replace(token, id=number), f"reg_{number}_{secret}"


def tokens(store: Store, person: str, *, actor: Actor) -> list[Token]:
    """The tokens of a person, which only they and administrators see.

    :raises Forbidden: if the actor is neither.
    """
    operation = "self.read" if person == actor.person else "person.read"
    with refusing(store, actor, operation, object_of("person", person)):
        return store.tokens(person)


def revoke_token(store: Store, number: int, *, actor: Actor) -> None:
    """End a token, and those that it made: one's own, or as an administrator anybody's.

    :raises NotFound: if there is none of that number, or it is another person's.
    """
    with acting(store, actor, "token.revoke", f"token {number}") as act:
        token, _ = store.token(number)
        if token.person != actor.person and "administrator" not in actor.roles:
            raise NotFound("token", str(number))
        store.revoke_token(number, _now())
        act.after = "revoked"


def token_actor(store: Store, text: str, on: date, *, origin: str = "", request: str = "") -> Actor:
    """Who acts by a token on a day: its owner, in those of its roles that they still have.

    Its use is noted at most once an hour, so that reads do not become writes.

    :raises Unauthenticated: if it is malformed, unknown, revoked or expired; the text is never repeated.
    """
    match = _TOKEN.fullmatch(text) if len(text) < 100 else None
    if match is None:
        raise Unauthenticated("the token is malformed")
    try:
        token, sha256 = store.token(int(match[1]))
    except NotFound:
        token, sha256 = None, ""
    right = hmac.compare_digest(signing.sha256(match[2].encode()).encode(), sha256.encode())
    if token is None or not right:
        raise Unauthenticated("the token is not known")
    if token.revoked:
        raise Unauthenticated("the token was revoked")
    if token.expires < on:
        raise Unauthenticated("the token has expired")
    now = _now()
    if token.last_used is None or now - token.last_used >= _USE_IS_NOTED_EVERY:
        # A registry that can't be written to now can still be read.
        with suppress(Busy, Damaged):
            store.use_token(token.id, now)
    held = {(token.organisation, role) for role in token.roles} & store.memberships(token.person)
    return Actor(token.person, frozenset(held), f"{_BY_TOKEN}{token.id}", origin, request)


def _in_days(days: int) -> date:
    return today() + timedelta(days=min(max(days, 0), MOST_DAYS + 1))


def _token_of(store: Store, actor: Actor) -> Token | None:
    """The token by which somebody acts, if it is one."""
    if not actor.door.startswith(_BY_TOKEN):
        return None
    return store.token(int(actor.door.removeprefix(_BY_TOKEN)))[0]


def _token_problems(token: Token, store: Store, last: date) -> Iterator[Problem]:
    def problem(field: str, message: str, value: str, accepted: str) -> Problem:
        return Problem("token_is_sound", message, (), field, value, accepted)

    if not today() < token.expires <= last:
        days = (token.expires - today()).days
        yield problem("days", "durée refusée", str(days), f"de 1 à {(last - today()).days} jours")
    if not token.roles:
        yield problem("roles", "aucun rôle", "", ", ".join(ROLES))
    held = store.memberships(token.person)
    for role in token.roles:
        if (token.organisation, role) not in held:
            yield problem("roles", "la personne n'a pas ce rôle dans cet organisme", role, "un rôle de la personne")
    if token.label and (fault := text_fault(token.label, limit=100)):
        yield problem("label", fault, "", "un texte d'une ligne")
