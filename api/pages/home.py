"""The way in: what this is, the search, what one can do here, what was published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response

from api import current
from api.pages.rendering import page
from registry.changes import ChangeSet
from registry.errors import NotFound
from registry.model import Edition, today

_MOST_RELEASES = 12


def add_to(pages: Blueprint) -> None:
    """Serve the home page and the list of nomenclatures."""
    pages.add_url_rule("/", "home", home)
    pages.add_url_rule("/nomenclatures", "nomenclatures", nomenclatures)


def home() -> Response:
    """What this is in one sentence, the search, four ways on, the latest releases with what each changed."""
    known = _nomenclatures()
    editions = sorted(
        ((edition, item["heading"]) for item in known for edition in item["editions"]),
        key=lambda pair: (pair[0].issued, pair[0].valid_from, pair[0].seq),
        reverse=True,
    )
    published = [
        {"edition": edition, "heading": heading, "changes": _changes(edition)}
        for edition, heading in editions[:_MOST_RELEASES]
    ]
    return page("home.html", published=published, total=len(editions), today=today())


def nomenclatures() -> Response:
    """Every nomenclature with its release in force."""
    return page("nomenclatures.html", nomenclatures=_nomenclatures())


def _nomenclatures() -> list[dict[str, Any]]:
    """Each nomenclature as its release in force describes it (else its last, else its creation), with its releases."""
    store = current.store()
    found = []
    for item in store.nomenclatures():
        editions = store.editions(item.slug)
        try:
            edition: Edition | None = store.in_force(item.slug, today(), datetime.now(UTC))
        except NotFound:
            edition = None
        described = edition or (editions[-1] if editions else None)
        heading = store.heading(item.slug, described.version) if described else item
        found.append({"heading": heading, "edition": edition, "editions": editions})
    return found


def _changes(edition: Edition) -> ChangeSet | None:
    if not edition.predecessor:
        return None
    return current.store().difference(edition.nomenclature, edition.predecessor, edition.version)
