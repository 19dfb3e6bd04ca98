"""Commands on webhooks: subscribe, list, delete; what was sent, and sending it again."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli import current, output
from registry import webhooks
from registry.signing import instant
from registry.store.webhooks import EVENT_KINDS, Delivery, EventKind, Webhook
from registry.webhooks import delivery_document, webhook_document

_NUMBER = click.argument("number", metavar="WEBHOOK", type=click.IntRange(1, 2**31 - 1))


@click.group()
def webhook() -> None:
    """Addresses to which what happens is posted, signed: releases, corrections, withdrawals, what will break."""


@webhook.command()
@click.argument("url")
@click.option("--in", "slug", metavar="N", default="", help="Only of this nomenclature.")
@click.option("--kind", "kinds", type=click.Choice(EVENT_KINDS), multiple=True, help="Only of this kind. Repeatable.")
@click.option("--organisation", metavar="O", default="", help="For which organisation, if you belong to several.")
@output.json_option
def create(url: str, slug: str, kinds: tuple[EventKind, ...], organisation: str) -> None:
    """Have what happens from now on posted to URL; the secret that signs it is shown now and never again."""
    made = webhooks.subscribe(
        current.store(),
        url,
        nomenclature=slug,
        kinds=kinds,
        organisation=organisation,
        trusted=current.settings().webhooks_hosts,
        actor=current.actor(),
    )
    output.answer({**webhook_document(made), "secret": made.secret}, [_line(made), made.secret])


@webhook.command("list")
@output.json_option
def list_webhooks() -> None:
    """List the webhooks of one's organisations, with their state."""
    found = webhooks.webhooks(current.store(), actor=current.actor())
    output.listing([webhook_document(one) for one in found], (_line(one) for one in found))


@webhook.command()
@_NUMBER
@output.json_option
def delete(number: int) -> None:
    """Forget a webhook, and whatever is on its way there."""
    webhooks.remove(current.store(), number, actor=current.actor())
    output.answer({"deleted": number}, [f"webhook {number} supprimé"])


@webhook.command()
@_NUMBER
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@output.json_option
def deliveries(number: int, limit: int) -> None:
    """List what was sent to a webhook or is to be, the last first, with each try."""
    found, _ = webhooks.deliveries(current.store(), number, limit=limit, actor=current.actor())
    output.listing([delivery_document(one) for one in found], (line for one in found for line in _lines(one)))


@webhook.command()
@_NUMBER
@click.argument("delivery", metavar="DELIVERY", type=click.IntRange(1, 2**31 - 1))
@output.json_option
def redeliver(number: int, delivery: int) -> None:
    """Send an event again under its own id; a webhook that was given up listens again."""
    found = webhooks.redeliver(current.store(), number, delivery, actor=current.actor())
    output.answer(delivery_document(found), _lines(found))


_STATES = {"active": "actif", "failing": "en échec", "disabled": "abandonné"}
_DELIVERED = {"pending": "à envoyer", "delivered": "accepté", "failed": "abandonné"}


def _line(found: Webhook) -> str:
    state = _STATES[webhook_document(found)["state"]]
    about = found.nomenclature or "toutes"
    return f"{found.id}  {found.organisation}  {about}  {','.join(found.kinds)}  {state}  {found.url}"


def _lines(found: Delivery) -> Iterator[str]:
    following = f", le {instant(found.due)}" if found.state == "pending" else ""
    yield f"{found.id}  {found.event}  {_DELIVERED[found.state]}{following}"
    for one in found.attempts:
        yield f"  {instant(one.at)}  {one.status or '-'}  {one.milliseconds} ms  {one.fault or 'accepté'}"
