"""Who may do what: persons act for organisations, in roles; whatever they do is written down in the journal.

A person is an opaque id everywhere but in one table of names, which can be erased (GDPR, article 17). What a person may
do follows from memberships: an organisation and a role in it. A token carries some of its owner's memberships, never
more. Every write goes through ``acting``: it refuses, or it does the work and the journal's entry in one transaction.

**The journal** is a second chain beside the release log, for administrators. An entry is canonical JSON (RFC 8785):
``{"type": "action" | "refusal", "seq", "at", "previous", "person", "door", "operation", "object", "organisation",
"before", "after", "origin", "request"}``; ``previous`` is the SHA-256 of the entry before (64 zeros for the first).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from registry.errors import Forbidden, Unauthenticated

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
    "person.write": ("administrator",),
    "token.create": ROLES,
    "token.revoke": ROLES,
    "key.write": ("administrator",),
    "journal.read": ("administrator",),
}
"""Every operation that is not open reading, and the roles of which one is needed (none named: anybody may)."""

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

    :raises Unauthenticated, Forbidden: if the actor may not; the refusal is in the journal.
    """
    try:
        allow(actor, operation, organisation=organisation)
    except (Unauthenticated, Forbidden):
        refuse(store, actor, operation, object, organisation=organisation)
        raise
    act = Act(object)
    with store.at_once():
        yield act
        store.add_journal_entry(
            "action", actor, operation, act.object, organisation=organisation, before=act.before, after=act.after
        )


def refuse(store: Store, actor: Actor, operation: str, object: str, *, organisation: str = "") -> None:
    """Write down that somebody was refused something; anonymous visitors leave no entry, they are too many."""
    if actor.person:
        store.add_journal_entry("refusal", actor, operation, object, organisation=organisation)
