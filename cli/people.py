"""Commands on organisations, people, tokens, and the journal of what they did."""

from __future__ import annotations

import json
from typing import Any

import click

from cli import current, output
from registry import access, sessions
from registry.access import KINDS, MOST_DAYS, ROLES, Role
from registry.crosswalks import AS_KIND, COLLEGES, Organisation
from registry.formats.document import notice_document, organisation_document, token_document
from registry.signing import instant

_ROLE = click.Choice(ROLES)
_FIELDS = (
    click.option("--insee", metavar="CODE", help="INSEE code of the département or commune."),
    click.option("--siret", metavar="NUMBER", help="Its SIRET, fourteen digits."),
    click.option("--college", type=click.Choice([*filter(None, COLLEGES), "none"]), help="Where its vote counts."),
)


def _fields(command: Any) -> Any:
    for option in reversed(_FIELDS):
        command = option(command)
    return command


@click.group()
def organisation() -> None:
    """Organisations, and who belongs to them: départements, State bodies, CCAS, vendors, the committee."""


@organisation.command()
@click.argument("slug", metavar="O")
@click.option("--name", required=True, help="What it is called.")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What it is.")
@_fields
@output.json_option
def create(slug: str, name: str, kind: str, **given: str | None) -> None:
    """Make an organisation known; its college is that of its kind unless --college says another."""
    made = Organisation(slug, name, kind, **{"college": AS_KIND, **_changes(given)})  # type: ignore[arg-type]  # All given are texts.
    access.create_organisation(current.store(), made, actor=current.actor())
    output.answer(organisation_document(made), [f"organisme {slug} créé : {name}"])


@organisation.command()
@click.argument("slug", metavar="O")
@click.option("--name", help="What it is called.")
@click.option("--kind", type=click.Choice(KINDS), help="What it is.")
@_fields
@output.json_option
def update(slug: str, **given: str | None) -> None:
    """Change what is known of an organisation; its slug stays."""
    found = access.change_organisation(current.store(), slug, _changes(given), actor=current.actor())
    output.answer(organisation_document(found), [f"organisme {slug} modifié"])


def _changes(given: dict[str, str | None]) -> dict[str, str]:
    changes = {name: value for name, value in given.items() if value is not None}
    return changes | ({"college": ""} if changes.get("college") == "none" else {})


@organisation.command("list")
@output.json_option
def list_organisations() -> None:
    """List the organisations."""
    found = current.store().organisations()
    rows = ((one.slug, one.kind, one.college or "-", one.insee or "-", one.siret or "-", one.name) for one in found)
    output.listing([organisation_document(one) for one in found], output.table(rows))


@organisation.command()
@click.argument("slug", metavar="O")
@click.argument("person")
@click.option("--role", "roles", type=_ROLE, multiple=True, required=True, help="In which role. Repeatable.")
def join(slug: str, person: str, roles: tuple[Role, ...]) -> None:
    """Give a PERSON roles in the organisation O."""
    registry, actor = current.store(), current.actor()
    found = registry.person(person)
    with registry.at_once():
        for role in roles:
            access.join(registry, found.id, slug, role, actor=actor)
    click.echo(f"{found.id} : {', '.join(roles)} de {slug}")


@organisation.command()
@click.argument("slug", metavar="O")
@click.argument("person")
@click.option("--role", "roles", type=_ROLE, multiple=True, required=True, help="Which role. Repeatable.")
def leave(slug: str, person: str, roles: tuple[Role, ...]) -> None:
    """Take roles in the organisation O from a PERSON; their tokens lose them at once."""
    registry, actor = current.store(), current.actor()
    found = registry.person(person)
    with registry.at_once():
        for role in roles:
            access.leave(registry, found.id, slug, role, actor=actor)
    click.echo(f"{found.id} : plus {', '.join(roles)} de {slug}")


@click.group()
def person() -> None:
    """People, known everywhere by an opaque id; their names are kept in one place and can be erased."""


@person.command("create")
@click.argument("name")
@click.option("--email", metavar="ADDRESS", default="", help="By which they can be named, and told things.")
@output.json_option
def create_person(name: str, email: str) -> None:
    """Make a person known; give them roles by `organisation join`."""
    made = access.create_person(current.store(), name, email, actor=current.actor())
    output.answer({"id": made.id, "created": instant(made.created)}, [made.id])


@person.command("list")
@output.json_option
def list_people() -> None:
    """List everybody, with their roles; only administrators may."""
    registry = current.store()
    found = access.people(registry, actor=current.actor())
    items: list[dict[str, Any]] = [
        {
            "id": one.id,
            "name": one.name,
            "email": one.email,
            "erased": instant(one.erased) if one.erased else None,
            "memberships": [
                {"organisation": slug, "role": role} for slug, role in sorted(registry.memberships(one.id))
            ],
        }
        for one in found
    ]
    rows = (
        (
            one["id"],
            one["name"] or "(effacé)",
            one["email"] or "-",
            " ".join(f"{held['organisation']}:{held['role']}" for held in one["memberships"]) or "-",
        )
        for one in items
    )
    output.listing(items, output.table(rows))


@person.command()
@click.argument("person")
def erase(person: str) -> None:
    """Erase a PERSON (GDPR, article 17): name, address, roles, sessions and tokens; the id stays in what they did."""
    registry = current.store()
    found = registry.person(person)
    access.erase(registry, found.id, actor=current.actor())
    click.echo(f"{found.id} effacé")


@click.command(name="sign-in")
@click.argument("person")
@output.json_option
def sign_in(person: str) -> None:
    """Print a link by which a PERSON signs in on the pages: once, within a quarter of an hour."""
    registry = current.store()
    secret = sessions.create_sign_in_link(registry, registry.person(person).id, actor=current.actor())
    address = f"{current.settings().address}connexion?jeton={secret}"
    output.answer({"link": address}, [address])


@click.group()
def token() -> None:
    """Tokens, by which programs act for a person in some of their roles."""


@token.command("create")
@click.argument("person")
@click.option("--organisation", metavar="O", required=True, help="In which organisation.")
@click.option("--role", "roles", type=_ROLE, multiple=True, required=True, help="In which role. Repeatable.")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="For how long; 90 unless given.")
@click.option("--label", default="", help="What it is for.")
@output.json_option
def create_token(person: str, organisation: str, roles: tuple[Role, ...], days: int | None, label: str) -> None:
    """Make a token for a PERSON, who has these roles: it is shown now and never again."""
    registry = current.store()
    found = registry.person(person)
    made, text = access.create_token(
        registry, found.id, organisation, roles, days=days, label=label, actor=current.actor()
    )
    output.answer({**token_document(made), "token": text}, [text])


@token.command("list")
@click.argument("person", required=False)
@output.json_option
def list_tokens(person: str | None) -> None:
    """List tokens, never their secrets, with the last use of each: one's own, or a PERSON's."""
    registry, actor = current.store(), current.actor()
    whose = registry.person(person).id if person else actor.person
    found = access.tokens(registry, whose, actor=actor)
    rows = (
        (
            one.id,
            one.organisation,
            ",".join(one.roles),
            f"révoqué {instant(one.revoked)}" if one.revoked else f"jusqu'au {one.expires}",
            f"utilisé {instant(one.last_used)}" if one.last_used else "jamais utilisé",
            one.label,
        )
        for one in found
    )
    output.listing([token_document(one) for one in found], output.table(rows))


@token.command()
@click.argument("number", metavar="TOKEN", type=click.IntRange(1, 2**31 - 1))
def revoke(number: int) -> None:
    """End a token at once: one's own, or as an administrator anybody's."""
    access.revoke_token(current.store(), number, actor=current.actor())
    click.echo(f"jeton {number} révoqué")


@click.command()
@click.option("--seen", is_flag=True, help="Do not tell them again.")
@output.json_option
def notices(seen: bool) -> None:
    """Print what one was told and has not seen yet: votes that an edit made void, for example."""
    registry, actor = current.store(), current.actor()
    access.allow(actor, "self.read")
    found = registry.unseen_notices(actor.person)
    if seen and found:
        access.see_notices(registry, found[-1].id, actor=actor)
    documents = [notice_document(one) for one in found]
    output.listing(documents, (f"{one['at']}  {one['text']}" for one in documents))


@click.command()
@click.option("--verify", is_flag=True, help="Follow the chain from its first entry instead of printing the entries.")
@click.option("--since", metavar="N", type=click.IntRange(0, 2**31 - 1), default=0, help="Only entries after number N.")
@output.json_option
def journal(verify: bool, since: int) -> None:
    """Print the journal, an entry a line, or verify that its chain is whole; only administrators may read it."""
    registry = current.store()
    if verify:
        count, head = access.check_journal(registry)
        output.answer({"entries": count, "head": head}, [f"journal intact : {count} entrées, tête {head}"])
    else:
        entries = list(access.journal(registry, since, actor=current.actor()))
        output.listing([json.loads(entry) for entry in entries], (entry.decode() for entry in entries))
