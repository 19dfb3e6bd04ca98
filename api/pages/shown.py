"""Which release a page reads, what there is to say of it today, and how its links keep to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from flask import request, url_for

from api import current
from api.reading import VERSION, reading
from registry.errors import Invalid, NotFound, Problem
from registry.model import Edition, Nomenclature, mainline, today

State = Literal["withdrawn", "inForce", "corrected", "coming", "past"]


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
    def until(self) -> date | None:
        """The last day on which the release applied, known since a later one came; None while there is none."""
        later = [other.valid_from for other in self._standing() if other.valid_from > self.edition.valid_from]
        return min(later) - timedelta(days=1) if later else None

    @property
    def state(self) -> State:
        """What the release that the page reads is today."""
        return self.state_of(self.edition)

    def state_of(self, edition: Edition) -> State:
        """What a release of the nomenclature is today; one that is ``corrected`` is so whatever its day."""
        if edition.withdrawn_at:
            return "withdrawn"
        if self.in_force is not None and self.in_force.version == edition.version:
            return "inForce"
        if self._erratum_of(edition):
            return "corrected"
        return "coming" if edition.valid_from > today() else "past"

    @property
    def erratum(self) -> Edition | None:
        """The last erratum of this release that stands, those of its errata included."""
        return self._erratum_of(self.edition)

    @property
    def replaced_by(self) -> str:
        """The version that took its place on its very first day, so that it never applied; or nothing."""
        same_day = [
            other
            for other in self._standing()
            if other.valid_from == self.edition.valid_from and other.number > self.edition.number
        ]
        return same_day[-1].version if same_day else ""

    @property
    def line(self) -> set[str]:
        """The versions that this release was made from, one after the other, and its own."""
        before = {edition.version: edition.predecessor for edition in self.editions}
        found: set[str] = set()
        version = self.edition.version
        while version and version not in found:
            found.add(version)
            version = before.get(version, "")
        return found

    def _standing(self) -> list[Edition]:
        return [edition for edition in self.editions if edition.withdrawn_at is None]

    def _erratum_of(self, edition: Edition) -> Edition | None:
        corrected, last = {edition.version}, None
        for other in self.editions:
            if other.corrects in corrected:
                corrected.add(other.version)
                last = other if other.withdrawn_at is None else last
        return last

    def address(self, endpoint: str, **values: Any) -> str:
        """The address of another page on this nomenclature, read in the same release."""
        given: dict[str, Any] = {**values, **self.asked}
        return url_for(f"pages.{endpoint}", slug=self.edition.nomenclature, **given)

    @staticmethod
    def elsewhere(address: str, version: str) -> str:
        """The page at an address that names no release, read in one."""
        return f"{address}{'&' if '?' in address else '?'}release={version}"


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
        asked.pop("at", None)
        query["release"] = version_of(asked["release"])
    elif "at" in asked:
        query["at"] = day_of(asked["at"])
    in_force = _in_force(slug)
    edition = in_force if not query and in_force is not None else None
    if edition is None and not query and editions:
        edition = mainline([one for one in editions if one.withdrawn_at is None] or editions)
    if edition is None:
        version = reading(slug, query).edition.version
        edition = next(item for item in editions if item.version == version)
    heading = store.heading(slug, edition.version)
    return Shown(edition, heading, tuple(editions), in_force, asked, query.get("at"))


def version_of(text: str) -> str:
    """A version as an address gives it.

    :raises Invalid: if it is none.
    """
    if not re.fullmatch(rf"latest|current|{VERSION}", text):
        raise Invalid([Problem("version", "ce n’est pas un numéro de version", accepted="2.0, par exemple")])
    return text


def day_of(text: str) -> date:
    """A day as an address gives it.

    :raises Invalid: if it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        problem = Problem("date", "ce n’est pas une date", accepted="année-mois-jour, tel que 2024-03-01")
        raise Invalid([problem]) from error


def _in_force(slug: str) -> Edition | None:
    try:
        return current.store().in_force(slug, today(), datetime.now(UTC))
    except NotFound:
        return None
