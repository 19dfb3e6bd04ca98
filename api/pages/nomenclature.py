"""A nomenclature, one address per tab: tree, index, changes, about. The whole page follows the release asked for."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api import current
from api.pages import shown, tree
from api.pages.rendering import page, page_number
from api.pages.shown import Shown
from api.pages.wording import FORMATS
from registry import analysis
from registry.errors import NotFound
from registry.model import Concept, Edition
from registry.store import Store
from registry.store.releases import Rendition

_MOST_ENTRIES = 1_000
_CHANGES_A_PAGE = 100


def add_to(pages: Blueprint) -> None:
    """Serve the four tabs. No code begins with a hyphen: what is below ``/-/`` can't hide a concept."""
    pages.add_url_rule("/nomenclatures/<slug>", "nomenclature", hierarchy)
    pages.add_url_rule("/nomenclatures/<slug>/-/index", "index", index)
    pages.add_url_rule("/nomenclatures/<slug>/-/changements", "changes", changes)
    pages.add_url_rule("/nomenclatures/<slug>/-/a-propos", "about", about)


def hierarchy(slug: str) -> Response:
    """The tree: whole up to 500 concepts, else along the branch asked for."""
    read = shown.shown(slug)
    store, edition = current.store(), read.edition
    if edition.concepts <= tree.WHOLE:
        rows = tree.rows(store, edition)
        # Where most are deprecated, they would hide what is in use.
        most = "non" if 2 * edition.deprecated > edition.concepts else "oui"
        hidden = request.args.get("obsoletes", most) == "non"
        nodes = tree.whole(row for row in rows if not hidden or row.status == "active")
        return page("tree.html", **_heading(read), nodes=nodes, hidden=hidden, whole=True)
    branch = request.args.get("branche", "")
    nodes = tree.along(store, edition, branch)
    return page("tree.html", **_heading(read), nodes=nodes, branch=branch, hidden=False, whole=False)


def index(slug: str) -> Response:
    """Every label by its first letter, other names with the concept that they lead to."""
    read = shown.shown(slug)
    entries = sorted(_entries(current.store(), read.edition), key=lambda entry: (entry["key"], entry["concept"].code))
    letters: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        first = entry["key"][:1]
        letters.setdefault(first.upper() if first.isalpha() else "0–9", []).append(entry)
    chosen = ""
    if len(entries) > _MOST_ENTRIES:
        chosen = request.args.get("lettre", "")
        chosen = chosen if chosen in letters else next(iter(letters))
    kept = {chosen: letters[chosen]} if chosen else letters
    return page("index.html", **_heading(read), letters=list(letters), entries=kept, chosen=chosen)


def _entries(store: Store, edition: Edition) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        concepts, _ = store.concepts(edition.nomenclature, edition.version, after=after, limit=1_000)
        for concept in concepts:
            found += [_entry(concept, name) for name in _names(concept)]
        after = concepts[-1].code if len(concepts) == 1_000 else None
    return found


def _names(concept: Concept) -> set[str]:
    return {concept.label, *(text for language, text in concept.alt_label if language == "fr")}


def _entry(concept: Concept, name: str) -> dict[str, Any]:
    return {"key": analysis.key(name) or name, "name": name, "concept": concept, "see": name != concept.label}


def changes(slug: str) -> Response:
    """What the release changed: the count of each kind, then code by code."""
    read = shown.shown(slug)
    edition = read.edition
    difference = None
    if edition.predecessor:
        difference = current.store().difference(slug, edition.predecessor, edition.version)
    found = difference.changes if difference else ()
    last = -(-len(found) // _CHANGES_A_PAGE) or 1
    number = min(page_number(), last)
    listed = found[(number - 1) * _CHANGES_A_PAGE : number * _CHANGES_A_PAGE]
    named = {end for change in listed for link in change.lineage for end in (link.old, link.new)}
    named.update(code for change in listed if change.after for code in change.after.broader)
    labels = current.store().labels(slug, edition.version, named)
    return page(
        "changes.html",
        **_heading(read),
        difference=difference,
        listed=listed,
        labels=labels,
        number=number,
        last=last,
        page_address=lambda one: read.address("changes", page=one),
    )


def about(slug: str) -> Response:
    """Who keeps the nomenclature, under which licence, on what ground; its releases and files."""
    read = shown.shown(slug)
    store, version = current.store(), read.edition.version
    return page(
        "about.html",
        **_heading(read),
        decision=store.decision(slug, version),
        files=sorted(store.renditions(slug, version), key=_place),
    )


def _place(file: Rendition) -> tuple[int, str]:
    """Where a file stands in the list: those that people open come first."""
    known = [*FORMATS]
    return known.index(file.format) if file.format in known else len(known), file.format


def _heading(read: Shown) -> dict[str, Any]:
    """What the head of every tab names."""
    return {"shown": read, "steward": _steward(read.heading.publisher)}


def _steward(publisher: str) -> str:
    """The name of the organisation that keeps the nomenclature, as far as the registry knows it."""
    slug = publisher.rstrip("/").rpartition("/")[2]
    if slug == "comite":
        return "Comité de la nomenclature"
    try:
        return current.store().organisation(slug).name
    except NotFound:
        return publisher
