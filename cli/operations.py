"""Commands that make a registry ready and keep it sound."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli import current, output, values
from cli.values import ReleaseName
from registry import access, opening, shipped
from registry.model import today

STATES = {"ok": "bon", "mended": "réparé", "damaged": "ENDOMMAGÉ"}


@click.command()
@click.option("--administrator", metavar="NAME", default="", help="What the first administrator is called.")
def init(administrator: str) -> None:
    """Make a registry ready: data folder, schema, first administrator, shipped nomenclatures and crosswalks.

    What is there already is left alone, so it can be run at any time. Commands that change something are done in the
    first administrator's name, unless --as or SOCLE_TOKEN say another's.
    """
    make_ready(administrator)


def make_ready(administrator: str = "") -> None:
    """Make the registry that the settings name ready to be served, and say what was done."""
    with opening.alone(current.settings()):
        created = opening.prepare(current.settings())
        registry = current.store()
        swept = registry.blobs.sweep(registry.named_files())
        person, first = access.first_administrator(registry, administrator)
        if first:
            click.echo(f"première administration : {person.name}, {person.id}, de l'organisme {access.COMMITTEE}")
        keys, made = opening.keys(current.settings(), registry)
        if made:
            click.echo(f"clés de signature créées dans {keys.folder} : elles sont propres à cette machine")
        opening.secret(current.settings().secret)
        signed = registry.sign_log(keys)
        output.progress("Publication des données livrées…")
        count = shipped.publish(registry, keys, lambda line: click.echo(f"publié : {line}"))
        registry.close()  # Whoever serves forks next, and no connection may be open then.
    done = [
        ("schéma créé", created),
        (f"{swept} fichiers abandonnés enlevés", swept),
        (f"{signed} entrées du journal signées", signed),
        (f"{count} publications", count),
    ]
    told = ", ".join(text for text, happened in done if happened) or "rien à faire"
    click.echo(f"registre prêt dans {current.settings().data_dir} : {told}")


@click.command()
def migrate() -> None:
    """Bring the database's schema to the version that this code needs; its data stays."""
    changed = opening.prepare(current.settings())
    click.echo("schéma mis à jour" if changed else "schéma déjà à jour")


@click.command()
@output.json_option
def settings() -> None:
    """Print every setting and its value, passwords masked."""
    shown = current.settings().shown()
    output.answer(shown, output.table(shown.items()))


@click.command()
@output.json_option
def doctor() -> None:
    """Check everything that is stored or derived, and mend what can be made again.

    Ends with exit code 5 if anything remains damaged.
    """
    from registry import doctor as doctor_

    found = list(doctor_.examine(current.store(), current.settings().index, today()))
    output.listing(
        [asdict(one) for one in found], output.table((STATES[one.state], one.object, one.message) for one in found)
    )
    if any(one.state == "damaged" for one in found):
        click.get_current_context().exit(5)


@click.command()
@click.argument("release", metavar="[N@V]", type=values.PINNED_RELEASE, required=False)
@output.json_option
def renditions(release: ReleaseName | None) -> None:
    """Keep a release, or all, in the formats that Socle has learnt since they were published.

    The files are signed and chained by a log entry of their own; what was published before stays as it is.
    """
    from registry import publishing

    registry, keys, actor = current.store(), current.keys(), current.actor()
    names = (
        [(release.slug, release.release or "")]
        if release
        else [
            (one.slug, edition.version) for one in registry.nomenclatures() for edition in registry.editions(one.slug)
        ]
    )
    added = {name: publishing.add_renditions(registry, *name, keys, actor=actor) for name in names}
    found = [
        {"nomenclature": slug, "version": version, "formats": [file.format for file in files]}
        for (slug, version), files in added.items()
        if files
    ]
    lines = [f"{one['nomenclature']}@{one['version']} : {', '.join(one['formats'])}" for one in found]
    output.listing(found, lines or ["rien à faire"])


@click.command()
def reindex() -> None:
    """Throw the search index away and build it again from the releases in force today."""
    from registry import finding

    output.progress("Reconstruction de l'index…")
    count = finding.rebuild(current.store(), current.settings().index, today())
    click.echo(f"index reconstruit : {count} concepts")
