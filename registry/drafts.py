"""Preparing a release: a draft is a base release plus what is changed on it, from a file, a release, or by hand.

Two people may edit one draft: every edit says what it was made from (a concept's tag, the draft's revision), and one
that was made from something else is refused with both states. Submitting freezes a draft; whoever edits it after that
opens it again, and its votes are void. A draft whose base was overtaken is rebased before it goes on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import orjson

from registry import ballots, merging, rules, signing
from registry.access import Act, Actor, acting, refusing
from registry.changes import ChangeSet, change_set
from registry.errors import AlreadyPublished, Conflict, NotFound, Problem, Stale
from registry.formats.document import concept_state
from registry.merging import Side
from registry.model import (
    WIDEST_CODE,
    Acceptance,
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

TITLE_LENGTH = 200
REASON_LENGTH = 2_000
LISTED_CLASHES = 100

ACTS = re.compile(
    r"[A-Z]{3}[A-Z0-9][0-9]{7}[A-Z]"  # NOR
    r"|(https?://[a-z0-9.-]+)?/eli/[a-z_]+/[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"  # ELI
)
ACTS_ACCEPTED = "un NOR (SSAA2412345D) ou un ELI (/eli/decret/2024/5/13/SSAA2412345D/jo/texte)"

OPEN_AGAIN = "Le projet {draft} a été modifié : votre vote ne compte plus."
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
        rules.refuse(_heading_problems(title=title, decision=decision))
        changed: dict[str, Concept | None] = {}
        links, groups = (base.links, base.groups) if base else (frozenset[Link](), ())
        if content is not None:
            last = base.version if base else ""
            if content.made_from and content.made_from != last:
                # What the file does not know of would be undone, and nobody would have asked for that.
                raise Conflict(f"the file was made from {slug}@{content.made_from}, the last is {last or 'none'}")
            nomenclature = content.nomenclature or nomenclature
            decision = _with_same_meaning(decision, content)
            known = base.concepts if base else {}
            changed = {code: concept for code, concept in content.concepts.items() if known.get(code) != concept}
            changed.update(dict.fromkeys(known.keys() - content.concepts.keys()))
            links = content.links if content.links is not None else links
            groups = _groups(content.groups, groups)
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


def _with_same_meaning(decision: Decision, content: Content) -> Decision:
    return replace(decision, same_meaning=tuple(sorted({*decision.same_meaning, *content.same_meaning})))


def _groups(given: tuple[Group, ...] | None, before: tuple[Group, ...]) -> tuple[Group, ...]:
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
    after = _as_it_stands(draft, base)
    return change_set(base or _nothing(draft.nomenclature), after), after


def problems(store: Store, draft_id: int) -> list[Problem]:
    """What the rules find in a draft, whatever version it will bear.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    base = base_of(store, draft)
    found = rules.problems(_as_it_stands(draft, base), base, decision=draft.decision)
    return [problem for problem in found if problem.rule != rules.version_is_deserved.__name__]


def state_of(store: Store, draft_id: int) -> Release:
    """The whole state that a draft holds, as a release without a version: to be written to a file and edited there.

    :raises NotFound: if there is no such draft.
    """
    draft = store.draft(draft_id)
    return _as_it_stands(draft, base_of(store, draft))


def concept_in(store: Store, draft: DraftHead, code: str) -> Edited:
    """One concept as a draft holds it, without reading the others."""
    found = store.draft_concept(draft.id, code)
    concept = found.concept if found else _in_base(store, draft, code)
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


def _as_it_stands(draft: Draft, base: Release | None) -> Release:
    return content_of(draft, base, version="", valid_from=base.valid_from if base else date.min)


def _nothing(nomenclature: Nomenclature) -> Release:
    return Release(nomenclature, "", date.min)


def _in_base(store: Store, draft: DraftHead, code: str) -> Concept | None:
    return store.labels(draft.nomenclature.slug, draft.base, [code]).get(code) if draft.base else None


# --- Editing one ---------------------------------------------------------------------------------------------------


def put_concept(
    store: Store, draft_id: int, concept: Concept, *, actor: Actor, tag: str | None = None, new: bool = False
) -> Edited:
    """Put a concept into a draft, in the place of the one of that code.

    ``tag`` names the state that the edit was made from (None: whichever is there); ``new`` says that there was none.

    :raises Stale: if the state is another one: both are shown, and what both began from.
    :raises Conflict: if the draft is over.
    :raises Invalid: if the code or a text is refused at once, whatever the other rules say later.
    """
    return _edit_concept(store, draft_id, concept.code, concept, actor=actor, tag="" if new else tag)


def delete_concept(store: Store, draft_id: int, code: str, *, actor: Actor, tag: str | None = None) -> Edited:
    """Take a concept out of a draft. Checks refuse it where the code was published: that one is deprecated instead.

    :raises Stale: if it is not in the state that ``tag`` names.
    :raises Conflict: if the draft is over.
    """
    return _edit_concept(store, draft_id, code, None, actor=actor, tag=tag)


def _edit_concept(
    store: Store, draft_id: int, code: str, concept: Concept | None, *, actor: Actor, tag: str | None
) -> Edited:
    place = f"draft {draft_id}"
    with refusing(store, actor, "draft.edit", place), store.at_once():
        found = concept_in(store, store.draft_head(draft_id), code)
        _check_alive(found.draft)
        if concept is not None:
            alone = Release(found.draft.nomenclature, "", date.min, {code: concept})
            rules.refuse([*rules.codes_have_their_shape(alone), *rules.texts_are_clean(alone)])
        _check_tag(store, found, code, concept, tag)
        if found.concept == concept:
            return found
        with acting(store, actor, "draft.edit", f"{place} {code}") as act:
            act.before, act.after = found.tag, concept_tag(concept)
            if concept == _in_base(store, found.draft, code):
                store.drop_draft_concepts(draft_id, [code])
            else:
                store.put_draft_concepts(draft_id, {code: concept}, actor.person)
            return Edited(concept, act.after, store.change_draft(found.draft, _open_again(store, found.draft)))


def _check_tag(store: Store, found: Edited, code: str, concept: Concept | None, tag: str | None) -> None:
    if tag is None or tag == found.tag:
        return
    base = _in_base(store, found.draft, code)
    sides = {"yours": concept, "theirs": found.concept, "base": base}
    details: dict[str, object] = {name: concept_state(side) if side else None for name, side in sides.items()}
    clashes = merging.differences(base, concept, found.concept) if concept or found.concept or base else []
    details["clashes"] = list(merging.clash_documents(clashes))
    raise Stale(f"draft {found.draft.id} {code}", details)


def revise(
    store: Store,
    draft_id: int,
    *,
    actor: Actor,
    revision: int | None = None,
    title: str | None = None,
    basis: str | None = None,
    acts: Iterable[str] | None = None,
    same_meaning: Iterable[str] | None = None,
    accepted: Iterable[Acceptance] | None = None,
    links_added: Iterable[Link] = (),
    links_removed: Iterable[Link] = (),
) -> DraftHead:
    """Change what a draft says beside its concepts; what is None stays.

    :raises Stale: if the draft is not at that revision.
    :raises Conflict: if the draft is over.
    :raises Invalid: with what is refused: a title, an act that is neither NOR nor ELI, a warning without a reason.
    """
    added, removed = frozenset(links_added), frozenset(links_removed)
    with refusing(store, actor, "draft.edit", f"draft {draft_id}"), store.at_once():
        draft = _editable(store, draft_id, revision)
        decision = replace(
            draft.decision,
            basis=draft.decision.basis if basis is None else basis,
            acts=draft.decision.acts if acts is None else tuple(dict.fromkeys(acts)),
            same_meaning=draft.decision.same_meaning if same_meaning is None else tuple(sorted(set(same_meaning))),
            accepted=draft.decision.accepted if accepted is None else tuple(accepted),
        )
        after = replace(draft, title=draft.title if title is None else title, decision=decision)
        rules.refuse([*_heading_problems(title=after.title, decision=decision), *_link_problems(draft, added, removed)])
        links = (draft.links - removed) | added
        return _written(store, draft, replace(after, links=links), actor=actor)


def replace_content(
    store: Store, draft_id: int, content: Content, *, actor: Actor, revision: int | None = None
) -> tuple[DraftHead, list[str]]:
    """Let a draft hold what a file says; return it and the codes that are not what they were before.

    What was not edited in the file does not change, and a file in which nothing was edited leaves no trace.

    :raises Stale: if the draft is not at that revision.
    :raises Conflict: if the draft is over.
    """
    with refusing(store, actor, "draft.edit", f"draft {draft_id}"), store.at_once():
        draft = _editable(store, draft_id, revision)
        base = base_of(store, draft)
        before = _as_it_stands(draft, base).concepts
        codes = [
            code
            for code in sorted(before.keys() | content.concepts.keys())
            if before.get(code) != content.concepts.get(code)
        ]
        states = {code: content.concepts.get(code) for code in codes}
        after = replace(
            draft,
            nomenclature=content.nomenclature or draft.nomenclature,
            decision=_with_same_meaning(draft.decision, content),
            links=draft.links if content.links is None else content.links,
            groups=_groups(content.groups, draft.groups),
        )
        known = base.concepts if base else {}
        return _written(store, draft, after, actor=actor, known=known, states=states), codes


def _written(
    store: Store,
    draft: Draft,
    after: Draft,
    *,
    actor: Actor,
    known: Mapping[str, Concept] | None = None,
    states: Mapping[str, Concept | None] | None = None,
) -> DraftHead:
    """Write an edit of a draft, unless it changes nothing: its head, lineage and groups, and the ``states`` of codes.

    Of the states, rows are kept of those alone that differ from ``known``, what the base holds.
    """
    states = states or {}
    if after == draft and not states:
        return draft
    with acting(store, actor, "draft.edit", f"draft {draft.id}") as act:
        act.before, act.after = f"revision {draft.revision}", f"revision {draft.revision + 1}"
        same = {code for code, concept in states.items() if (known or {}).get(code) == concept}
        store.drop_draft_concepts(draft.id, same & draft.concepts.keys())
        edited = {code: concept for code, concept in states.items() if code not in same}
        store.put_draft_concepts(draft.id, edited, actor.person)
        head = _open_again(store, after)
        return store.change_draft(draft, head, links=after.links, groups=after.groups)


def rebase(
    store: Store,
    draft_id: int,
    sides: Mapping[tuple[str, str], Side] | None = None,
    *,
    actor: Actor,
    revision: int | None = None,
) -> DraftHead:
    """Put a draft on the release that overtook its base: concept by concept, field by field, lineage by set.

    ``sides`` says which side holds where both changed a field, by (code, field), or (code, empty) for all its fields:
    ``ours`` is the draft, ``theirs`` the release.

    :raises Conflict: with every clash that nobody resolved; then nothing changes.
    :raises Stale: if the draft is not at that revision.
    """
    with refusing(store, actor, "draft.edit", f"draft {draft_id}"), store.at_once():
        draft = _editable(store, draft_id, revision)
        newest = overtaken(store, draft)
        if not newest:
            if sides:
                raise Conflict(f"draft {draft_id} rests on the last release: nothing clashes")
            return draft
        slug = draft.nomenclature.slug
        base = base_of(store, draft)
        theirs = store.release(slug, newest)
        result, clashes = merging.merged(
            _mergeable(base or _nothing(store.nomenclature(slug))),
            _mergeable(_as_it_stands(draft, base)),
            _mergeable(theirs),
            sides or {},
        )
        if clashes:
            listed = list(merging.clash_documents(clashes[:LISTED_CLASHES]))
            details: dict[str, object] = {"clashes": listed, "total": len(clashes)}
            raise Conflict(f"draft {draft_id}: {draft.base or 'its base'} was overtaken by {newest}", details)
        touched = draft.concepts.keys() | {
            code
            for code in result.concepts.keys() | theirs.concepts.keys()
            if result.concepts.get(code) != theirs.concepts.get(code)
        }
        after = replace(draft, base=newest, nomenclature=result.nomenclature, links=result.links, groups=result.groups)
        states = {code: result.concepts.get(code) for code in sorted(touched)}
        return _written(store, draft, after, actor=actor, known=theirs.concepts, states=states)


def _mergeable(state: Release) -> merging.Content:
    return merging.Content(state.nomenclature, state.concepts, state.links, state.groups)


def _editable(store: Store, draft_id: int, revision: int | None) -> Draft:
    """A draft that may be edited, whole.

    :raises Conflict: if it is over.
    :raises Stale: if it is not at that revision.
    """
    draft = store.draft(draft_id)
    _check_alive(draft)
    check_revision(draft, revision)
    return draft


def check_revision(draft: DraftHead, revision: int | None) -> None:
    """Do nothing if the draft is at the revision that an edit was made from; None stands for any.

    :raises Stale: if it is at another one.
    """
    if revision not in (None, draft.revision):
        raise Stale(f"draft {draft.id} is at revision {draft.revision}")


def _check_alive(draft: DraftHead) -> None:
    if draft.state in ("published", "withdrawn"):
        raise Conflict(f"draft {draft.id} is {draft.state}")


def _open_again(store: Store, draft: DraftHead) -> DraftHead:
    """The draft, open: an edit takes back a submission, and whoever voted is told that the votes are void."""
    if draft.state == "open":
        return draft
    return replace(ballots.voided(store, draft, OPEN_AGAIN.format(draft=draft.id)), state="open")


def _heading_problems(*, title: str, decision: Decision) -> Iterator[Problem]:
    """What is refused at once in what a draft says beside its concepts."""
    for name, text, limit in (("title", title, TITLE_LENGTH), ("basis", decision.basis, REASON_LENGTH)):
        if text and (fault := rules.text_fault(text, limit=limit, lines=name == "basis")):
            yield Problem("draft_is_sound", fault, where=name, value=text, accepted="texte propre, NFC")
    for act in decision.acts:
        if not ACTS.fullmatch(act):
            yield Problem("draft_is_sound", "acte mal désigné", where="acts", value=act, accepted=ACTS_ACCEPTED)
    known = [rule.__name__ for rule in (*rules.RULES, *rules.CHANGE_RULES)]
    for item in decision.accepted:
        if item.rule not in known:
            yield Problem("draft_is_sound", "règle inconnue", where="accepted", value=item.rule)
        if fault := rules.text_fault(item.reason, limit=REASON_LENGTH, lines=True):
            yield Problem("draft_is_sound", fault, item.codes, "accepted", item.reason, "un motif écrit")
    for code in (*decision.same_meaning, *(code for item in decision.accepted for code in item.codes)):
        if not WIDEST_CODE.fullmatch(code):
            yield Problem("draft_is_sound", "code mal formé", where="sameMeaning", value=code)


def _link_problems(draft: Draft, added: frozenset[Link], removed: frozenset[Link]) -> Iterator[Problem]:
    for link in sorted(added):
        for code in (link.old, link.new):
            if not WIDEST_CODE.fullmatch(code):
                yield Problem("lineage_is_sound", "code mal formé", (), "lineage", code, WIDEST_CODE.pattern)
    for link in sorted(removed - draft.links):
        yield Problem(
            "lineage_is_sound", "cette filiation n'est pas dans le projet", (link.old, link.new), "lineage", link.kind
        )


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
        draft = _editable(store, draft_id, revision)
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
