"""Preparing a release: a draft is a base release plus what is changed on it, from a file or from a release."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from registry import rules
from registry.changes import ChangeSet, change_set
from registry.errors import Problem
from registry.model import Concept, Content, Decision, Group, Link, Nomenclature, Release, mainline
from registry.store import Store
from registry.store.drafts import Draft


def from_content(store: Store, slug: str, content: Content, *, decision: Decision | None = None) -> int:
    """Keep a new draft on the last release of the nomenclature, holding what the file says; return its number.

    :raises NotFound: if there is no such nomenclature.
    """
    base = last_release(store, slug)
    nomenclature = content.nomenclature or (base.nomenclature if base else store.nomenclature(slug))
    decision = decision or Decision("")
    decision = replace(decision, same_meaning=tuple(sorted({*decision.same_meaning, *content.same_meaning})))
    known = base.concepts if base else {}
    changed: dict[str, Concept | None] = {
        code: concept for code, concept in content.concepts.items() if known.get(code) != concept
    }
    changed.update(dict.fromkeys(known.keys() - content.concepts.keys()))
    return store.add_draft(
        nomenclature,
        base.version if base else "",
        concepts=changed,
        links=content.links if content.links is not None else base.links if base else frozenset[Link](),
        groups=_groups(content.groups, base),
        decision=decision,
    )


def last_release(store: Store, slug: str) -> Release | None:
    """The release that the next one is made from, whole; None before the first.

    :raises NotFound: if there is no such nomenclature.
    """
    newest = mainline(store.editions(slug))
    return store.release(slug, newest.version) if newest else None


def _groups(given: tuple[Group, ...] | None, base: Release | None) -> tuple[Group, ...]:
    """The groups that a file gives, their labels from the base where the file has none."""
    known = {group.code: group for group in base.groups} if base else {}
    if given is None:
        return base.groups if base else ()
    return tuple(
        replace(group, pref_label=known[group.code].pref_label)
        if not group.pref_label and group.code in known
        else group
        for group in given
    )


def base_of(store: Store, draft: Draft) -> Release | None:
    """The release that a draft rests on, whole; None for a first release."""
    return store.release(draft.nomenclature.slug, draft.base) if draft.base else None


def content_of(draft: Draft, base: Release | None, *, version: str, valid_from: date) -> Release:
    """The release that a draft would be, under a version and a day from which it applies."""
    concepts = dict(base.concepts) if base else {}
    for code, concept in draft.concepts.items():
        if concept is None:
            concepts.pop(code, None)
        else:
            concepts[code] = concept
    return Release(draft.nomenclature, version, valid_from, dict(sorted(concepts.items())), draft.links, draft.groups)


def changes(store: Store, draft_id: int) -> ChangeSet:
    """The change set of a draft against its base.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    base = base_of(store, draft)
    return change_set(base or _nothing(draft.nomenclature), _as_it_stands(draft, base))


def problems(store: Store, draft_id: int) -> list[Problem]:
    """What the rules find in a draft, whatever version it will bear.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    base = base_of(store, draft)
    found = rules.problems(_as_it_stands(draft, base), base, decision=draft.decision)
    return [problem for problem in found if problem.rule != rules.version_is_deserved.__name__]


def _as_it_stands(draft: Draft, base: Release | None) -> Release:
    return content_of(draft, base, version="", valid_from=base.valid_from if base else date.min)


def _nothing(nomenclature: Nomenclature) -> Release:
    return Release(nomenclature, "", date.min)
