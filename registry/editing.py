"""Editing a draft: concept by concept, by a file, in what it says beside its concepts, or onto a newer base.

Every edit says what it was made from (a concept's tag, the draft's revision), and one that was made from something else
is refused with both states. An edit of a submitted draft opens it again, and its votes are void.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date

from registry import ballots, decisions, drafts, merging, rules
from registry.access import Actor, acting, refusing
from registry.drafts import Edited
from registry.errors import Conflict, Problem, Stale
from registry.formats.document import concept_state
from registry.merging import Side
from registry.model import WIDEST_CODE, Acceptance, Concept, Content, Link, Release
from registry.store import Store
from registry.store.drafts import Draft, DraftHead

LISTED_CLASHES = 100

OPEN_AGAIN = "Le projet {draft} a été modifié : votre vote ne compte plus."


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
        found = drafts.concept_in(store, store.draft_head(draft_id), code)
        drafts.check_alive(found.draft)
        if concept is not None:
            alone = Release(found.draft.nomenclature, "", date.min, {code: concept})
            rules.refuse([*rules.codes_have_their_shape(alone), *rules.texts_are_clean(alone)])
        _check_tag(store, found, code, concept, tag)
        if found.concept == concept:
            return found
        with acting(store, actor, "draft.edit", f"{place} {code}") as act:
            act.before, act.after = found.tag, drafts.concept_tag(concept)
            if concept == drafts.in_base(store, found.draft, code):
                store.drop_draft_concepts(draft_id, [code])
            else:
                store.put_draft_concepts(draft_id, {code: concept}, actor.person)
            return Edited(concept, act.after, store.change_draft(found.draft, _open_again(store, found.draft)))


def _check_tag(store: Store, found: Edited, code: str, concept: Concept | None, tag: str | None) -> None:
    if tag is None or tag == found.tag:
        return
    base = drafts.in_base(store, found.draft, code)
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
        draft = drafts.editable(store, draft_id, revision)
        decision = replace(
            draft.decision,
            basis=draft.decision.basis if basis is None else basis,
            acts=draft.decision.acts if acts is None else tuple(dict.fromkeys(acts)),
            same_meaning=draft.decision.same_meaning if same_meaning is None else tuple(sorted(set(same_meaning))),
            accepted=draft.decision.accepted if accepted is None else tuple(accepted),
        )
        after = replace(draft, title=draft.title if title is None else title, decision=decision)
        rules.refuse(
            [*decisions.heading_problems(title=after.title, decision=decision), *_link_problems(draft, added, removed)]
        )
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
        draft = drafts.editable(store, draft_id, revision)
        base = drafts.base_of(store, draft)
        before = drafts.as_it_stands(draft, base).concepts
        codes = [
            code
            for code in sorted(before.keys() | content.concepts.keys())
            if before.get(code) != content.concepts.get(code)
        ]
        states = {code: content.concepts.get(code) for code in codes}
        after = replace(
            draft,
            nomenclature=content.nomenclature or draft.nomenclature,
            decision=decisions.with_same_meaning(draft.decision, content),
            links=draft.links if content.links is None else content.links,
            groups=drafts.groups_from(content.groups, draft.groups),
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
        draft = drafts.editable(store, draft_id, revision)
        newest = drafts.overtaken(store, draft)
        if not newest:
            if sides:
                raise Conflict(f"draft {draft_id} rests on the last release: nothing clashes")
            return draft
        slug = draft.nomenclature.slug
        base = drafts.base_of(store, draft)
        theirs = store.release(slug, newest)
        result, clashes = merging.merged(
            _mergeable(base or drafts.nothing(store.nomenclature(slug))),
            _mergeable(drafts.as_it_stands(draft, base)),
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


def _open_again(store: Store, draft: DraftHead) -> DraftHead:
    """The draft, open: an edit takes back a submission, and whoever voted is told that the votes are void."""
    if draft.state == "open":
        return draft
    return replace(ballots.voided(store, draft, OPEN_AGAIN.format(draft=draft.id)), state="open")


def _link_problems(draft: Draft, added: frozenset[Link], removed: frozenset[Link]) -> Iterator[Problem]:
    for link in sorted(added):
        for code in (link.old, link.new):
            if not WIDEST_CODE.fullmatch(code):
                yield Problem("lineage_is_sound", "code mal formé", (), "lineage", code, WIDEST_CODE.pattern)
    for link in sorted(removed - draft.links):
        yield Problem(
            "lineage_is_sound", "cette filiation n'est pas dans le projet", (link.old, link.new), "lineage", link.kind
        )
