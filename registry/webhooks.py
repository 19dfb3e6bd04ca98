"""Webhooks: an organisation names an address, and what happens is posted there, signed, at least once.

What there is to tell follows from the release log and from warnings of what will break, both committed: a webhook knows
up to which entry it was told. ``socle work`` puts what is new on its way, one transaction a webhook, then sends what is
due. Whatever is interrupted is sent again, so that receivers tell repetitions by the event's id.

**Signature.** ``Socle-Signature: t=<seconds since 1970>,v1=<hex>``, where ``hex`` is HMAC-SHA-256, with the webhook's
secret as key, of those seconds as text, a full stop, and the body as it came.

**Order and time.** A delivery that fails is tried again after a minute, then after as long again as it has waited, four
hours at most, for a day. A webhook that has failed for a day without one success is given up, and its owner told. Those
that answer slowly or not at all are sent to by threads of their own, so that they keep nobody waiting but each other.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from registry import consumers, delivery
from registry.access import ROLES, Actor, acting, refusing
from registry.errors import Busy, Damaged, Forbidden, NotFound, Problem
from registry.rules import refuse
from registry.settings import Settings
from registry.signing import instant
from registry.store import Store
from registry.store.webhooks import EVENT_KINDS, Attempt, Delivery, Event, EventKind, News, Warned, Webhook

MOST_OF_ONE = 20
"""How many webhooks an organisation may have."""

DAY = timedelta(hours=24)
"""How long a delivery is tried again, and how long a webhook may fail."""

KEPT = timedelta(days=30)
"""How long what was delivered, or given up, is still listed."""

_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(hours=4)
_LEASE = timedelta(minutes=2)
_SLOW = 2.0
"""Seconds; whoever takes longer is sent to among the slow ones."""

_THREADS = {False: 6, True: 4}
"""How many are sent to at once, of those that answer well and of those that do not."""

_AT_ONCE = 200
"""How many entries of the log are told in one turn."""

_READ, _WRITE = "webhook.read", "webhook.write"


# --- Subscribing ---------------------------------------------------------------------------------------------------


def subscribe(
    store: Store,
    url: str,
    *,
    nomenclature: str = "",
    kinds: Sequence[EventKind] = (),
    organisation: str = "",
    trusted: Collection[str] = (),
    actor: Actor,
) -> Webhook:
    """Have what happens from now on posted to an address; the secret that signs it is in the answer, and never again.

    Without ``nomenclature`` it is told of all of them, without ``kinds`` of everything. ``organisation`` may be left
    out by whoever belongs to one only. ``trusted`` are hosts that may be internal, and reached by plain HTTP.

    :raises Forbidden: if the actor does not belong to the organisation.
    :raises NotFound: if there is no such nomenclature.
    :raises Invalid: if the address is refused, the organisation has too many, or it is not clear which one it is for.
    """
    mine = actor.organisations(*ROLES)
    owner = organisation or (mine[0] if len(mine) == 1 else "")
    with acting(store, actor, _WRITE, "webhook", organisation=owner if owner in mine else "") as act:
        if (owner and owner not in mine) or not mine:
            raise Forbidden(_WRITE, (), owner)
        refuse(_problems(store, url, owner, mine, trusted))
        made = Webhook(
            0,
            owner,
            actor.person,
            nomenclature,
            url,
            tuple(kind for kind in EVENT_KINDS if kind in kinds) or EVENT_KINDS,
            f"whsec_{secrets.token_urlsafe(32)}",
            _now(),
        )
        made = replace(made, id=store.add_webhook(made))
        # The address may hold what only its owner should know: the journal does not repeat it.
        act.object, act.after = f"webhook {made.id}", " ".join([nomenclature or "all", *made.kinds])
    return made


def _problems(store: Store, url: str, owner: str, mine: Sequence[str], trusted: Collection[str]) -> Iterator[Problem]:
    def problem(field: str, message: str, accepted: str) -> Problem:
        return Problem("webhook_is_sound", message, (), field, "", accepted)

    if fault := delivery.url_fault(url, trusted):
        yield problem("url", fault, "https://…, une adresse joignable depuis l'internet")
    if not owner:
        yield problem("organisation", "pour quel organisme ?", ", ".join(mine))
    elif len(store.webhooks([owner])) >= MOST_OF_ONE:
        yield problem("organisation", "trop de webhooks", f"{MOST_OF_ONE} au plus")


def webhooks(store: Store, *, actor: Actor) -> list[Webhook]:
    """The webhooks of the actor's organisations.

    :raises Unauthenticated: if nobody is known.
    """
    with refusing(store, actor, _READ, "webhooks"):
        return store.webhooks(actor.organisations(*ROLES))


def webhook(store: Store, number: int, *, actor: Actor) -> Webhook:
    """One webhook of the actor's organisations.

    :raises NotFound: if there is none, or it is another organisation's.
    """
    with refusing(store, actor, _READ, f"webhook {number}"):
        return _own(store, number, actor)


def _own(store: Store, number: int, actor: Actor) -> Webhook:
    found = store.webhook(number)
    if found.organisation not in actor.organisations(*ROLES):
        raise NotFound("webhook", str(number))
    return found


def remove(store: Store, number: int, *, actor: Actor) -> None:
    """Forget a webhook, and whatever is on its way there.

    :raises NotFound: if there is none, or it is another organisation's.
    """
    with acting(store, actor, _WRITE, f"webhook {number}") as act:
        found = _own(store, number, actor)
        store.remove_webhook(found.id)
        act.after = "removed"


def deliveries(
    store: Store, number: int, *, before: int | None = None, limit: int = 100, actor: Actor
) -> tuple[list[Delivery], int]:
    """What was sent to a webhook or is to be, the last first, and how many there are.

    :raises NotFound: if there is no such webhook, or it is another organisation's.
    """
    return store.deliveries(webhook(store, number, actor=actor).id, before=before, limit=limit)


def redeliver(store: Store, number: int, delivery_number: int, *, actor: Actor) -> Delivery:
    """Send an event again, under its own id; a webhook that was given up listens again, from where it was.

    :raises NotFound: if there is no such webhook or delivery, or it is another organisation's.
    """
    with acting(store, actor, _WRITE, f"webhook {number}") as act:
        found = _own(store, number, actor)
        again = store.delivery(found.id, delivery_number)
        now = _now()
        store.deliver_again(found.id, again.id, now, now + DAY)
        act.after = f"delivery {again.id} again"
        return store.delivery(found.id, again.id)


# --- What there is to tell -----------------------------------------------------------------------------------------


def tell(store: Store, address: str, now: datetime | None = None) -> int:
    """Put what was committed since on its way to whoever asked for it; return how many deliveries that makes.

    ``address`` is where the registry is reached.
    """
    now = now or _now()
    try:
        consumers.warn(store, now)
    finally:
        # A draft that can't be read keeps nobody from being told of what was published.
        count = _told(store, address, now)
    return count


def _told(store: Store, address: str, now: datetime) -> int:
    store.forget_deliveries(now - KEPT)
    behind = store.listening()
    if not behind:
        return 0
    head, last = store.head(), store.last_warning()
    news = store.news(min(one.position for one in behind), _AT_ONCE)
    # Where there is more than one turn tells, a webhook was told up to the last entry that this one does.
    position = news[-1].seq if len(news) == _AT_ONCE else head
    log = [(item.seq, _event(store, item, address)) for item in news if item.seq <= position]
    warnings = [
        (item.id, _warning(item, address))
        for item in store.warnings(min(one.warned for one in behind))
        if item.id <= last
    ]
    count = 0
    for one in behind:
        events = [event for seq, event in log if seq > one.position]
        events += [event for number, event in warnings if number > one.warned and event.at >= one.created]
        wanted = [event for event in events if event.kind in one.kinds and one.nomenclature in ("", event.nomenclature)]
        reached = max(position, one.position)
        count += store.queue(one, position=reached, warned=last, events=wanted, now=now, until=now + DAY)
    return count


def _event(store: Store, news: News, address: str) -> Event:
    edition = news.edition
    kind: EventKind = "withdrawal" if news.withdrawn else "correction" if edition.corrects else "release"
    at = edition.withdrawn_at if news.withdrawn and edition.withdrawn_at else edition.issued
    document: dict[str, Any] = {
        "id": f"{kind}-{news.seq}",
        "kind": kind,
        "registry": address,
        "nomenclature": edition.nomenclature,
        "release": edition.version,
        "seq": news.seq,
        "at": instant(at),
        "validFrom": edition.valid_from.isoformat(),
        "corrects": edition.corrects or None,
        "address": _release_address(address, edition.nomenclature, edition.version),
    }
    if news.withdrawn:
        document["why"] = edition.withdrawn_why
    elif edition.predecessor:
        changes = store.difference(edition.nomenclature, edition.predecessor, edition.version).changes
        breaking = sum(change.compatibility == "breaking" for change in changes)
        document["changes"] = {"total": len(changes), "breaking": breaking}
    else:
        document["changes"] = {"total": edition.concepts, "breaking": 0}
    return Event(document["id"], kind, edition.nomenclature, at, orjson.dumps(document).decode())


def _warning(warned: Warned, address: str) -> Event:
    said = warned.document
    published = said["stage"] == "published"
    document = {
        "id": f"breaking-{warned.id}",
        "kind": "breaking",
        "registry": address,
        "nomenclature": warned.nomenclature,
        "at": instant(warned.at),
        **said,
        "address": _release_address(address, warned.nomenclature, said["release"]) if published else None,
    }
    return Event(document["id"], "breaking", warned.nomenclature, warned.at, orjson.dumps(document).decode())


def _release_address(address: str, slug: str, version: str) -> str:
    return f"{address}api/v1/nomenclatures/{slug}/releases/{version}"


# --- Sending -------------------------------------------------------------------------------------------------------


def signature(secret: str, seconds: int, body: bytes) -> str:
    """What ``Socle-Signature`` says of a body that is sent at that second."""
    found = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={found.hexdigest()}"


def send_due(store: Store, trusted: Collection[str], *, slow: bool, now: datetime | None = None) -> int:
    """Send what is due, to those that answer well or to the slow ones; return how many deliveries were tried.

    :raises Busy: if the database can't be reached.
    """
    count, going = 0, dict[Future[None], int]()
    with ThreadPoolExecutor(_THREADS[slow]) as threads:
        while True:
            # No more is taken than begins at once: whoever waits for a thread would wait with its lease running.
            free = _THREADS[slow] - len(going)
            for to, what in store.take_due(now or _now(), lease=_LEASE, slow=slow, but=going.values(), limit=free):
                going[threads.submit(_sent, store, to, what, trusted, now)] = to.id
                count += 1
            if not going:
                return count
            for done in wait(going, return_when=FIRST_COMPLETED).done:
                del going[done]
                done.result()


def _sent(store: Store, to: Webhook, what: Delivery, trusted: Collection[str], now: datetime | None) -> None:
    began, started = now or _now(), time.monotonic()
    body = what.body.encode()
    headers = {"Socle-Event": what.event, "Socle-Signature": signature(to.secret, int(began.timestamp()), body)}
    answer = delivery.post(to.url, headers, body, trusted=trusted)
    took = time.monotonic() - started
    attempt = Attempt(began, answer.status, int(took * 1000), answer.fault)
    if not answer.fault:
        well = {"failing_since": "", "slow": int(took > _SLOW)}
        store.put_attempt(what, attempt, state="delivered", due=began, webhook=well)
        return
    since = to.failing_since or began
    ill = {"failing_since": since, "slow": 1}
    if began >= what.until:
        store.put_attempt(what, attempt, state="failed", due=what.until, webhook=ill)
    else:
        waited = min(max(began - (what.until - DAY), _SHORTEST), _LONGEST)
        due = min(began + waited, what.until)
        store.put_attempt(what, attempt, state="pending", due=due, webhook=ill)
    if began - since >= DAY:
        _give_up(store, to, began)


def _give_up(store: Store, to: Webhook, now: datetime) -> None:
    """Send nothing more to a webhook that failed for a day, and say so to whoever made it, or to their organisation."""
    with store.at_once():
        if not store.give_up(to.id, now):
            return
        there = {person for person, _ in store.members(to.organisation)}
        text = (
            f"Le webhook {to.id} de {to.organisation} n'a rien accepté depuis un jour : plus rien ne lui est envoyé. "
            "Demandez une nouvelle livraison pour le remettre en service ; il recevra ce qu'il a manqué."
        )
        for person in sorted({to.person} & there or there):
            store.add_notice(person, f"webhook {to.id}", text)
        store.add_journal_entry(
            "action", Actor(door="work"), "webhook.disable", f"webhook {to.id}", organisation=to.organisation
        )


class Sending:
    """Deliveries beside other work: ``go`` begins what is not going on still, and does not wait for it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._threads: dict[bool, threading.Thread] = {}

    def go(self) -> None:
        """Put what is new on its way, and send what is due in threads of its own.

        :raises Busy: if the database can't be reached.
        """
        try:
            tell(self._store, self._settings.address)
        finally:
            for slow in (False, True):
                thread = self._threads.get(slow)
                if thread is None or not thread.is_alive():
                    self._threads[slow] = threading.Thread(target=self._send, args=(slow,), daemon=True)
                    self._threads[slow].start()

    def _send(self, slow: bool) -> None:
        try:
            send_due(self._store, self._settings.webhooks_hosts, slow=slow)
        except (Busy, Damaged):
            # What was taken is due again when its lease is over.
            return


def deliver(store: Store, settings: Settings, now: datetime | None = None) -> int:
    """Tell and send whatever is due now, and wait for it; return how many deliveries were tried."""
    tell(store, settings.address, now)
    return sum(send_due(store, settings.webhooks_hosts, slow=slow, now=now) for slow in (False, True))


# --- As JSON -------------------------------------------------------------------------------------------------------


def webhook_document(found: Webhook) -> dict[str, Any]:
    """A webhook as JSON, without its secret."""
    state = "disabled" if found.disabled else "failing" if found.failing_since else "active"
    return {
        "id": found.id,
        "organisation": found.organisation,
        "nomenclature": found.nomenclature or None,
        "url": found.url,
        "kinds": list(found.kinds),
        "created": instant(found.created),
        "state": state,
        "failingSince": instant(found.failing_since) if found.failing_since else None,
        "disabled": instant(found.disabled) if found.disabled else None,
    }


def delivery_document(found: Delivery) -> dict[str, Any]:
    """A delivery as JSON, with each try."""
    return {
        "id": found.id,
        "event": found.event,
        "kind": found.kind,
        "created": instant(found.created),
        "state": found.state,
        "next": instant(found.due) if found.state == "pending" else None,
        "attempts": [
            {
                "at": instant(one.at),
                "status": one.status or None,
                "milliseconds": one.milliseconds,
                "fault": one.fault or None,
            }
            for one in found.attempts
        ],
    }


def _now() -> datetime:
    return datetime.now(UTC)
