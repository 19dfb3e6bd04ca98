"""What a release makes stale in a crosswalk to an earlier one, and carrying a crosswalk from release to release.

A mapping holds in another release as long as its target means the same there: no declared lineage touches the code, and
it is not deprecated. Whatever else happened to it (it moved, or was worded anew) is told, and the mapping stays. Where
the meaning went elsewhere, the code goes on the **review list**: with the successor, if lineage leads to exactly one
active concept and the relations compose; else with every code that lineage leads to, or the reason why there is none.

Nothing moves by itself. Carrying leaves what holds as it is, and every code of which one mapping does not hold
unreviewed, with what was there beside it; the successors wait there until somebody accepts them.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from registry import crosswalks, draft_editions, editions, lineage
from registry.access import Actor
from registry.changes import Change
from registry.crosswalks import CrosswalkEdition, LocalCode, Mapping, Relation
from registry.draft_editions import at_revision, kept, last_edition, may_write, writing
from registry.errors import NotFound
from registry.model import Concept, preferred, today
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition, DraftMapping

Action = Literal["keep", "successor", "byHand"]
"""What a touched mapping asks for: nothing but a look, the confirmation of one successor, or a decision."""

_TOLD = frozenset({"relabelled", "redefined", "moved", "deprecated", "reinstated", "removed"})
"""Facts worth telling a referent whose mapping holds; other texts and references change without a word."""


class Proposed(NamedTuple):
    """A concept that may take the place of a target; ``relation`` is None where nothing sound follows."""

    concept: Concept
    relation: Relation | None


@dataclass(frozen=True, slots=True)
class Stale:
    """A mapping whose target was touched: by which kinds of change, what is proposed, or why there is nothing.

    ``before`` is the target as the mapping meant it.
    """

    code: LocalCode
    mapping: Mapping
    before: Concept
    kinds: tuple[str, ...]
    action: Action
    proposed: tuple[Proposed, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """The review list between two releases of a nomenclature: every mapping whose target was touched, by local code."""

    nomenclature: str
    release: str
    to: str
    items: tuple[Stale, ...]

    @property
    def stale_codes(self) -> frozenset[str]:
        """The local codes of which a mapping does not hold any more."""
        return frozenset(item.code.code for item in self.items if item.action != "keep")

    def counts(self) -> dict[str, int]:
        """How many mappings ask for what, and how many local codes have to be decided on again."""
        found: dict[str, int] = {action: sum(item.action == action for item in self.items) for action in _ACTIONS}
        return {**found, "codes": len(self.stale_codes)}


_ACTIONS: tuple[Action, ...] = ("keep", "successor", "byHand")


def review_list(store: Store, edition: CrosswalkEdition, release: str) -> Review:
    """What a published edition has to look at again in a release, later or earlier than the one that it maps to.

    :raises NotFound: if there is no such release.
    """
    held = editions.content(store, edition)
    codes = {code.code: code for code in held.codes}
    pairs = [(codes[mapping.local_code], mapping) for mapping in held.mappings]
    return _review(store, edition.nomenclature, edition.release, release, pairs)


def draft_review(store: Store, draft: DraftEdition) -> list[Review]:
    """What a draft was carried with and has to decide on again: one review list for each release that it came from."""
    pairs: dict[str, list[tuple[LocalCode, Mapping]]] = {}
    for row in store.draft_rows(draft, state="unreviewed"):
        for item in row.mappings:
            pairs.setdefault(item.stale_from, []).append((row.code, item.mapping))
    return [
        _review(store, draft.nomenclature, release, draft.release, found) for release, found in sorted(pairs.items())
    ]


def carry(
    store: Store, name: CrosswalkName, release: str, *, actor: Actor, revision: int | None = None
) -> tuple[DraftEdition, Review]:
    """Put a crosswalk on another release: its draft if it has one, else a new one beside its last edition.

    What holds there stays; the review list says of the rest what is left, and nothing is decided in its place. A draft
    that is on that release already stays as it is, at its revision.

    :raises NotFound: if there is neither draft nor edition, or no such release.
    :raises Stale: if the draft is at another revision.
    """
    with may_write(store, name, actor), store.at_once():
        before, rows = _begun(store, name, revision)
        holding = [(code, item.mapping) for code, items in rows for item in items if not item.stale_from]
        review = _review(store, name.nomenclature, before.release, release, holding)
        if before.revision and before.release == release:
            return before, review
        stale = review.stale_codes
        mappings = [
            item._replace(stale_from=_stale_from(item, code.code in stale, before.release, release))
            for code, items in rows
            for item in items
        ]
        with writing(store, name, actor) as act:
            after = store.put_draft_edition(
                replace(before, release=release), codes=[code for code, _ in rows], mappings=mappings
            )
            return kept(act, before, after), review


def accept_successors(
    store: Store, name: CrosswalkName, *, actor: Actor, revision: int | None = None
) -> tuple[DraftEdition, list[Mapping]]:
    """Map the carried codes of a draft of which every mapping holds or has one successor; return what was written.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision.
    """
    with may_write(store, name, actor), store.at_once():
        found = at_revision(store, name, revision)
        reviews = draft_review(store, found)
        decided = {code: rows for review in reviews for code, rows in _succeeding(store, found, review, actor)}
        if not decided:
            return found, []
        written = [mapping for rows in decided.values() for mapping in rows]
        with writing(store, name, actor) as act:
            return kept(act, found, store.put_draft_mappings(found, decided)), written


def _stale_from(item: DraftMapping, is_stale: bool, before: str, after: str) -> str:
    """The release that a mapping held in, if it does not in the one that it is carried to; there it holds again."""
    if item.stale_from:
        return "" if item.stale_from == after else item.stale_from
    return before if is_stale else ""


def _begun(
    store: Store, name: CrosswalkName, revision: int | None
) -> tuple[DraftEdition, list[tuple[LocalCode, tuple[DraftMapping, ...]]]]:
    """The draft with its rows; else a new one with those of the last edition."""
    try:
        draft = at_revision(store, name, revision)
        return draft, [(row.code, row.mappings) for row in store.draft_rows(draft)]
    except NotFound:
        last = last_edition(store, name)
        if last is None:
            raise NotFound("crosswalk", str(name)) from None
    held = editions.content(store, last)
    by_code: dict[str, list[DraftMapping]] = {}
    for mapping in held.mappings:
        by_code.setdefault(mapping.local_code, []).append(DraftMapping(mapping))
    return draft_editions.new(store, name, last.release), [
        (code, tuple(by_code.get(code.code, ()))) for code in held.codes
    ]


# --- What became of the targets ------------------------------------------------------------------------------------


def _review(store: Store, slug: str, old: str, new: str, pairs: Sequence[tuple[LocalCode, Mapping]]) -> Review:
    targets = {mapping.target_code for _, mapping in pairs} - {""}
    if old == new:
        return Review(slug, old, new, ())
    kinds = _kinds(store, slug, old, new, targets)
    ends = _ends(store, slug, old, new, targets)
    touched = {code for code in targets if kinds.get(code) or code in ends}
    before = store.labels(slug, old, touched)
    reached = {end for code in touched for end, _ in ends.get(code, ())}
    after = store.labels(slug, new, touched | reached)
    items = (
        _stale(code, mapping, before[mapping.target_code], after, kinds.get(mapping.target_code, ()), ends)
        for code, mapping in sorted(pairs)
        if mapping.target_code in touched
    )
    return Review(slug, old, new, tuple(items))


def _kinds(store: Store, slug: str, old: str, new: str, targets: set[str]) -> dict[str, tuple[str, ...]]:
    """What happened to each target that is worth telling, in the order in which kinds are listed."""
    return {
        change.code: kinds
        for change in store.difference(slug, old, new).changes
        if change.code in targets and (kinds := tuple(kind for kind in change.kinds if _is_told(change, kind)))
    }


def _is_told(change: Change, kind: str) -> bool:
    return kind in _TOLD or (
        kind not in ("added", "annotated") and any(link.old == change.code for link in change.lineage)
    )


def _ends(
    store: Store, slug: str, old: str, new: str, targets: Iterable[str]
) -> dict[str, list[tuple[str, Relation | None]]]:
    """Where lineage leads from each target that it touches, and what the end is to it; nothing where it ends."""
    known = store.editions(slug)
    numbers = {edition.version: edition.number for edition in known}
    way = lineage.way(store.lineages(slug), known, numbers[old], numbers[new])
    found: dict[str, list[tuple[str, Relation | None]]] = {}
    for target in targets:
        here: list[tuple[str, Relation | None]] = [(target, "exactMatch")]
        touched = False
        for passage in way.passages:
            touched = touched or any(code in passage for code, _ in here)
            here = [end for code, relation in here for end in _onward(passage, code, relation)]
        if touched:
            found[target] = list(dict.fromkeys(here))
    return found


def _onward(passage: lineage.Passage, code: str, relation: Relation | None) -> Iterator[tuple[str, Relation | None]]:
    for chain in passage.get(code, ((),)):
        followed = relation
        for leg in chain:
            followed = crosswalks.compose(followed, leg.relation) if followed and leg.relation else None
        yield chain[-1].code if chain else code, followed


def _stale(
    code: LocalCode,
    mapping: Mapping,
    before: Concept,
    after: collections.abc.Mapping[str, Concept],
    kinds: tuple[str, ...],
    ends: collections.abc.Mapping[str, list[tuple[str, Relation | None]]],
) -> Stale:
    target = mapping.target_code
    led = [one for one in ends.get(target, [(target, "exactMatch")]) if one[0] in after]
    here = after.get(target)
    proposed = tuple(
        Proposed(after[end], crosswalks.compose(mapping.relation, relation) if relation else None)
        for end, relation in led
        if end != target or (here is not None and here.status == "active")
    )
    reason = preferred(here.history_note) if here is not None and here.status == "deprecated" else ""
    was_active = before.status == "active"
    if led == [(target, "exactMatch")] and here is not None and (here.status == "active" or not was_active):
        return Stale(code, mapping, before, kinds, "keep", (), reason)
    alone = proposed[0] if len(led) == len(proposed) == 1 else None
    automatic = alone is not None and alone.relation is not None and alone.concept.status == "active"
    automatic = automatic and alone is not None and alone.concept.code != target
    return Stale(code, mapping, before, kinds, "successor" if automatic else "byHand", proposed, reason)


def _succeeding(store: Store, draft: DraftEdition, review: Review, actor: Actor) -> Iterator[tuple[str, list[Mapping]]]:
    """The codes of a review list that can be mapped by succession alone, with all of their new mappings."""
    by_target = {(item.code.code, item.mapping.target_code): item for item in review.items}
    for row in store.draft_rows(draft, codes=review.stale_codes):
        written: dict[str, Mapping] = {}
        for item in row.mappings:
            stale = by_target.get((row.code.code, item.mapping.target_code))
            action = stale.action if stale else "keep"
            if action == "byHand" or (stale and action == "successor" and _clashes(written, stale.proposed[0])):
                break
            new = _succeeded(stale, draft, actor) if stale and action == "successor" else item.mapping
            written[new.target_code] = new
        else:
            alone = any(mapping.relation in ("exactMatch", "noMatch") for mapping in written.values())
            if not (alone and len(written) > 1):
                yield row.code.code, list(written.values())


def _clashes(written: collections.abc.Mapping[str, Mapping], proposed: Proposed) -> bool:
    known = written.get(proposed.concept.code)
    return known is not None and known.relation != proposed.relation


def _succeeded(stale: Stale, draft: DraftEdition, actor: Actor) -> Mapping:
    """The mapping to the one successor. What was measured of the old target says nothing of the new one."""
    [proposed] = stale.proposed
    assert proposed.relation is not None  # noqa: S101 -- a successor is proposed with a relation.
    same = proposed.relation == stale.mapping.relation
    return replace(
        stale.mapping,
        target_code=proposed.concept.code,
        relation=proposed.relation,
        justification="semapv:MappingChaining",
        confidence="",
        covers=False,
        weight=stale.mapping.weight if same else "",
        comment=f"{stale.before.code} → {proposed.concept.code}, filiation de {draft.nomenclature}@{draft.release}",
        author=actor.person,
        reviewer="",
        date=today().isoformat(),
    )


# --- As JSON -------------------------------------------------------------------------------------------------------


def review_document(review: Review) -> dict[str, Any]:
    """A review list as JSON, without its items. A label stands beside the release that it was read in."""
    return {
        "nomenclature": review.nomenclature,
        "release": review.release,
        "to": review.to,
        "counts": review.counts(),
    }


def item_documents(review: Review, items: Iterable[Stale]) -> list[dict[str, Any]]:
    """Items of a review list as JSON."""
    return [
        {
            "code": item.code.code,
            "label": item.code.label,
            "relation": item.mapping.relation,
            "target": _concept_document(item.before, review.release),
            "kinds": list(item.kinds),
            "action": item.action,
            "proposed": [
                {"relation": one.relation, "target": _concept_document(one.concept, review.to)} for one in item.proposed
            ],
            "reason": item.reason,
        }
        for item in items
    ]


def _concept_document(concept: Concept, release: str) -> dict[str, Any]:
    return {
        "code": concept.code,
        "prefLabel": dict(concept.pref_label),
        "status": concept.status,
        "release": release,
    }
