"""How often each organisation pulled which release, by day: counts, and nothing of who or from where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from registry.crosswalks import Organisation
from registry.model import mainline
from registry.store import tables as t
from registry.store.releases import EDITIONS, Releases, edition_of


class Pull(NamedTuple):
    """What was pulled on a day; without a version the last release of the nomenclature, without that of each one."""

    organisation: str
    nomenclature: str
    version: str
    day: date


class PulledRelease(NamedTuple):
    """How often an organisation pulled a release, on which day first and last."""

    organisation: Organisation
    version: str
    first: date
    last: date
    times: int


class Consumers(Releases):
    """What the store says of who pulls what."""

    def add_pulls(self, counts: Mapping[Pull, int]) -> None:
        """Count pulls; what names nothing that exists is left out."""
        with self.database.writing() as connection:
            whole: dict[tuple[int, int, int, str], int] = {}
            for pull, count in counts.items():
                owner = connection.scalar(select(t.organisation.c.id).where(t.organisation.c.slug == pull.organisation))
                if owner is None:
                    continue
                for scheme, release in _releases(connection, pull):
                    key = (owner, scheme, release, pull.day.isoformat())
                    whole[key] = whole.get(key, 0) + count
            for key, count in whole.items():
                names = ("organisation_id", "nomenclature_id", "release_id", "day")
                row = dict(zip(names, key, strict=True))
                same = [t.pull.c[name] == value for name, value in row.items()]
                grown = connection.execute(update(t.pull).where(*same).values(count=t.pull.c["count"] + count))
                if not grown.rowcount:
                    connection.execute(insert(t.pull).values(**row, count=count))

    def pulls(self, slug: str, since: date) -> list[PulledRelease]:
        """Who pulled which release of a nomenclature since a day, by organisation, the last release first."""
        days = func.min(t.pull.c.day).label("first"), func.max(t.pull.c.day).label("last")
        release = t.organisation.c.slug, t.organisation.c.document, t.release.c.version, t.release.c.number
        query = (
            select(*release, *days, func.sum(t.pull.c["count"]).label("times"))
            .select_from(t.pull)
            .join(t.organisation, t.organisation.c.id == t.pull.c.organisation_id)
            .join(t.release, t.release.c.id == t.pull.c.release_id)
            .join(t.nomenclature, t.nomenclature.c.id == t.pull.c.nomenclature_id)
            .where(t.nomenclature.c.slug == slug, t.pull.c.day >= since.isoformat())
            .group_by(*release)
            .order_by(t.organisation.c.slug, t.release.c.number.desc())
        )
        with self.database.reading() as connection:
            return [
                PulledRelease(
                    Organisation(**orjson.loads(row.document)),
                    row.version,
                    date.fromisoformat(row.first),
                    date.fromisoformat(row.last),
                    int(row.times),
                )
                for row in connection.execute(query)
            ]

    def forget_pulls(self, before: date) -> None:
        """Forget what was pulled before a day."""
        old = t.pull.c.day < before.isoformat()
        with self.database.reading() as connection:
            if connection.execute(select(t.pull.c.day).where(old).limit(1)).first() is None:
                return
        with self.database.writing() as connection:
            connection.execute(delete(t.pull).where(old))


def _releases(connection: Connection, pull: Pull) -> list[tuple[int, int]]:
    """The nomenclature and release that a pull names, or those that it stands for."""
    named = select(t.release.c.nomenclature_id, t.release.c.id).join(t.nomenclature)
    if pull.version:
        one = named.where(t.nomenclature.c.slug == pull.nomenclature, t.release.c.version == pull.version)
        return [(row.nomenclature_id, row.id) for row in connection.execute(one)]
    query = EDITIONS.where(t.withdrawal.c.release_id.is_(None))
    if pull.nomenclature:
        query = query.where(t.nomenclature.c.slug == pull.nomenclature)
    rows = [(edition_of(row), row.nomenclature_id, row.id) for row in connection.execute(query)]
    newest = {}
    for slug in {edition.nomenclature for edition, _, _ in rows}:
        last = mainline([edition for edition, _, _ in rows if edition.nomenclature == slug])
        newest[slug] = last.version if last else ""
    return [(scheme, release) for edition, scheme, release in rows if newest[edition.nomenclature] == edition.version]
