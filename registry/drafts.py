"""Preparing a release: a draft is a base release plus what is changed on it, from a file, a release, or by hand.

A draft is made and read here; ``editing`` changes it. Submitting freezes it; whoever edits it after that opens it
again, and its votes are void. A draft whose base was overtaken is rebased before it goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import orjson

from registry import ballots, decisions, rules, signing
from registry.access import Act, Actor, acting, refusing
from registry.changes import ChangeSet, change_set
from registry.errors import AlreadyPublished, Conflict, NotFound, Problem, Stale
from registry.formats.document import concept_state
from registry.model import (
    Concept,
    Content,
    Decision,
    Group,
    Link,
    Nomenclature,
    Release,
    mainline,
)
from registry.store import Store
from registry.store.drafts import Draft, DraftHead

IS_WITHDRAWN = "Le projet {draft} a été retiré : il n'y a plus de vote."


class Edited(NamedTuple):
    """A concept as it stands in a draft now, its tag, and the draft; ``concept`` is None where it is not there."""

    concept: Concept | None
    tag: str
    draft: DraftHead


# --- Making a draft ------------------------------------------------------------------------------------------------


def from_content(
    store: Store,
    slug: str,
    content: Content | None = None,
    *,
    decision: Decision | None = None,
    title: str = "",
    actor: Actor | None = None,
) -> int:
    """Keep a new draft on the last release of the nomenclature, holding what a file says; return its number.

    Without ``content`` nothing is changed yet. Whoever acts is the draft's author; nobody does where shipped data is
    loaded.

    :raises NotFound: if there is no such nomenclature.
    :raises Invalid: if the title is refused.
    :raises Conflict: if the file says that it was made from a release that is not the last one.
    """
    with acting_if_any(store, actor, "draft.create", f"nomenclature {slug}") as act:
        base = last_release(store, slug)
        nomenclature = base.nomenclature if base else store.nomenclature(slug)
        decision = decision or Decision("")
        rules.refuse(decisions.heading_problems(title=title, decision=decision))
        changed: dict[str, Concept | None] = {}
        links, groups = (base.links, base.groups) if base else (frozenset[Link](), ())
        if content is not None:
            last = base.version if base else ""
            if content.made_from and content.made_from != last:
                # What the file does not know of would be undone, and nobody would have asked for that.
                raise Conflict(f"the file was made from {slug}@{content.made_from}, the last is {last or 'none'}")
            nomenclature = content.nomenclature or nomenclature
            decision = decisions.with_same_meaning(decision, content)
            known = base.concepts if base else {}
            changed = {code: concept for code, concept in content.concepts.items() if known.get(code) != concept}
            changed.update(dict.fromkeys(known.keys() - content.concepts.keys()))
            links = content.links if content.links is not None else links
            groups = groups_from(content.groups, groups)
        author = actor.person if actor else ""
        mine = actor.organisations("editor", "secretary") if actor else ()
        number = store.add_draft(
            nomenclature,
            base.version if base else "",
            concepts=changed,
            links=links,
            groups=groups,
            decision=decision,
            title=title,
            author=author,
            organisation=mine[0] if mine else "",
        )
        act.object, act.after = f"draft {number}", f"{len(changed)} codes"
        return number


def last_release(store: Store, slug: str) -> Release | None:
    """The release that the next one is made from, whole; None before the first.

    :raises NotFound: if there is no such nomenclature.
    """
    newest = mainline(store.editions(slug))
    return store.release(slug, newest.version) if newest else None


def groups_from(given: tuple[Group, ...] | None, before: tuple[Group, ...]) -> tuple[Group, ...]:
    """The groups that a file gives, their labels from before where the file has none."""
    known = {group.code: group for group in before}
    if given is None:
        return before
    return tuple(
        replace(group, pref_label=known[group.code].pref_label)
        if not group.pref_label and group.code in known
        else group
        for group in given
    )


# --- Reading one ---------------------------------------------------------------------------------------------------


def base_of(store: Store, draft: DraftHead) -> Release | None:
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
    return changes_and_state(store, store.draft(draft_id))[0]


def changes_and_state(store: Store, draft: Draft) -> tuple[ChangeSet, Release]:
    """The change set of a draft against its base, and the whole state that it leads to."""
    base = base_of(store, draft)
    after = as_it_stands(draft, base)
    return change_set(base or nothing(draft.nomenclature), after), after


def problems(store: Store, draft_id: int) -> list[Problem]:
    """What the rules find in a draft, whatever version it will bear.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    base = base_of(store, draft)
    found = rules.problems(as_it_stands(draft, base), base, decision=draft.decision)
    return [problem for problem in found if problem.rule != rules.version_is_deserved.__name__]


def state_of(store: Store, draft_id: int) -> Release:
    """The whole state that a draft holds, as a release without a version: to be written to a file and edited there.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    return as_it_stands(draft, base_of(store, draft))


def concept_in(store: Store, draft: DraftHead, code: str) -> Edited:
    """One concept as a draft holds it, without reading the others."""
    found = store.draft_concept(draft.id, code)
    concept = found.concept if found else in_base(store, draft, code)
    return Edited(concept, concept_tag(concept), draft)


def known_concept_in(store: Store, draft: DraftHead, code: str) -> Concept:
    """One concept that a draft holds.

    :raises NotFound: if it does not.
    """
    found = concept_in(store, draft, code).concept
    if found is None:
        raise NotFound("concept", f"{draft.nomenclature.slug}, draft {draft.id}, {code}")
    return found


def overtaken(store: Store, draft: DraftHead) -> str:
    """The version that came since the one that a draft rests on; the empty string if none did."""
    newest = mainline(store.editions(draft.nomenclature.slug))
    version = newest.version if newest else ""
    return version if version != draft.base else ""


def concept_tag(concept: Concept | None) -> str:
    """What names a state of a concept: an edit says by it what it was made from. Empty where there is none."""
    return signing.sha256(orjson.dumps(concept_state(concept))) if concept else ""


def draft_document(store: Store, draft: DraftHead) -> dict[str, Any]:
    """A draft as JSON, without its content; people stand there as opaque ids."""
    standing = ballots.standing(store, draft)
    return {
        "draft": draft.id,
        "nomenclature": draft.nomenclature.slug,
        "title": draft.title,
        "state": draft.state,
        "base": draft.base or None,
        "overtakenBy": (overtaken(store, draft) or None) if draft.state not in ("published", "withdrawn") else None,
        "author": draft.author or None,
        "organisation": draft.organisation or None,
        "created": signing.instant(draft.created),
        "revision": draft.revision,
        "basis": draft.decision.basis,
        "acts": list(draft.decision.acts),
        "sameMeaning": list(draft.decision.same_meaning),
        "accepted": [
            {"rule": item.rule, "reason": item.reason, "codes": list(item.codes)} for item in draft.decision.accepted
        ],
        "version": draft.version or None,
        "validFrom": draft.valid_from.isoformat() if draft.valid_from else None,
        "corrects": draft.corrects or None,
        "submission": draft.submission or None,
        "publishAt": signing.instant(draft.publish_at) if draft.publish_at else None,
        "release": draft.released or None,
        "ballot": ballots.ballot_document(standing) if standing else None,
    }


def as_it_stands(draft: Draft, base: Release | None) -> Release:
    """The whole state that a draft holds, without a version."""
    return content_of(draft, base, version="", valid_from=base.valid_from if base else date.min)


def nothing(nomenclature: Nomenclature) -> Release:
    """What a first draft is made from."""
    return Release(nomenclature, "", date.min)


def in_base(store: Store, draft: DraftHead, code: str) -> Concept | None:
    """A concept as the release that a draft rests on holds it; None if it does not."""
    return store.labels(draft.nomenclature.slug, draft.base, [code]).get(code) if draft.base else None


# --- What an edit must respect ---------------------------------------------------------------------------------------


def editable(store: Store, draft_id: int, revision: int | None) -> Draft:
    """A draft that may be edited, whole.

    :raises Conflict: if it is over.
    :raises Stale: if it is not at that revision.
    """
    draft = store.draft(draft_id)
    check_alive(draft)
    check_revision(draft, revision)
    return draft


def check_revision(draft: DraftHead, revision: int | None) -> None:
    """Do nothing if the draft is at the revision that an edit was made from; None stands for any.

    :raises Stale: if it is at another one.
    """
    if revision not in (None, draft.revision):
        raise Stale(f"draft {draft.id} is at revision {draft.revision}")


def check_alive(draft: DraftHead) -> None:
    """Do nothing if a draft may still become a release.

    :raises Conflict: if it is over.
    """
    if draft.state in ("published", "withdrawn"):
        raise Conflict(f"draft {draft.id} is {draft.state}")


# --- Submitting one, withdrawing one ---------------------------------------------------------------------------------


def submit(
    store: Store,
    draft_id: int,
    *,
    version: str,
    valid_from: date,
    actor: Actor,
    corrects: str = "",
    opens: date | None = None,
    closes: date | None = None,
    revision: int | None = None,
) -> DraftHead:
    """Freeze a draft: content, lineage, version and first day under one hash, on which the committee votes.

    Where no votes are asked for it is approved at once. ``opens`` is today and ``closes`` follows from the rules unless
    they are given.

    :raises Conflict: if the draft is not open, or another release has come since its base.
    :raises AlreadyPublished: if this version exists.
    :raises Stale: if the draft is not at that revision.
    :raises Invalid: with every problem found, warnings included unless the draft accepts them.
    """
    place = f"draft {draft_id}"
    with refusing(store, actor, "draft.submit", place):
        draft = store.draft(draft_id)
        check_revision(draft, revision)
        if draft.state != "open":
            raise Conflict(f"{place} is {draft.state}")
        # The checks take long on a large nomenclature: nobody waits for them, and what they saw is compared after.
        frozen = replace(draft, version=version, valid_from=valid_from, corrects=corrects)
        release = checked(store, frozen)
        submission = submission_of(frozen, release)
        with acting(store, actor, "draft.submit", place) as act:
            head = store.draft_head(draft_id)
            if head.revision != draft.revision:
                raise Conflict(f"{place} was changed while it was being submitted")
            _check_base(store, head)
            voting = store.voting_rules(head.nomenclature.slug)
            act.before, act.after = draft.submission, submission
            frozen = replace(frozen, submission=submission, state="submitted" if voting else "approved")
            if voting:
                ballot = ballots.ballot_on(store, head, submission, voting, opens=opens, closes=closes)
                ballot = replace(ballot, version=version, valid_from=valid_from.isoformat())
                frozen = replace(frozen, round=ballot.round, ballots=(*head.ballots, ballot))
            return store.change_draft(draft, frozen)


def checked(store: Store, draft: Draft) -> Release:
    """The release that a draft would be under its version and first day, once nothing is wrong with it.

    :raises Conflict: if another release has come since its base.
    :raises AlreadyPublished: if this version exists.
    :raises Invalid: with every problem found, warnings included unless the draft accepts them.
    """
    if draft.valid_from is None:
        raise Conflict(f"draft {draft.id} has no version yet")
    slug = draft.nomenclature.slug
    if any(edition.version == draft.version for edition in store.editions(slug)):
        raise AlreadyPublished(f"{slug}@{draft.version}")
    _check_base(store, draft)
    base = base_of(store, draft)
    release = content_of(draft, base, version=draft.version, valid_from=draft.valid_from)
    corrected = store.release(slug, draft.corrects) if draft.corrects else None
    rules.refuse(rules.problems(release, base, decision=draft.decision, corrects=corrected))
    return release


def submission_of(draft: DraftHead, release: Release) -> str:
    """The hash that the votes on a draft are bound to: of its content and of what is decided with it."""
    content = hashlib.sha256()
    for line in signing.canonical_lines(release):
        content.update(line)
    return signing.submission(content.hexdigest(), draft.decision, draft.corrects)


def _check_base(store: Store, draft: DraftHead) -> None:
    newest = overtaken(store, draft)
    if newest:
        slug = draft.nomenclature.slug
        raise Conflict(f"{slug}: the last release is {newest}, not {draft.base or 'none'}: rebase draft {draft.id}")


def withdraw(store: Store, draft_id: int, *, actor: Actor, revision: int | None = None) -> DraftHead:
    """Give a draft up: it stays readable, and nothing more is done with it.

    :raises Conflict: if it is over already.
    :raises Stale: if it is not at that revision.
    """
    with acting(store, actor, "draft.withdraw", f"draft {draft_id}") as act:
        draft = editable(store, draft_id, revision)
        act.before, act.after = draft.state, "withdrawn"
        after = draft
        if draft.ballot is not None and draft.state in ballots.BEING_DECIDED:
            after = ballots.voided(store, draft, IS_WITHDRAWN.format(draft=draft_id))
        return store.change_draft(draft, replace(after, state="withdrawn", publish_at=None, scheduled_by=""))


@contextmanager
def acting_if_any(store: Store, actor: Actor | None, operation: str, object: str) -> Iterator[Act]:
    """``acting``, or where nobody acts (shipped data) only one transaction."""
    if actor is None:
        with store.at_once():
            yield Act(object)
    else:
        with acting(store, actor, operation, object) as act:
            yield act
