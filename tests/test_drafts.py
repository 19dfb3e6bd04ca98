"""Drafts: edited by hand and by file by several people, rebased, never losing what somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from registry import drafts, editing, merging
from registry.access import Actor
from registry.errors import AlreadyPublished, Conflict, Forbidden, Invalid, NotFound, Stale
from registry.formats import FORMATS
from registry.merging import Content as Merging
from registry.model import Acceptance, Concept, Content, Decision, Group, Link, Release, french
from registry.store import Store
from tests.factories import (
    A_DAY,
    a_concept,
    a_deprecated_concept,
    a_link,
    a_member,
    a_nomenclature,
    a_release,
    examples,
    published,
    releases,
)
from tests.remembered import filled
from tests.test_publishing import RICH_RELEASE

NEXT_DAY = date(2025, 1, 1)


@pytest.fixture
def editor(store: Store) -> Actor:
    """An editor of a département, in a registry with one release of two concepts."""

    def begin() -> Actor:
        published(store, a_release())
        return a_member(store, "editor", "secretary")

    return filled(store, "an editor and a release", begin)


def begun(store: Store, editor: Actor, **options: Any) -> int:
    return drafts.from_content(store, "aides", actor=editor, **options)


def concept(store: Store, number: int, code: str) -> Concept | None:
    return drafts.concept_in(store, store.draft_head(number), code).concept


def journal(store: Store) -> list[dict[str, Any]]:
    return [orjson.loads(entry) for entry in store.journal_entries()]


# --- Making and editing --------------------------------------------------------------------------------------------


def test_a_draft_from_nothing_changes_nothing_yet_and_knows_its_author(store: Store, editor: Actor) -> None:
    number = begun(store, editor, title="Une aide de plus")

    head = store.draft_head(number)
    assert (head.title, head.author, head.organisation) == ("Une aide de plus", editor.person, "dep-71")
    assert (head.base, head.state, drafts.changes(store, number).changes) == ("1.0", "open", ())


def test_a_workbook_made_from_an_overtaken_release_is_refused(store: Store, editor: Actor) -> None:
    first = store.release("aides", "1.0")
    read = FORMATS["xlsx"].read
    assert read is not None
    workbook = read(b"".join(FORMATS["xlsx"].write(first)), first.nomenclature)
    begun(store, editor, content=workbook)
    published(store, first.with_heading(version="1.1", concepts={**first.concepts, "C": a_concept("C")}))

    with pytest.raises(Conflict, match=r"made from aides@1\.0, the last is 1\.1"):
        begun(store, editor, content=workbook)


def test_concepts_are_added_changed_and_put_back(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    before = concept(store, number, "A")
    assert before is not None

    editing.put_concept(store, number, a_concept("C"), actor=editor, new=True)
    editing.put_concept(store, number, replace(before, alt_label=french("Autre")), actor=editor)
    changed = [change.code for change in drafts.changes(store, number).changes]
    editing.put_concept(store, number, before, actor=editor)
    editing.delete_concept(store, number, "C", actor=editor)

    assert changed == ["A", "C"]
    assert drafts.changes(store, number).changes == ()
    assert store.draft(number).concepts == {}


def test_an_edit_that_changes_nothing_leaves_no_trace(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    revision, entries = store.draft_head(number).revision, len(journal(store))
    same = concept(store, number, "A")
    assert same is not None

    editing.put_concept(store, number, same, actor=editor)
    editing.revise(store, number, actor=editor, title="")

    assert store.draft_head(number).revision == revision
    assert len(journal(store)) == entries


def test_the_second_of_two_edits_of_a_concept_is_refused_and_shown_both(store: Store, editor: Actor) -> None:
    number, other = begun(store, editor), a_member(store, "editor")
    read = drafts.concept_in(store, store.draft_head(number), "A")
    assert read.concept is not None
    mine = replace(read.concept, definition=french("La mienne."), alt_label=french("Autre"))
    editing.put_concept(store, number, replace(read.concept, definition=french("L'autre.")), actor=other, tag=read.tag)

    with pytest.raises(Stale) as caught:
        editing.put_concept(store, number, mine, actor=editor, tag=read.tag)

    shown = caught.value.details
    definitions = [shown[side]["definition"] for side in ("yours", "theirs", "base")]  # type: ignore[index]  # JSON.
    assert definitions == [{"fr": ["La mienne."]}, {"fr": ["L'autre."]}, {"fr": ["Ce que A désigne."]}]
    assert [clash["field"] for clash in shown["clashes"]] == ["definition"]  # type: ignore[attr-defined]  # JSON.
    found = concept(store, number, "A")
    assert found is not None
    assert found.definition == french("L'autre.")


def test_two_who_make_the_same_code_do_not_overwrite_each_other(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C"), actor=editor, new=True)

    with pytest.raises(Stale):
        editing.put_concept(store, number, a_concept("C", pref_label=french("Autre")), actor=editor, new=True)


@pytest.mark.parametrize(
    "wrong",
    [a_concept("C", pref_label=french("Aide ")), a_concept("-C"), a_concept("C", definition=french("\u202e"))],
    ids=["blanks", "code", "direction"],
)
def test_a_text_or_a_code_that_may_not_be_stored_is_refused_at_once(
    store: Store, editor: Actor, wrong: Concept
) -> None:
    number = begun(store, editor)

    with pytest.raises(Invalid):
        editing.put_concept(store, number, wrong, actor=editor)

    assert store.draft(number).concepts == {}


def test_deleting_a_published_code_is_what_the_checks_refuse(store: Store, editor: Actor) -> None:
    number = begun(store, editor)

    editing.delete_concept(store, number, "B", actor=editor)

    assert "codes_never_disappear" in [problem.rule for problem in drafts.problems(store, number)]


def test_what_is_said_of_a_draft_is_revised_and_lineage_declared(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    accepted = Acceptance("labels_are_unique", "Homonymes.")

    editing.revise(
        store,
        number,
        actor=editor,
        title="Fusion",
        basis="Décret.",
        acts=["SSAA2412345D", "/eli/decret/2024/5/13/SSAA2412345D/jo/texte"],
        same_meaning=["A"],
        accepted=[accepted],
        links_added=[a_link("A", "B")],
    )
    head = store.draft(number)

    assert (head.title, head.decision.basis, head.decision.accepted) == ("Fusion", "Décret.", (accepted,))
    assert (len(head.decision.acts), head.links) == (2, frozenset({a_link("A", "B")}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"acts": ["Décret du 13 mai"]},
        {"acts": ["https://exemple.fr/decret"]},
        {"accepted": [Acceptance("labels_are_unique", "")]},
        {"accepted": [Acceptance("une_regle", "Motif.")]},
        {"title": "Titre\n"},
        {"same_meaning": ["-"]},
        {"links_added": [a_link("A", "-")]},
        {"links_removed": [a_link("A", "B")]},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_what_is_said_of_a_draft_is_refused_where_it_makes_no_sense(
    store: Store, editor: Actor, wrong: dict[str, Any]
) -> None:
    number = begun(store, editor)

    with pytest.raises(Invalid):
        editing.revise(store, number, actor=editor, **wrong)

    assert store.draft_head(number).revision == 1


def test_a_revision_made_from_an_older_state_is_refused(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.revise(store, number, actor=editor, revision=1, title="Un")

    with pytest.raises(Stale, match="revision 2"):
        editing.revise(store, number, actor=editor, revision=1, title="Deux")


def test_whoever_does_not_edit_is_refused_and_the_journal_knows(store: Store, editor: Actor) -> None:
    number, reader = begun(store, editor), a_member(store, "member")

    with pytest.raises(Forbidden):
        editing.put_concept(store, number, a_concept("C"), actor=reader)

    last = journal(store)[-1]
    assert (last["type"], last["operation"], last["person"]) == ("refusal", "draft.edit", reader.person)


def test_the_journal_names_who_edited_what_and_no_content(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C"), actor=editor, new=True)

    last = journal(store)[-1]

    assert (last["operation"], last["object"], last["person"]) == ("draft.edit", f"draft {number} C", editor.person)
    assert "Aide" not in str(last)


def test_a_withdrawn_draft_is_over(store: Store, editor: Actor) -> None:
    number = begun(store, editor)

    drafts.withdraw(store, number, actor=editor)

    actions: list[Callable[[], object]] = [
        lambda: editing.put_concept(store, number, a_concept("C"), actor=editor),
        lambda: editing.revise(store, number, actor=editor, title="Un"),
        lambda: drafts.submit(store, number, version="1.1", valid_from=NEXT_DAY, actor=editor),
        lambda: drafts.withdraw(store, number, actor=editor),
    ]
    for act in actions:
        with pytest.raises(Conflict):
            act()


# --- By file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [format for format in FORMATS.values() if format.read], ids=lambda one: one.name)
def test_a_file_in_which_nothing_was_edited_leaves_no_trace(store: Store, format: Any) -> None:
    published(store, RICH_RELEASE)
    editor = a_member(store, "editor")
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C-9", alt_label=french("a|b", "=1+1")), actor=editor)
    entries, revision = len(journal(store)), store.draft_head(number).revision
    data = b"".join(format.write(drafts.state_of(store, number)))

    head, codes = editing.replace_content(
        store, number, format.read(data, store.draft_head(number).nomenclature), actor=editor
    )

    assert (codes, head.revision, len(journal(store))) == ([], revision, entries)


def test_a_file_changes_what_was_edited_in_it_and_nothing_else(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C"), actor=editor)
    state = drafts.state_of(store, number)
    edited = {**state.concepts, "A": replace(state.concepts["A"], alt_label=french("Autre"))}
    del edited["C"]

    _, codes = editing.replace_content(store, number, Content(edited), actor=editor)

    assert codes == ["A", "C"]
    assert list(store.draft(number).concepts) == ["A"]


def test_a_draft_that_names_a_code_it_lacks_is_had_in_every_format(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C", broader=("Z",), related=("Y",)), actor=editor)

    for format in FORMATS.values():
        assert b"".join(format.write(drafts.state_of(store, number)))


# --- Rebase --------------------------------------------------------------------------------------------------------


def overtaking(store: Store, **concepts: Concept) -> None:
    """Publish 1.1 with these concepts in the place of those of 1.0."""
    base = a_release()
    same = Decision("Essai.", tuple(sorted(concepts)))
    release = a_release(version="1.1").with_heading(concepts={**base.concepts, **concepts})
    published(store, release, decision=same)


def test_a_draft_whose_base_was_overtaken_is_neither_submitted_nor_published(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    overtaking(store, C=a_concept("C"))

    with pytest.raises(Conflict, match=r"1\.1, not 1\.0"):
        drafts.submit(store, number, version="1.2", valid_from=NEXT_DAY, actor=editor)


def test_a_rebase_keeps_both_sides_field_by_field(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("A", alt_label=french("Le mien")), actor=editor)
    editing.revise(store, number, actor=editor, links_added=[a_link("B", "A")])
    overtaking(store, A=a_concept("A", example=french("Le leur")), C=a_concept("C"))

    head = editing.rebase(store, number, actor=editor)

    state = drafts.state_of(store, number)
    assert head.base == "1.1"
    assert state.concepts["A"] == a_concept("A", alt_label=french("Le mien"), example=french("Le leur"))
    assert list(state.concepts) == ["A", "B", "C"]
    assert state.links == {a_link("B", "A")}
    assert list(store.draft(number).concepts) == ["A"]


def test_a_rebase_changes_nothing_until_every_clash_is_resolved(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    mine = a_concept("A", alt_label=french("Le mien"), example=french("Le mien"))
    editing.put_concept(store, number, mine, actor=editor)
    overtaking(store, A=a_concept("A", alt_label=french("Le leur"), example=french("Le leur")))
    before = store.draft(number)

    with pytest.raises(Conflict) as caught:
        editing.rebase(store, number, {("A", "example"): "ours"}, actor=editor)
    assert store.draft(number) == before
    editing.rebase(store, number, {("A", "example"): "ours", ("A", "altLabel"): "theirs"}, actor=editor)

    assert [clash["field"] for clash in caught.value.details["clashes"]] == ["altLabel"]  # type: ignore[attr-defined]  # JSON.
    found = concept(store, number, "A")
    assert found == a_concept("A", alt_label=french("Le leur"), example=french("Le mien"))


def test_a_resolution_of_what_does_not_clash_is_refused(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    overtaking(store, C=a_concept("C"))

    with pytest.raises(Conflict, match="nothing clashes"):
        editing.rebase(store, number, {("C", ""): "ours"}, actor=editor)


def test_what_one_side_deprecated_and_the_other_reworded_clashes_in_no_field(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("B", alt_label=french("Le mien")), actor=editor)
    gone = a_deprecated_concept("B")
    published(store, a_release(version="2.0").with_heading(concepts={"A": a_concept("A"), "B": gone}))

    editing.rebase(store, number, actor=editor)

    assert concept(store, number, "B") == replace(gone, alt_label=french("Le mien"))


def test_a_draft_on_the_last_release_stays_as_it_is(store: Store, editor: Actor) -> None:
    number = begun(store, editor)

    assert editing.rebase(store, number, actor=editor).revision == 1


def _content(release: Release) -> Merging:
    return Merging(a_nomenclature(), release.concepts, release.links, release.groups)


_sides = releases(few_words=True).map(_content)


@pytest.mark.fuzz
@settings(max_examples=examples(60), deadline=None)
@given(_sides, _sides, _sides)
def test_merging_is_fair_and_an_unchanged_side_adds_nothing(base: Merging, ours: Merging, theirs: Merging) -> None:
    groups: tuple[Group, ...] = tuple(sorted(theirs.groups, key=lambda group: group.code))

    assert merging.merged(base, ours, base, {}).clashes == ()
    assert merging.merged(base, ours, base, {}).content.concepts == dict(sorted(ours.concepts.items()))
    unchanged = merging.merged(base, base, theirs, {}).content
    assert (dict(unchanged.concepts), unchanged.links) == (dict(sorted(theirs.concepts.items())), theirs.links)
    assert unchanged.groups == groups
    one, other = merging.merged(base, ours, theirs, {}), merging.merged(base, theirs, ours, {})
    assert [clash[:2] for clash in one.clashes] == [clash[:2] for clash in other.clashes]
    every = merging.merged(base, ours, theirs, {clash[:2]: "theirs" for clash in one.clashes})
    assert every.clashes == ()


# --- Submission ----------------------------------------------------------------------------------------------------


def test_without_voting_rules_a_submitted_draft_is_approved_at_once(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C"), actor=editor)

    head = drafts.submit(store, number, version="1.1", valid_from=NEXT_DAY, actor=editor)

    assert (head.state, head.version, head.valid_from, head.ballots) == ("approved", "1.1", NEXT_DAY, ())
    assert len(head.submission) == 64


def test_nothing_is_submitted_with_problems_or_under_a_version_that_exists(store: Store, editor: Actor) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C", definition=()), actor=editor)

    with pytest.raises(Invalid) as caught:
        drafts.submit(store, number, version="1.1", valid_from=NEXT_DAY, actor=editor)
    with pytest.raises(AlreadyPublished):
        drafts.submit(store, number, version="1.0", valid_from=A_DAY, actor=editor)

    assert [problem.rule for problem in caught.value.problems] == ["concept_has_a_definition_or_scope_note"]
    assert store.draft_head(number).state == "open"


@pytest.mark.parametrize(
    "change",
    [
        lambda store, number, who: editing.put_concept(store, number, a_concept("D"), actor=who),
        lambda store, number, who: editing.revise(store, number, actor=who, basis="Autre."),
        lambda store, number, who: editing.revise(store, number, actor=who, acts=["SSAA2412345D"]),
        lambda store, number, who: editing.revise(
            store, number, actor=who, links_added=[Link("A", "C", A_DAY, "same")]
        ),
    ],
    ids=["content", "basis", "acts", "lineage"],
)
def test_the_hash_that_is_voted_on_is_of_everything_that_is_decided(
    store: Store, editor: Actor, change: Callable[[Store, int, Actor], object]
) -> None:
    number = begun(store, editor)
    editing.put_concept(store, number, a_concept("C"), actor=editor)
    first = drafts.submit(store, number, version="2.0", valid_from=NEXT_DAY, actor=editor).submission

    change(store, number, editor)
    opened = store.draft_head(number)
    second = drafts.submit(store, number, version="2.0", valid_from=NEXT_DAY, actor=editor).submission
    editing.revise(store, number, actor=editor, title="Rouvert")
    third = drafts.submit(store, number, version="2.1", valid_from=NEXT_DAY, actor=editor).submission

    assert (opened.state, opened.submission, opened.version) == ("open", "", "")
    assert len({first, second, third}) == 3


def test_a_draft_that_nobody_knows_is_not_found(store: Store, editor: Actor) -> None:
    with pytest.raises(NotFound):
        editing.put_concept(store, 99, a_concept("C"), actor=editor)
