"""Webhooks: what happens, posted to an address of one's own, signed, at least once."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from api import access, current
from api.caching import answer
from api.reading import PageQuery, Query, Routes, cursor, listing, next_link, position
from api.schemas import DeliverySchema, NewWebhookSchema, WebhookSchema
from api.schemas import listing as listing_schema
from registry import webhooks
from registry.delivery import URL_LENGTH
from registry.store.webhooks import EVENT_KINDS
from registry.webhooks import delivery_document, webhook_document

blueprint = Routes("webhooks", __name__, description="What happens, posted to an address of one's own")

_ADDRESS = "/webhooks/<int(max=2147483647):number>"


class _WebhookBody(Query):
    """Where to post what."""

    url = ma.fields.String(
        required=True,
        validate=ma.validate.Length(max=URL_LENGTH),
        metadata={"description": "https, and reached from the public Internet"},
    )
    nomenclature = ma.fields.String(
        load_default="",
        validate=ma.validate.Length(max=63),
        metadata={"description": "Only of this one; empty: of all"},
    )
    kinds = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf(EVENT_KINDS)),
        load_default=list,
        validate=ma.validate.Length(max=len(EVENT_KINDS)),
        metadata={"description": "Of which kinds; none named: of all"},
    )
    organisation = ma.fields.String(
        load_default="",
        validate=ma.validate.Length(max=100),
        metadata={"description": "For which organisation, if one belongs to several"},
    )


@blueprint.post("/webhooks")
@access.needs("webhook.write")
@access.once(without="secret")
@blueprint.arguments(_WebhookBody)
@blueprint.response(201, NewWebhookSchema)
def subscribe(body: dict[str, Any]) -> Response:
    """Have what happens from now on posted to an address. The secret that signs it is shown here, and never again.

    `Socle-Signature: t=…,v1=…` holds HMAC-SHA-256, in hexadecimal, of `t`, a full stop and the body.
    """
    made = webhooks.subscribe(current.store(), **body, trusted=current.settings().webhooks_hosts, actor=access.actor())
    document = {**webhook_document(made), "secret": made.secret}
    return access.done(document, 201, location=f"/api/v1/webhooks/{made.id}")


@blueprint.get("/webhooks")
@access.needs("webhook.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, listing_schema(WebhookSchema))
def listed(query: dict[str, Any]) -> Response:
    """List the webhooks of one's organisations, with their state."""
    found = webhooks.webhooks(current.store(), actor=access.actor())
    return answer(listing([webhook_document(one) for one in found], len(found), None))


@blueprint.get(_ADDRESS)
@access.needs("webhook.read")
@blueprint.arguments(Query, location="query")
@blueprint.response(200, WebhookSchema)
def shown(query: dict[str, Any], number: int) -> Response:
    """Show a webhook of one's organisations, without its secret."""
    return answer(webhook_document(webhooks.webhook(current.store(), number, actor=access.actor())))


@blueprint.delete(_ADDRESS)
@access.needs("webhook.write")
@blueprint.arguments(Query, location="query")
@blueprint.response(204)
def remove(query: dict[str, Any], number: int) -> Response:
    """Forget a webhook, and whatever is on its way there."""
    webhooks.remove(current.store(), number, actor=access.actor())
    return access.done(status=204)


@blueprint.get(f"{_ADDRESS}/deliveries")
@access.needs("webhook.read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, listing_schema(DeliverySchema))
def deliveries(query: dict[str, Any], number: int) -> Response:
    """List what was sent or is to be, the last first, with each try: its status, how long it took, why it failed."""
    before, limit = position(query, int), query["limit"]
    found, total = webhooks.deliveries(
        current.store(),
        number,
        before=None if before is None else min(max(before, 0), 2**31 - 1),
        limit=limit + 1,
        actor=access.actor(),
    )
    token = cursor(str(found[limit - 1].id)) if len(found) > limit else None
    items = [delivery_document(one) for one in found[:limit]]
    return answer(listing(items, total, token), links=next_link(token))


@blueprint.post(f"{_ADDRESS}/deliveries/<int(max=2147483647):delivery>/redeliver")
@access.needs("webhook.write")
@blueprint.arguments(Query, location="query")
@blueprint.response(202, DeliverySchema)
def redeliver(query: dict[str, Any], number: int, delivery: int) -> Response:
    """Send an event again under its own id; a webhook that was given up listens again, and gets what it missed."""
    found = webhooks.redeliver(current.store(), number, delivery, actor=access.actor())
    return access.done(delivery_document(found), 202)
