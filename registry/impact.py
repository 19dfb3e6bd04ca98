"""Who must act if a draft is published: its change set, joined to what organisations mapped to the codes it touches.

A change is **automatic** where the code gives way to one successor: it is deprecated, and its links lead, one by one,
to one active concept, by replacement (1:1) or merger (n:1). Whatever else breaks is looked at **by hand**: a split, a
reshaping, a deprecation without a successor or with one that only overlaps, a move, a meaning that shifted, a concept
that stays but loses content to another. Which relation to the successor follows for a local code is said by the
composition of relations; a referent confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from registry import drafts
from registry.changes import Change, ChangeSet, link_shapes
from registry.consumers import Consumer, consumer_documents, consumers
from registry.errors import NotFound
from registry.formats.document import link_document
from registry.model import Link, Release
from registry.store import Store
from registry.store.drafts import DraftHead
from registry.store.impact import OrganisationUse, Use


@dataclass(frozen=True, slots=True)
class Touched:
    """A breaking change, the code that takes over by itself (empty: somebody must look), and what is mapped to it."""

    change: Change
    successor: str
    use: Use


@dataclass(frozen=True, slots=True)
class Impact:
    """What publishing a draft would ask of those who mapped their codes.

    ``touched`` are its breaking changes, those with the most mappings first; ``compatible`` counts the others.
    ``total`` is all that is mapped to the codes asked for, each local code once; ``organisations`` are a page of those
    concerned, whoever has most to look at first. ``consumers`` pulled the list of late, by token.
    """

    draft: DraftHead
    changes: ChangeSet
    after: Release
    touched: tuple[Touched, ...]
    compatible: int
    total: Use
    organisations: tuple[OrganisationUse, ...]
    consumers: tuple[Consumer, ...]


def impact(store: Store, draft_id: int, *, code: str = "", start: int = 0, limit: int = 100) -> Impact:
    """Count what a draft touches: all of its breaking changes, or that of one code.

    ``start`` and ``limit`` say which of the organisations are named.

    :raises NotFound: if there is no such draft, or it has no breaking change of that code.
    """
    draft = store.draft(draft_id)
    found, after = drafts.changes_and_state(store, draft)
    breaking = [change for change in found.changes if change.compatibility == "breaking"]
    compatible = len(found.changes) - len(breaking)
    if code:
        breaking = [change for change in breaking if change.code == code]
        if not breaking:
            raise NotFound("concept", f"{code} among what breaks in draft {draft_id}")
    follows = successors(breaking, after)
    # Nobody can have mapped to what was never published; whatever a draft holds there is not asked for.
    slug, codes = draft.nomenclature.slug, [change.code for change in breaking if change.before is not None]
    uses = store.uses_by_code(slug, codes)
    by_hand = [code for code in codes if code not in follows]
    total, organisations = store.uses(slug, codes, by_hand, start=start, limit=limit)
    touched = (_touched(change, follows.get(change.code, ""), uses.get(change.code, Use())) for change in breaking)
    ordered = sorted(touched, key=lambda one: (-one.use.mappings, one.change.code))
    pulled = tuple(consumers(store, slug))
    return Impact(draft, found, after, tuple(ordered), compatible, total, tuple(organisations), pulled)


def successors(changes: Iterable[Change], after: Release) -> dict[str, str]:
    """The active concept that takes over from each code that gives way to exactly one, by code.

    A step follows the links that this change declares, else those declared last before it. Where one of them only
    overlaps, or there are several, nobody can say it but a person.
    """
    declared = {change.code: change.lineage for change in changes}
    found = {code: _end_of(code, declared, after) for code in declared}
    return {code: successor for code, successor in found.items() if successor}


def _end_of(code: str, declared: Mapping[str, tuple[Link, ...]], after: Release) -> str:
    """The end of the chain of successors that begins with a code; empty if it has none, forks or never ends."""
    here, passed = code, set[str]()
    while here not in passed:
        passed.add(here)
        concept = after.concepts.get(here)
        if concept is None:
            return ""
        if concept.status == "active":
            return here if here != code else ""
        known = [link for link in after.links_from.get(here, ()) if link.new != here]
        new = [link for link in known if link in declared.get(here, ())]
        last = max((link.date for link in known), default=None)
        step = new or [link for link in known if link.date == last]
        if len(step) != 1 or step[0].kind == "overlaps":
            return ""
        here = step[0].new
    return ""


def _touched(change: Change, successor: str, use: Use) -> Touched:
    return Touched(change, successor, replace(use, by_hand=0 if successor else use.local_codes))


# --- As JSON -------------------------------------------------------------------------------------------------------


def impact_document(found: Impact) -> dict[str, Any]:
    """An impact as JSON, but for the list of organisations. A label stands beside the state that it was read in."""
    automatic = sum(bool(one.successor) for one in found.touched)
    return {
        "draft": found.draft.id,
        "revision": found.draft.revision,
        "nomenclature": found.draft.nomenclature.slug,
        "base": found.draft.base or None,
        "changes": {
            "breaking": len(found.touched),
            "automatic": automatic,
            "byHand": len(found.touched) - automatic,
            "compatible": found.compatible,
        },
        "totals": _counts(found.total),
        "codes": _code_documents(found),
        "consumers": consumer_documents(found.consumers),
    }


def organisation_documents(found: Impact) -> list[dict[str, Any]]:
    """The organisations concerned as JSON, each with its crosswalks."""
    return [
        {
            "organisation": one.organisation.slug,
            "name": one.organisation.name,
            "kind": one.organisation.kind,
            **{key: value for key, value in _counts(one.use).items() if key != "organisations"},
            "lists": [
                {
                    "codeList": f"{one.organisation.slug}/{crosswalk.code_list}",
                    "edition": crosswalk.edition,
                    "release": crosswalk.release,
                    "mappings": crosswalk.mappings,
                    "localCodes": crosswalk.local_codes,
                    "byHand": crosswalk.by_hand,
                    "automatic": crosswalk.local_codes - crosswalk.by_hand,
                }
                for crosswalk in one.crosswalks
            ],
        }
        for one in found.organisations
    ]


def _code_documents(found: Impact) -> list[dict[str, Any]]:
    shapes = link_shapes(found.changes.links_added)
    documents = []
    for one in found.touched:
        change = one.change
        concept = change.before or change.after
        successor = found.after.concepts.get(one.successor)
        documents.append(
            {
                "code": change.code,
                "prefLabel": dict(concept.pref_label) if concept else {},
                "release": found.draft.base if change.before else None,
                "kinds": list(change.kinds),
                "action": "automatic" if one.successor else "byHand",
                "successor": {"code": successor.code, "prefLabel": dict(successor.pref_label)} if successor else None,
                "lineage": [link_document(link, shapes.get(link, "")) for link in change.lineage],
                **_counts(one.use),
            }
        )
    return documents


def _counts(use: Use) -> dict[str, int]:
    return {
        "organisations": use.organisations,
        "crosswalks": use.crosswalks,
        "mappings": use.mappings,
        "localCodes": use.local_codes,
        "byHand": use.by_hand,
        "automatic": use.local_codes - use.by_hand,
    }
