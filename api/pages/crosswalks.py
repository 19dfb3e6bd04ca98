"""Tables of correspondence: those that are published, one edition, two compared, and what a release makes stale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request, url_for

from api import access, current
from api.pages.rendering import page, page_number
from api.pages.shown import version_of
from api.pages.wording import CODE_STATES
from registry import draft_editions, editions, staleness
from registry.access import OPERATIONS, Actor
from registry.crosswalks import CodeList, CrosswalkEdition, LocalCode, Mapping, Organisation
from registry.editions import Content, Coverage
from registry.errors import NotFound
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.model import Nomenclature, today
from registry.staleness import Review
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition

ADDRESS = "/correspondances/<organisation>/<code_list>/<nomenclature>"
PER_PAGE = 20
ROWS_A_PAGE = 50
MOST_DIFFERENCES = 200
"""How many codes or mappings a comparison shows of each kind."""

_LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Published:
    """A published crosswalk with the names that people know it by, and how far it covers its list."""

    edition: CrosswalkEdition
    organisation: Organisation
    code_list: CodeList
    heading: Nomenclature
    coverage: Coverage


@dataclass(frozen=True)
class Row:
    """A code of an edition with its mappings."""

    code: LocalCode
    state: str
    mappings: tuple[Mapping, ...]


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/correspondances", "crosswalks", listed)
    pages.add_url_rule(ADDRESS, "crosswalk", crosswalk)
    pages.add_url_rule(f"{ADDRESS}/differences", "crosswalk_differences", differences)
    pages.add_url_rule(f"{ADDRESS}/a-revoir", "crosswalk_review", review)
    pages.add_url_rule(f"{ADDRESS}/a-revoir", "carry", carry, methods=["POST"])


def listed() -> Response:
    """The published tables by organisation; and, for whoever keeps some, their drafts and what to look at again."""
    store = current.store()
    organisations = {one.slug: one for one in store.organisations()}
    headings = {one.slug: one for one in store.nomenclatures()}
    known = _speaking(store.crosswalk_editions())
    asked = {name: request.args.get(name, "").strip() for name in ("organisme", "nomenclature")}
    filters: dict[str, Any] = {
        "organisme": asked["organisme"] if asked["organisme"] in organisations else None,
        "nomenclature": asked["nomenclature"] if asked["nomenclature"] in headings else None,
    }
    found = [
        one
        for one in known
        if filters["organisme"] in (None, one.organisation) and filters["nomenclature"] in (None, one.nomenclature)
    ]
    found.sort(key=lambda one: (organisations[one.organisation].name, one.code_list, one.nomenclature))
    last = -(-len(found) // PER_PAGE) or 1
    number = min(page_number(), last)
    shown = [_published(store, one) for one in found[(number - 1) * PER_PAGE : number * PER_PAGE]]
    actor = access.actor()
    return page(
        "crosswalks.html",
        shown=shown,
        total=len(found),
        owners=sorted({organisations[one.organisation] for one in known}, key=lambda one: one.name),
        headings=headings,
        filters=filters,
        number=number,
        last=last,
        page_address=lambda one: url_for("pages.crosswalks", **filters, page=one),
        mine=[_own(store, organisations[slug], known) for slug in sorted(kept_by(actor)) if slug in organisations],
        formats=CROSSWALK_FORMATS,
    )


def crosswalk(organisation: str, code_list: str, nomenclature: str) -> Response:
    """An edition as a table, all of it or the codes in one state."""
    store = current.store()
    edition, known = _edition(organisation, code_list, nomenclature)
    held = editions.content(store, edition)
    rows = _rows(held)
    state = request.args.get("etat", "")
    state = state if state in CODE_STATES else ""
    kept = [row for row in rows if state in ("", row.state)]
    last = -(-len(kept) // ROWS_A_PAGE) or 1
    number = min(page_number(), last)
    shown = kept[(number - 1) * ROWS_A_PAGE : number * ROWS_A_PAGE]
    targets = {mapping.target_code for row in shown for mapping in row.mappings} - {""}
    name = CrosswalkName(organisation, code_list, nomenclature)
    given: dict[str, Any] = {"edition": edition.edition if "edition" in request.args else None, "etat": state or None}
    now = store.in_force(nomenclature, today()).version if _is_in_force(store, nomenclature) else edition.release
    return page(
        "crosswalk.html",
        **_names(store, edition),
        edition=edition,
        others=[one for one in known if one.edition != edition.edition],
        coverage=editions.coverage(held),
        shown=shown,
        total=len(kept),
        state=state,
        concepts=store.labels(nomenclature, edition.release, targets),
        number=number,
        last=last,
        page_address=lambda one: url_for("pages.crosswalk", **name._asdict(), page=one, **given),
        now=now,
        left=staleness.review_list(store, edition, now).counts() if now != edition.release else {},
        formats=CROSSWALK_FORMATS,
        draft=_draft(store, name, access.actor()),
        is_keeper=organisation in kept_by(access.actor()),
        today=today(),
    )


def differences(organisation: str, code_list: str, nomenclature: str) -> Response:
    """What leads from one edition to another: codes and mappings that came, went or changed."""
    store = current.store()
    known = store.crosswalk_editions(organisation=organisation, code_list=code_list, nomenclature=nomenclature)
    numbers = [one.edition for one in known]
    after = _number("a") or (numbers[-1] if numbers else 0)
    before = _number("de") or max((one for one in numbers if one < after), default=after)
    old, new = (
        store.crosswalk_edition(organisation, code_list, nomenclature, edition=number) for number in (before, after)
    )
    found = editions.difference(editions.content(store, old), editions.content(store, new))
    targets = _targets(found) - {""}
    labels = {one.edition: store.labels(nomenclature, one.release, targets) for one in (old, new)}
    return page(
        "crosswalk_differences.html",
        **_names(store, new),
        old=old,
        new=new,
        known=known,
        found=found,
        labels=labels,
        most=MOST_DIFFERENCES,
    )


def review(organisation: str, code_list: str, nomenclature: str) -> Response:
    """The mappings whose concept a release touched, why, and what is proposed for each."""
    store = current.store()
    edition, _ = _edition(organisation, code_list, nomenclature)
    version = _version(store, nomenclature)
    found = staleness.review_list(store, edition, version)
    actor = access.actor()
    return page(
        "crosswalk_review.html",
        **_names(store, edition),
        edition=edition,
        found=found,
        # What has to be decided comes first, what only needs a look last.
        items=sorted(found.items, key=lambda item: ("byHand", "successor", "keep").index(item.action)),
        version=version,
        releases=store.editions(nomenclature),
        is_keeper=organisation in kept_by(actor),
        draft=_draft(store, CrosswalkName(organisation, code_list, nomenclature), actor),
    )


def carry(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Put the draft, or a new one beside the last edition, on another release."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    with draft_editions.reading(current.store(), name, access.actor()):
        version = _version(current.store(), nomenclature)
    staleness.carry(current.store(), name, version, actor=access.actor())
    return to("pages.draft_edition", name)


# --- Shared with the pages of drafts -------------------------------------------------------------------------------


def kept_by(actor: Actor) -> set[str]:
    """The organisations whose tables somebody may write."""
    return {organisation for organisation, role in actor.memberships if role in OPERATIONS["crosswalk.write"]}


def to(endpoint: str, name: CrosswalkName, **values: Any) -> Response:
    """Lead the browser to a page of a crosswalk after a write."""
    return led(url_for(endpoint, **name._asdict(), **values))


def led(address: str) -> Response:
    """Lead the browser to an address of ours, which it asks for anew."""
    response = Response(status=303)
    response.headers["Location"] = address
    response.headers["Cache-Control"] = "no-store"
    return response


# --- What pages ask of the store -----------------------------------------------------------------------------------


def _speaking(known: Iterable[CrosswalkEdition]) -> list[CrosswalkEdition]:
    """The edition of each crosswalk that applies today; the next one to come where none does yet."""
    by_name: dict[CrosswalkName, list[CrosswalkEdition]] = {}
    for one in known:
        by_name.setdefault(CrosswalkName(one.organisation, one.code_list, one.nomenclature), []).append(one)
    return [_applying(found) for found in by_name.values()]


def _applying(found: list[CrosswalkEdition]) -> CrosswalkEdition:
    begun = [one for one in found if one.valid_from <= today()]
    if begun:
        return max(begun, key=lambda one: (one.valid_from, one.edition))
    return min(found, key=lambda one: (one.valid_from, -one.edition))


def _edition(organisation: str, code_list: str, nomenclature: str) -> tuple[CrosswalkEdition, list[CrosswalkEdition]]:
    """The edition that the request asks for, else the one that applies; and all of them."""
    store, number = current.store(), _number("edition")
    known = store.crosswalk_editions(organisation=organisation, code_list=code_list, nomenclature=nomenclature)
    if number or not known:
        return store.crosswalk_edition(organisation, code_list, nomenclature, edition=number), known
    return _applying(known), known


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    return min(int(text), _LARGEST_NUMBER) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _version(store: Store, nomenclature: str) -> str:
    """The release that the request names, else the one in force."""
    asked = request.values.get("version", "").strip()
    if asked:
        return store.edition(nomenclature, version_of(asked)).version
    return store.in_force(nomenclature, today()).version


def _is_in_force(store: Store, nomenclature: str) -> bool:
    try:
        store.in_force(nomenclature, today())
    except NotFound:
        return False
    return True


def _published(store: Store, edition: CrosswalkEdition) -> Published:
    names = _names(store, edition)
    coverage = editions.coverage(editions.content(store, edition))
    return Published(edition, names["owner"], names["code_list"], names["heading"], coverage)


def _names(store: Store, edition: CrosswalkEdition) -> dict[str, Any]:
    """What the owner, the list and the nomenclature of an edition are called."""
    lists = store.list_editions(edition.organisation, edition.code_list)
    return {
        "owner": store.organisation(edition.organisation),
        "code_list": next(one.code_list for one in lists if one.edition == edition.list_edition),
        "heading": store.heading(edition.nomenclature, edition.release),
        "name": CrosswalkName(edition.organisation, edition.code_list, edition.nomenclature),
    }


def _rows(held: Content) -> list[Row]:
    by_code: dict[str, list[Mapping]] = {}
    for mapping in held.mappings:
        by_code.setdefault(mapping.local_code, []).append(mapping)
    return [Row(code, _state(by_code.get(code.code, [])), tuple(by_code.get(code.code, []))) for code in held.codes]


def _state(mappings: list[Mapping]) -> str:
    if not mappings:
        return "unreviewed"
    return "noMatch" if mappings[0].relation == "noMatch" else "mapped"


def _targets(found: editions.Difference) -> set[str]:
    pairs = [mapping for pair in found.mappings_changed for mapping in pair]
    return {mapping.target_code for mapping in (*found.mappings_added, *found.mappings_removed, *pairs)}


def _draft(store: Store, name: CrosswalkName, actor: Actor) -> DraftEdition | None:
    """The draft beside a crosswalk, for whoever may know of it."""
    if name.organisation not in kept_by(actor):
        return None
    return next((one for one in store.draft_editions(name.organisation) if one.name == name), None)


def _own(store: Store, organisation: Organisation, known: list[CrosswalkEdition]) -> dict[str, Any]:
    """What an organisation has to do: its drafts, and its tables that a release touched."""
    drafts = store.draft_editions(organisation.slug)
    reviews: list[tuple[CrosswalkEdition, Review]] = []
    for one in known:
        if one.organisation == organisation.slug and _is_in_force(store, one.nomenclature):
            now = store.in_force(one.nomenclature, today()).version
            if now != one.release:
                reviews.append((one, staleness.review_list(store, one, now)))
    return {
        "organisation": organisation,
        "drafts": [(one, draft_editions.coverage(store, one)) for one in drafts],
        "drafted": {one.name for one in drafts},
        "reviews": reviews,
    }
