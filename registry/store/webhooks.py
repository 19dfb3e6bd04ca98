"""Webhooks, what is to be delivered to them, and what they are warned of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

import orjson
from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, or_, select, update

from registry.errors import NotFound
from registry.model import Edition
from registry.signing import instant
from registry.store import tables as t
from registry.store.releases import EDITIONS, Releases, edition_of, nomenclature_id

EventKind = Literal["release", "correction", "withdrawal", "breaking"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

ATTEMPTS_KEPT = 50
"""Of one delivery; the later ones."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that an organisation wants told what happens, of one nomenclature or (empty) of all.

    ``secret`` signs what is sent. ``failing_since`` is when it began to fail without a success since; ``disabled`` is
    when it was given up. ``position`` and ``warned`` are the log entry and the warning up to which it was told.
    """

    id: int
    organisation: str
    person: str
    nomenclature: str
    url: str
    kinds: tuple[EventKind, ...]
    secret: str
    created: datetime
    disabled: datetime | None = None
    failing_since: datetime | None = None
    slow: bool = False
    position: int = 0
    warned: int = 0


class Event(NamedTuple):
    """Something that happened: its id, which repeats when it is sent again, and what is sent, as it will be signed."""

    id: str
    kind: EventKind
    nomenclature: str
    at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver: what came back (0: nothing did), how long it took, and why it failed (empty: it did not)."""

    at: datetime
    status: int
    milliseconds: int
    fault: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a webhook: tried until it is taken, or until ``until``; next when it is ``due``."""

    id: int
    webhook: int
    event: str
    kind: EventKind
    body: str
    created: datetime
    until: datetime
    state: Literal["pending", "delivered", "failed"]
    due: datetime
    attempts: tuple[Attempt, ...]


class News(NamedTuple):
    """An entry of the log that webhooks are told of: a release, or (``withdrawn``) that it was withdrawn."""

    seq: int
    edition: Edition
    withdrawn: bool


class Warned(NamedTuple):
    """A warning that something will break: its number, of which nomenclature, since when it is known, what it says."""

    id: int
    nomenclature: str
    at: datetime
    document: dict[str, Any]


_WEBHOOKS = (
    select(
        t.webhook,
        t.organisation.c.slug.label("organisation"),
        func.coalesce(t.nomenclature.c.slug, "").label("nomenclature"),
    )
    .select_from(t.webhook)
    .join(t.organisation, t.organisation.c.id == t.webhook.c.organisation_id)
    .outerjoin(t.nomenclature, t.nomenclature.c.id == t.webhook.c.nomenclature_id)
    .order_by(t.webhook.c.id)
)
_HEAD = select(func.coalesce(func.max(t.log.c.seq), 0)).scalar_subquery()
_LAST_WARNING = select(func.coalesce(func.max(t.warning.c.id), 0)).scalar_subquery()
_LISTENS = t.webhook.c.disabled == ""


class Webhooks(Releases):
    """What the store says of webhooks and deliveries."""

    def add_webhook(self, webhook: Webhook) -> int:
        """Keep a new webhook, which is told what comes from now on; return its number.

        :raises NotFound: if there is no such organisation or nomenclature.
        """
        with self.database.writing() as connection:
            owner = connection.scalar(select(t.organisation.c.id).where(t.organisation.c.slug == webhook.organisation))
            if owner is None:
                raise NotFound("organisation", webhook.organisation)
            scheme = nomenclature_id(connection, webhook.nomenclature) if webhook.nomenclature else None
            if webhook.nomenclature and scheme is None:
                raise NotFound("nomenclature", webhook.nomenclature)
            number: int = connection.execute(
                insert(t.webhook)
                .values(
                    organisation_id=owner,
                    person_id=webhook.person,
                    nomenclature_id=scheme,
                    url=webhook.url,
                    kinds=orjson.dumps(webhook.kinds).decode(),
                    secret=webhook.secret,
                    created=instant(webhook.created),
                    disabled="",
                    failing_since="",
                    slow=0,
                    position=_HEAD,
                    warned=_LAST_WARNING,
                )
                .returning(t.webhook.c.id)
            ).scalar_one()
            return number

    def webhooks(self, organisations: Sequence[str]) -> list[Webhook]:
        """The webhooks of some organisations, by number."""
        with self.database.reading() as connection:
            rows = connection.execute(_WEBHOOKS.where(t.organisation.c.slug.in_(list(organisations))))
            return [_webhook(row) for row in rows]

    def webhook(self, number: int) -> Webhook:
        """A webhook by its number.

        :raises NotFound: if there is none.
        """
        with self.database.reading() as connection:
            row = connection.execute(_WEBHOOKS.where(t.webhook.c.id == number)).one_or_none()
        if row is None:
            raise NotFound("webhook", str(number))
        return _webhook(row)

    def remove_webhook(self, number: int) -> None:
        """Forget a webhook, with all that was on its way there."""
        with self.database.writing() as connection:
            connection.execute(delete(t.webhook).where(t.webhook.c.id == number))

    def deliveries(self, webhook: int, *, before: int | None = None, limit: int = 100) -> tuple[list[Delivery], int]:
        """What was sent to a webhook or is to be, the last first, those before ``before``, and how many there are."""
        query = select(t.delivery).where(t.delivery.c.webhook_id == webhook)
        with self.database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            page = query if before is None else query.where(t.delivery.c.id < before)
            rows = connection.execute(page.order_by(t.delivery.c.id.desc()).limit(limit))
            return [_delivery(row) for row in rows], total

    def delivery(self, webhook: int, number: int) -> Delivery:
        """One delivery to a webhook.

        :raises NotFound: if there is none of that number.
        """
        with self.database.reading() as connection:
            mine = t.delivery.c.id == number, t.delivery.c.webhook_id == webhook
            row = connection.execute(select(t.delivery).where(*mine)).one_or_none()
        if row is None:
            raise NotFound("delivery", str(number))
        return _delivery(row)

    def deliver_again(self, webhook: int, number: int, now: datetime, until: datetime) -> None:
        """Have a delivery sent again from now on; its webhook listens again if it was given up."""
        with self.database.writing() as connection:
            again = {"state": "pending", "due": _exact(now), "until": _exact(until)}
            connection.execute(update(t.delivery).where(t.delivery.c.id == number).values(again))
            awake = {"disabled": "", "failing_since": ""}
            connection.execute(update(t.webhook).where(t.webhook.c.id == webhook).values(awake))

    # --- What there is to tell --------------------------------------------------------------------------------------

    def listening(self) -> list[Webhook]:
        """Webhooks that have not been told all there is yet."""
        behind = or_(t.webhook.c.position < _HEAD, t.webhook.c.warned < _LAST_WARNING)
        with self.database.reading() as connection:
            return [_webhook(row) for row in connection.execute(_WEBHOOKS.where(_LISTENS, behind))]

    def news(self, after: int, limit: int) -> list[News]:
        """Releases and withdrawals after an entry of the log, in its order."""
        released = EDITIONS.where(t.release.c.seq > after).order_by(t.release.c.seq).limit(limit)
        withdrawn = (
            EDITIONS.add_columns(t.withdrawal.c.seq.label("told_by"))
            .where(t.withdrawal.c.seq > after)
            .order_by(t.withdrawal.c.seq)
            .limit(limit)
        )
        with self.database.reading() as connection:
            found = [News(row.seq, edition_of(row), False) for row in connection.execute(released)]
            found += [News(row.told_by, edition_of(row), True) for row in connection.execute(withdrawn)]
        return sorted(found, key=lambda one: one.seq)[:limit]

    def queue(
        self, before: Webhook, *, position: int, warned: int, events: Sequence[Event], now: datetime, until: datetime
    ) -> int:
        """Put events on their way to a webhook, and note up to where it was told; return how many these were.

        Nothing is done where another process has told it meanwhile.
        """
        with self.database.writing() as connection:
            moved = connection.execute(
                update(t.webhook)
                .where(
                    t.webhook.c.id == before.id,
                    _LISTENS,
                    t.webhook.c.position == before.position,
                    t.webhook.c.warned == before.warned,
                )
                .values(position=position, warned=warned)
            )
            if not moved.rowcount or not events:
                return 0
            rows = [
                {
                    "webhook_id": before.id,
                    "event": event.id,
                    "kind": event.kind,
                    "body": event.body,
                    "created": _exact(now),
                    "until": _exact(until),
                    "state": "pending",
                    "due": _exact(now),
                    "attempts": "[]",
                }
                for event in events
            ]
            connection.execute(insert(t.delivery), rows)
            return len(rows)

    # --- Sending ----------------------------------------------------------------------------------------------------

    def take_due(
        self, now: datetime, *, lease: timedelta, slow: bool, but: Collection[int], limit: int
    ) -> list[tuple[Webhook, Delivery]]:
        """Deliveries that are due, one a webhook, of those that answer well or (``slow``) of those that do not.

        ``but`` are webhooks to which something is being sent already.
        They are due again when the lease is over: what was taken and came to nothing is sent again.
        """
        due: ColumnElement[bool] = and_(t.delivery.c.state == "pending", t.delivery.c.due <= _exact(now))
        next_ones = (
            select(func.min(t.delivery.c.id))
            .join(t.webhook, t.webhook.c.id == t.delivery.c.webhook_id)
            .where(due, _LISTENS, t.webhook.c.slow == int(slow), t.webhook.c.id.not_in(list(but)))
            .group_by(t.delivery.c.webhook_id)
            .order_by(func.min(t.delivery.c.due))
            .limit(limit)
        )
        with self.database.reading() as connection:
            # Most looks find nothing, and do not keep others from writing.
            if connection.execute(next_ones).first() is None:
                return []
        with self.database.writing() as connection:
            numbers = list(connection.execute(next_ones).scalars())
            taken = update(t.delivery).where(t.delivery.c.id.in_(numbers))
            connection.execute(taken.values(due=_exact(now + lease)))
            rows = connection.execute(select(t.delivery).where(t.delivery.c.id.in_(numbers)).order_by(t.delivery.c.id))
            found = [_delivery(row) for row in rows]
            owners = _WEBHOOKS.where(t.webhook.c.id.in_([one.webhook for one in found]))
            webhooks = {row.id: _webhook(row) for row in connection.execute(owners)}
            return [(webhooks[one.webhook], one) for one in found]

    def put_attempt(
        self, delivery: Delivery, attempt: Attempt, *, state: str, due: datetime, webhook: Mapping[str, Any]
    ) -> None:
        """Write down one try, what becomes of the delivery, and what changes of its webhook."""
        with self.database.writing() as connection:
            row = connection.execute(select(t.delivery.c.attempts).where(t.delivery.c.id == delivery.id)).one_or_none()
            if row is None:
                return  # The webhook was removed meanwhile.
            tried = {
                "at": _exact(attempt.at),
                "status": attempt.status,
                "milliseconds": attempt.milliseconds,
                "fault": attempt.fault,
            }
            attempts = [*orjson.loads(row.attempts), tried][-ATTEMPTS_KEPT:]
            values = {"attempts": orjson.dumps(attempts).decode(), "state": state, "due": _exact(due)}
            connection.execute(update(t.delivery).where(t.delivery.c.id == delivery.id).values(values))
            changes = {name: _exact(value) if isinstance(value, datetime) else value for name, value in webhook.items()}
            if changes:
                connection.execute(update(t.webhook).where(t.webhook.c.id == delivery.webhook).values(changes))

    def give_up(self, webhook: int, now: datetime) -> bool:
        """Send nothing more to a webhook, for now; return whether it still listened."""
        with self.database.writing() as connection:
            still = t.webhook.c.id == webhook, _LISTENS
            done = connection.execute(update(t.webhook).where(*still).values(disabled=_exact(now)))
            waiting = t.delivery.c.webhook_id == webhook, t.delivery.c.state == "pending"
            connection.execute(update(t.delivery).where(*waiting).values(state="failed"))
            return done.rowcount == 1

    def forget_deliveries(self, before: datetime) -> None:
        """Forget deliveries that are over, and were made before an instant."""
        over = t.delivery.c.state != "pending", t.delivery.c.created < _exact(before)
        with self.database.reading() as connection:
            if connection.execute(select(t.delivery.c.id).where(*over).limit(1)).first() is None:
                return
        with self.database.writing() as connection:
            connection.execute(delete(t.delivery).where(*over))

    # --- Warnings ---------------------------------------------------------------------------------------------------

    def is_known(self, key: str) -> bool:
        """Whether what this key names was looked at already, whether or not it breaks anything."""
        with self.database.reading() as connection:
            return connection.execute(select(t.warning.c.id).where(t.warning.c.key == key)).first() is not None

    def add_warning(self, key: str, slug: str, at: datetime, codes: int, document: Mapping[str, Any]) -> bool:
        """Keep what will break, and since when that was known; return False where another process was first."""
        with self.database.writing() as connection:
            if self.is_known(key):
                return False
            values = {
                "key": key,
                "nomenclature_id": nomenclature_id(connection, slug),
                "at": _exact(at),
                "codes": codes,
                "document": orjson.dumps(document).decode(),
            }
            connection.execute(insert(t.warning).values(values))
            return True

    def warnings(self, after: int) -> list[Warned]:
        """Warnings of something that breaks, after one of them, in order."""
        query = (
            select(t.warning, t.nomenclature.c.slug)
            .join(t.nomenclature, t.nomenclature.c.id == t.warning.c.nomenclature_id)
            .where(t.warning.c.id > after, t.warning.c.codes > 0)
            .order_by(t.warning.c.id)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query)
            return [Warned(row.id, row.slug, _instant(row.at), orjson.loads(row.document)) for row in rows]

    def last_warning(self) -> int:
        """The number of the last warning, 0 if there is none."""
        with self.database.reading() as connection:
            return int(connection.execute(select(_LAST_WARNING)).scalar_one())

    def recent_releases(self, since: datetime) -> list[tuple[Edition, str]]:
        """Releases issued since an instant and not withdrawn, each with the submission of the draft that it was."""
        submission = func.coalesce(
            select(t.draft.c.submission).where(t.draft.c.release_id == t.release.c.id).limit(1).scalar_subquery(), ""
        ).label("submission")
        query = EDITIONS.add_columns(submission).where(
            t.release.c.issued >= instant(since), t.withdrawal.c.release_id.is_(None)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(t.release.c.seq))
            return [(edition_of(row), row.submission) for row in rows]

    def wants_warnings(self, slug: str) -> bool:
        """Whether a webhook listens to what breaks in a nomenclature."""
        about = or_(t.nomenclature.c.slug.is_(None), t.nomenclature.c.slug == slug)
        query = _WEBHOOKS.where(_LISTENS, about, t.webhook.c.kinds.contains('"breaking"', autoescape=True))
        with self.database.reading() as connection:
            return connection.execute(query.limit(1)).first() is not None


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id,
        row.organisation,
        row.person_id,
        row.nomenclature,
        row.url,
        tuple(orjson.loads(row.kinds)),
        row.secret,
        _instant(row.created),
        _instant(row.disabled) if row.disabled else None,
        _instant(row.failing_since) if row.failing_since else None,
        bool(row.slow),
        row.position,
        row.warned,
    )


def _delivery(row: Row[Any]) -> Delivery:
    attempts = (
        Attempt(_instant(one["at"]), one["status"], one["milliseconds"], one["fault"])
        for one in orjson.loads(row.attempts)
    )
    return Delivery(
        row.id,
        row.webhook_id,
        row.event,
        row.kind,
        row.body,
        _instant(row.created),
        _instant(row.until),
        row.state,
        _instant(row.due),
        tuple(attempts),
    )


def _exact(at: datetime) -> str:
    """An instant to the millisecond, so that texts compare as instants do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
