"""Which release a page reads, what there is to say of it today, and how its links keep to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import request, url_for

from api import current
from api.reading import VERSION, reading
from registry.errors import Invalid, NotFound, Problem
from registry.model import Edition, Nomenclature, today


@dataclass(frozen=True)
class Shown:
    """The release that a page reads, among all of its nomenclature's.

    ``asked`` is the part of the address that chose it: every link of the page that stays in the nomenclature carries
    it. ``in_force`` is None where no release is in force today.
    """

    edition: Edition
    heading: Nomenclature
    editions: tuple[Edition, ...]
    in_force: Edition | None
    asked: dict[str, str]
    at: date | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether this is the release in force today."""
        return self.in_force is not None and self.in_force.version == self.edition.version

    @property
    def until(self) -> date | None:
        """The last day on which the release applied, known since a later one came; None while there is none."""
        later = [
            other.valid_from
            for other in self.editions
            if other.valid_from > self.edition.valid_from and other.withdrawn_at is None
        ]
        return min(later) - timedelta(days=1) if later else None

    @property
    def state(self) -> str:
        """One of ``withdrawn``, ``inForce``, ``coming``, ``past``."""
        if self.edition.withdrawn_at:
            return "withdrawn"
        if self.is_in_force:
            return "inForce"
        return "coming" if self.edition.valid_from > today() else "past"

    @property
    def corrected_by(self) -> str:
        """The version of the erratum that corrects this release, or nothing."""
        standing = (other for other in self.editions if other.withdrawn_at is None)
        return next((other.version for other in standing if other.corrects == self.edition.version), "")

    def address(self, endpoint: str, **values: Any) -> str:
        """The address of another page on this nomenclature, read in the same release."""
        given: dict[str, Any] = {**values, **self.asked}
        return url_for(f"pages.{endpoint}", slug=self.edition.nomenclature, **given)


def shown(slug: str) -> Shown:
    """The release that the request asks for by ``release`` or ``at``, else the one in force, else the last.

    :raises NotFound: if there is no such nomenclature or release, or none was in force on the day asked for.
    :raises Invalid: if what is asked for is neither a version nor a day.
    """
    store = current.store()
    editions = store.editions(slug)
    asked = {name: value for name in ("release", "at") if (value := request.args.get(name, "").strip())}
    query: dict[str, Any] = {}
    if "release" in asked:
        if not re.fullmatch(rf"latest|current|{VERSION}", asked["release"]):
            raise Invalid([Problem("version", "ce n’est pas un numéro de version", accepted="2.0, par exemple")])
        asked.pop("at", None)
        query["release"] = asked["release"]
    elif "at" in asked:
        try:
            query["at"] = date.fromisoformat(asked["at"])
        except ValueError as error:
            problem = Problem("date", "ce n’est pas une date", accepted="année-mois-jour, tel que 2024-03-01")
            raise Invalid([problem]) from error
    in_force = _in_force(slug)
    edition = in_force if not query and in_force is not None else None
    if edition is None and not query and editions:
        edition = store.latest(slug)
    if edition is None:
        version = reading(slug, query).edition.version
        edition = next(item for item in editions if item.version == version)
    heading = store.heading(slug, edition.version)
    return Shown(edition, heading, tuple(editions), in_force, asked, query.get("at"))


def _in_force(slug: str) -> Edition | None:
    try:
        return current.store().in_force(slug, today(), datetime.now(UTC))
    except NotFound:
        return None
