"""Results of a search: each concept with the reason why it is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from flask import Blueprint, Response, request, url_for

from api import current
from api.pages import shown
from api.pages.rendering import page, page_number, refused
from api.pages.shown import Shown
from api.pages.wording import STATES, day
from registry import finding
from registry.errors import Invalid, NotFound
from registry.model import Edition, today
from registry.search import LONGEST_QUERY, Document, Results, Spans

PER_PAGE = 20
FILTERS = ("nomenclature", "etat", "release", "at")
"""The fields beside the words, as addresses name them."""

_DEEPEST = 1_000


def add_to(pages: Blueprint) -> None:
    """Serve the results."""
    pages.add_url_rule("/recherche", "results", results)


@dataclass
class Asked:
    """What the form of a search says, as it was ``typed``, and what is wrong with it by the name of the field.

    ``editions`` are the releases to look in; ``read`` is the release of the nomenclature chosen, if one is.
    """

    query: str
    typed: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    editions: list[Edition] = field(default_factory=list)
    read: Shown | None = None
    day: date | None = None

    @property
    def filters(self) -> dict[str, str]:
        """The fields that say something."""
        return {name: text for name, text in self.typed.items() if text}

    @property
    def moved(self) -> bool:
        """Whether something else than what is in force today is asked for."""
        return bool(self.filters.keys() & {"release", "at"})

    def address(self, **changes: Any) -> str:
        """The address of the same search, but for what is given."""
        given: dict[str, Any] = {"q": self.query or None, **self.filters, **changes}
        return url_for("pages.results", **given)

    def page(self, number: int) -> str:
        """The address of another page of the same results."""
        return self.address(page=number)

    def concept(self, found: Document) -> str:
        """Where a concept is read in the release that it was found in."""
        release = found.version if self.moved else None
        return url_for("pages.concept", slug=found.nomenclature, code=found.code, release=release)


def results() -> Response:
    """What a query finds in the releases in force today, or in those asked for; without a query, how to search."""
    store = current.store()
    headings = {item.slug: item for item in store.nomenclatures()}
    asked = _asked(headings)
    number = min(page_number(), _DEEPEST // PER_PAGE)
    found = Results()
    if asked.query and not asked.errors:
        found = finding.index_of(store, current.settings().index, asked.editions, today()).search(
            asked.query,
            nomenclature=asked.filters.get("nomenclature"),
            status=asked.filters.get("etat"),
            limit=PER_PAGE,
            offset=(number - 1) * PER_PAGE,
        )
    chosen = asked.filters.get("nomenclature")
    return (refused if asked.errors else page)(
        "results.html",
        asked=asked,
        query=asked.query,
        found=found,
        headings=headings,
        versions=store.editions(chosen) if chosen in headings else [],
        number=number,
        last=-(-min(found.total, _DEEPEST) // PER_PAGE) or 1,
    )


def _asked(headings: Collection[str]) -> Asked:
    """What the request asks for; nothing is left out in silence: what can't be followed is an error of its field."""
    given = {name: request.args.get(name, "").strip()[:LONGEST_QUERY] for name in FILTERS}
    asked = Asked(request.args.get("q", "").strip()[:LONGEST_QUERY], given)
    if given["nomenclature"] and given["nomenclature"] not in headings:
        asked.errors["nomenclature"] = "Aucune nomenclature ne porte ce nom."
    if given["etat"] and given["etat"] not in STATES:
        asked.errors["etat"] = "Un concept est actif ou obsolète."
    if given["release"] and not given["nomenclature"]:
        asked.errors["nomenclature"] = "Choisissez la nomenclature dont vous donnez la version."
    if given["release"] and given["at"]:
        asked.errors["at"] = "Choisissez une version ou une date, pas les deux."
    if not asked.errors:
        _look(asked)
    return asked


def _look(asked: Asked) -> None:
    """Find the releases that are asked for, or say in which field there are none."""
    slug, at = asked.typed["nomenclature"], asked.typed["at"]
    wrong = "release" if asked.typed["release"] else "at" if at else "nomenclature"
    try:
        asked.day = shown.day_of(at) if at else None
        if slug:
            asked.read = shown.shown(slug)
            asked.editions = [asked.read.edition]
        else:
            asked.editions = finding.in_force(current.store(), asked.day or today())
    except Invalid as error:
        problem = error.problems[0]
        asked.errors[wrong] = f"{problem.message[0].upper()}{problem.message[1:]}. Attendu : {problem.accepted}."
    except NotFound as error:
        first = error.hints.get("inForceFrom")
        since = f" La première s’applique depuis le {day(date.fromisoformat(str(first)))}." if first else ""
        missing = {
            "release": "Cette nomenclature n’a pas cette version.",
            "at": f"Aucune version n’était en vigueur ce jour-là.{since}",
            "nomenclature": "Cette nomenclature n’a encore aucune version.",
        }
        asked.errors[wrong] = missing[wrong]
    if at and not asked.editions and not asked.errors:
        asked.errors["at"] = "Aucune nomenclature n’avait de version en vigueur ce jour-là."


def marked(text: str, spans: Spans) -> Iterator[tuple[str, bool]]:
    """The pieces of a text in order, each with whether it is one of the spans; the template writes the marks."""
    place = 0
    for start, end in sorted(spans):
        if place <= start < end <= len(text):
            yield text[place:start], False
            yield text[start:end], True
            place = end
    yield text[place:], False


def excerpt(text: str, spans: Spans, *, around: int = 120) -> dict[str, Any]:
    """The part of a long text that holds the first span, whole words, with its spans."""
    first = min((start for start, _ in spans), default=0)
    start = 0 if first <= around else text.rfind(" ", 0, first - around // 2) + 1
    past = len(text)
    if past - start > 2 * around:
        past = text.rfind(" ", start, start + 2 * around)
        past = past if past > start else start + 2 * around
    kept = tuple((max(a, start) - start, min(b, past) - start) for a, b in spans if a >= start and b <= past)
    return {"text": text[start:past], "spans": kept, "before": start > 0, "after": past < len(text)}
