"""One concept as a release holds it, and what is known of it since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from flask import Blueprint, Response

from api import current
from api.pages import shown, tree
from api.pages.rendering import page
from api.pages.shown import Shown
from registry.changes import Change
from registry.errors import NotFound
from registry.model import Concept, Edition, Link, today
from registry.store.concepts import ConceptView


@dataclass(frozen=True)
class Event:
    """What one release did to the concept, with the concepts that its lineage names, as that release labels them."""

    edition: Edition
    change: Change
    labels: dict[str, Concept]


def add_to(pages: Blueprint) -> None:
    """Serve the page of each concept."""
    pages.add_url_rule("/nomenclatures/<slug>/<code>", "concept", concept)


def concept(slug: str, code: str) -> Response:
    """Its code, meaning, names, neighbours, history, and the local codes that lead to it."""
    read = shown.shown(slug)
    store, version = current.store(), read.edition.version
    view = store.concept(slug, version, code)
    events = _events(slug, code)
    nodes = tree.along(store, read.edition, code)
    return page(
        "concept.html",
        shown=read,
        view=view,
        path=_path(nodes, code),
        nodes=nodes,
        events=events,
        deprecated_in=_deprecated_in(events, read.line),
        successors=_successors(view.links_from, code),
        since=_since(read, view),
        uses=store.local_uses(slug, code, today()),
    )


def _events(slug: str, code: str) -> list[Event]:
    """What each release did to the concept, the latest first."""
    store = current.store()
    found = []
    for edition, changes in store.history(slug, code):
        for change in changes.changes:
            named = {end for link in change.lineage for end in (link.old, link.new)}
            labels = store.labels(slug, edition.version, named) if named else {}
            found.append(Event(edition, change, labels))
    return found[::-1]


def _deprecated_in(events: list[Event], line: set[str]) -> Edition | None:
    """The last release that deprecated the concept, or brought it in deprecated, of those that led to the one read."""
    for event in events:
        if event.edition.version not in line:
            continue
        before, after = event.change.before, event.change.after
        was_active = before is None or before.status == "active"
        if after is not None and after.status == "deprecated" and was_active:
            return event.edition
    return None


def _successors(links: tuple[Link, ...], code: str) -> list[Link]:
    return [link for link in links if link.new != code]


def _path(nodes: list[tree.Node], code: str) -> list[tree.Node]:
    """The broader concepts, top first: those that are open in the tree above the concept."""
    opened = next((node for node in nodes if node.opened), None)
    return [opened, *_path(opened.narrower, code)] if opened is not None and opened.code != code else []


def _since(read: Shown, view: ConceptView) -> ConceptView | None:
    """The concept in the release in force today, if an older one is read and it was deprecated or replaced since."""
    if read.in_force is None or _order(read.edition) >= _order(read.in_force):
        return None
    try:
        now = current.store().concept(read.edition.nomenclature, read.in_force.version, view.concept.code)
    except NotFound:
        return None
    learnt = set(now.links_from) - set(view.links_from)
    return now if learnt or now.concept.status != view.concept.status else None


def _order(edition: Edition) -> tuple[date, int]:
    """By day, then by number: an erratum of an old release is issued after the release that overtook it."""
    return edition.valid_from, edition.number
