"""Preparing an edition of a crosswalk: one draft at most beside each, private to its organisation until published.

It comes from the organisation's own file, or from the last edition, carried to another release; then each code is
decided by hand, or from candidates that are sure. Whatever is written says which revision of the draft it was made
from, and a draft only holds what could be published, so that publishing it is one step: all of it, or nothing.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from registry import crosswalks, editions, rules, signing
from registry.access import Act, Actor, acting, refusing
from registry.crosswalks import MAPPING_COLUMNS, CodeList, Crosswalk, CrosswalkEdition, LocalCode, Mapping
from registry.editions import Content, Counts, Coverage, Source
from registry.errors import Problem, Stale
from registry.model import SLUG, today
from registry.rules import text_fault
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition, DraftRow

if TYPE_CHECKING:
    from registry.candidates import Candidate
    from registry.search import Index

STATES = ("mapped", "noMatch", "unreviewed")
LICENCE_OUVERTE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
CANDIDATES = 5
"""How many concepts are proposed for a code, at most."""
SURE = (73, 73, 174)
"""Of how many suggestions that were called sure how many were right, among how many labels: see docs/search.md."""

_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of a draft as a whole; what is None stays as it is."""

    release: str | None = None
    valid_from: date | None = None
    author: str | None = None
    license: str | None = None
    title: str | None = None


class Choice(NamedTuple):
    """What was decided of a code: rows by column, as in the canonical file; none, and it is unreviewed again."""

    code: str
    rows: tuple[collections.abc.Mapping[str, str], ...] = ()


# --- Reading one ---------------------------------------------------------------------------------------------------


def reading(store: Store, name: CrosswalkName, actor: Actor) -> AbstractContextManager[None]:
    """Refuse whoever may not read the drafts of the organisation.

    :raises Unauthenticated, Forbidden: if the actor may not.
    """
    return refusing(store, actor, "crosswalk.read", _object(name), organisation=name.organisation)


def draft(store: Store, name: CrosswalkName, *, actor: Actor) -> DraftEdition:
    """The draft beside a crosswalk.

    :raises Forbidden: if the actor may not read it.
    :raises NotFound: if there is none.
    """
    with reading(store, name, actor):
        return store.draft_edition(name)


def content(store: Store, found: DraftEdition) -> Content:
    """What a draft holds that can be published: its codes, and the mappings that hold in its release."""
    rows = store.draft_rows(found)
    mappings = (item.mapping for row in rows for item in row.mappings if not item.stale_from)
    return Content(tuple(row.code for row in rows), tuple(mappings))


def whole(store: Store, found: DraftEdition) -> Crosswalk:
    """A draft as it goes out to a file, to be edited there and sent back."""
    held = content(store, found)
    return Crosswalk(
        found.code_list,
        store.heading(found.nomenclature, found.release),
        found.release,
        held.codes,
        held.mappings,
        editions.choices(store, found.nomenclature, found.release, held.mappings),
        author=found.author,
        license=found.license,
    )


def coverage(store: Store, found: DraftEdition) -> Coverage:
    """How far a draft covers its list, in codes and in uses."""
    counts = store.draft_counts(found)
    uses = Counts(*(counts[state].uses for state in STATES))
    known = any(one.told for one in counts.values())
    return Coverage(Counts(*(counts[state].codes for state in STATES)), uses if known else None)


def problems(store: Store, found: DraftEdition) -> list[Problem]:
    """What stands in the way of publishing a draft, and what its author may want to look at again (warnings)."""
    return _problems(store, found, content(store, found))


def difference(store: Store, found: DraftEdition) -> editions.Difference:
    """What publishing a draft would change in the last edition."""
    last = last_edition(store, found.name)
    return editions.difference(editions.content(store, last) if last else Content(), content(store, found))


def document(store: Store, found: DraftEdition) -> dict[str, Any]:
    """A draft as JSON, with its coverage and without its codes."""
    return {
        "organisation": found.code_list.organisation,
        "codeList": f"{found.code_list.organisation}/{found.code_list.slug}",
        "title": found.code_list.title,
        "nomenclature": found.nomenclature,
        "release": found.release,
        "base": found.base or None,
        "validFrom": found.valid_from.isoformat() if found.valid_from else None,
        "author": found.author,
        "license": found.license,
        "revision": found.revision,
        "created": signing.instant(found.created),
        "coverage": coverage(store, found).document(),
    }


def state(row: DraftRow) -> str:
    """The state of a code: mapped, noMatch or unreviewed; what waits to be looked at again is unreviewed."""
    relations = [item.mapping.relation for item in row.mappings if not item.stale_from]
    return "unreviewed" if not relations else "noMatch" if relations == ["noMatch"] else "mapped"


def row_document(row: DraftRow) -> dict[str, Any]:
    """A code of a draft as JSON, with its state and its mappings."""
    mappings = [
        {**editions.mapping_document(item.mapping), "staleFrom": item.stale_from or None} for item in row.mappings
    ]
    return {**editions.code_document(row.code), "status": state(row), "mappings": mappings}


def last_edition(store: Store, name: CrosswalkName) -> CrosswalkEdition | None:
    """The last published edition of a crosswalk; None before the first."""
    found = store.crosswalk_editions(
        organisation=name.organisation, code_list=name.code_list, nomenclature=name.nomenclature
    )
    return found[-1] if found else None


# --- Writing one ---------------------------------------------------------------------------------------------------


def writing(store: Store, name: CrosswalkName, actor: Actor) -> AbstractContextManager[Act]:
    """One transaction in which the actor writes the draft of an organisation; the journal tells it.

    :raises Unauthenticated, Forbidden: if the actor may not.
    """
    return acting(store, actor, "crosswalk.write", _object(name), organisation=name.organisation)


def may_write(store: Store, name: CrosswalkName, actor: Actor) -> AbstractContextManager[None]:
    """Refuse whoever may not write the drafts of the organisation, where it is not certain that anything is written.

    :raises Unauthenticated, Forbidden: if the actor may not.
    """
    return refusing(store, actor, "crosswalk.write", _object(name), organisation=name.organisation)


def at_revision(store: Store, name: CrosswalkName, revision: int | None) -> DraftEdition:
    """The draft beside a crosswalk, at the revision that a change was made from; None stands for any.

    :raises NotFound: if there is none.
    :raises Stale: if it is at another revision.
    """
    found = store.draft_edition(name)
    if revision not in (None, found.revision):
        raise Stale(f"the draft of {name} is at revision {found.revision}")
    return found


def new(store: Store, name: CrosswalkName, release: str) -> DraftEdition:
    """A draft that nothing is kept of yet, beside the editions that there are.

    :raises Invalid: if the list is new and could not be called so.
    """
    known, last = editions.last_list(store, name.organisation, name.code_list), last_edition(store, name)
    code_list = known.code_list if known else CodeList(name.organisation, name.code_list, name.code_list)
    rules.refuse(editions.name_problems(code_list))
    return DraftEdition(
        code_list,
        name.nomenclature,
        release,
        base=last.edition if last else 0,
        valid_from=None,
        author=last.author if last else store.organisation(name.organisation).name,
        license=last.license if last else LICENCE_OUVERTE,
        revision=0,
        created=datetime.now(UTC).replace(microsecond=0),
    )


def said_of(found: DraftEdition, said: Said) -> DraftEdition:
    """A draft as somebody says that it is; the title is that of a list that has no edition yet.

    :raises Invalid: with every text that is refused.
    """
    texts = {"author": said.author, "license": said.license, "title": said.title}
    rules.refuse(
        Problem("draft_is_sound", fault, (), name, text, "un texte d'une ligne")
        for name, text in texts.items()
        if text is not None and (fault := text_fault(text, limit=_LENGTH))
    )
    author = found.author if said.author is None else said.author
    license = found.license if said.license is None else said.license
    code_list = found.code_list
    if said.title is not None:
        code_list = replace(code_list, title=said.title)
    if said.license is not None and not code_list.license:
        code_list = replace(code_list, license=said.license)
    valid_from = found.valid_from if said.valid_from is None else said.valid_from
    return replace(found, code_list=code_list, author=author, license=license, valid_from=valid_from)


def revise(store: Store, name: CrosswalkName, said: Said, *, actor: Actor, revision: int | None = None) -> DraftEdition:
    """Change what a draft says as a whole: from when it applies, its author, its licence, its list's title.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision.
    :raises Invalid: with what is refused.
    """
    with may_write(store, name, actor), store.at_once():
        found = at_revision(store, name, revision)
        after = said_of(found, said)
        if after == found:
            return found
        with writing(store, name, actor) as act:
            return kept(act, found, store.put_draft_edition(after))


def decide(
    store: Store, name: CrosswalkName, choices: Sequence[Choice], *, actor: Actor, revision: int | None = None
) -> DraftEdition:
    """Write down what was decided of some codes, in the place of what stood there: all of it, or nothing.

    A row that says nothing of it is of the actor, of today, and by hand.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision.
    :raises Invalid: with every row that is refused: its place, the rule, what is accepted.
    """
    with writing(store, name, actor) as act:
        found = at_revision(store, name, revision)
        read: list[Problem] = []
        decided: dict[str, list[Mapping]] = {}
        for place, choice in enumerate(choices):
            if choice.code in decided:
                message, accepted = "code donné deux fois", "chaque code une fois"
                read.append(Problem("code_is_decided_once", message, (choice.code,), f"/items/{place}", "", accepted))
            decided[choice.code] = list(_rows(choice, place, actor, read))
        rules.refuse(read)
        known = {row.code.code for row in store.draft_rows(found, codes=decided)}
        rules.refuse(_decision_problems(store, found, decided, known))
        return kept(act, found, store.put_draft_mappings(found, decided))


def discard(store: Store, name: CrosswalkName, *, actor: Actor, revision: int | None = None) -> None:
    """Give a draft up: nothing of it is kept.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision.
    """
    with writing(store, name, actor) as act:
        found = at_revision(store, name, revision)
        act.before, act.after = f"revision {found.revision}", "discarded"
        store.drop_draft_edition(found)


def publish(
    store: Store,
    name: CrosswalkName,
    *,
    actor: Actor,
    revision: int | None = None,
    valid_from: date | None = None,
    number: int | None = None,
) -> tuple[CrosswalkEdition, list[Problem]]:
    """Turn a draft into a numbered edition that never changes; return it and the warnings. The draft is no more.

    The list has a new edition too where its codes changed. It applies from today unless the draft, or ``valid_from``,
    says otherwise. Of two at once one finds no draft any more.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision.
    :raises Invalid: with every problem found.
    :raises AlreadyPublished: if the edition ``number`` exists.
    """
    with writing(store, name, actor) as act:
        found = at_revision(store, name, revision)
        held = content(store, found)
        warnings = [one for one in _problems(store, found, held) if one.rule == _OLD_TARGET]
        day = valid_from or found.valid_from or today()
        edition, others = editions.publish(
            store,
            Source(found.code_list, held.codes),
            name.nomenclature,
            held.mappings,
            release=found.release,
            valid_from=day,
            author=found.author,
            license=found.license,
            number=number,
        )
        store.drop_draft_edition(found)
        act.before, act.after = f"revision {found.revision}", f"edition {edition.edition} {edition.sha256}"
    return edition, [*others, *warnings]


def kept(act: Act, before: DraftEdition, after: DraftEdition) -> DraftEdition:
    """Note in the journal from which revision to which a draft went; return what it is now."""
    act.before, act.after = f"revision {before.revision}", f"revision {after.revision}"
    return after


# --- Candidates ----------------------------------------------------------------------------------------------------


class Proposed(NamedTuple):
    """A code that nobody decided on, and the concepts that it may mean, the likeliest first."""

    code: LocalCode
    candidates: tuple[Candidate, ...]


def candidates(
    store: Store, index: Index, found: DraftEdition, *, after: str = "", limit: int | None = None
) -> list[Proposed]:
    """The codes of a draft after ``after`` that nobody decided on, each with five candidates at most.

    ``index`` holds the draft's release. Nothing is written.
    """
    from registry.candidates import candidates as candidates_of  # It imports Whoosh, which takes long.

    rows = store.draft_rows(found, state="unreviewed", after=after, limit=limit)
    return [
        Proposed(row.code, candidates_of(index, row.code.label, nomenclature=found.nomenclature, limit=CANDIDATES))
        for row in rows
    ]


def accept_sure(
    store: Store,
    index: Index,
    name: CrosswalkName,
    *,
    threshold: float = 0.0,
    actor: Actor,
    revision: int | None = None,
) -> tuple[DraftEdition, list[Mapping]]:
    """Map the codes whose likeliest candidate is sure and scores the threshold at least; return what was written.

    Only a candidate that is sure is ever taken, and only for a code that nobody decided on.

    :raises NotFound, Stale: if there is no such draft, or it is at another revision, or changed meanwhile.
    """
    with may_write(store, name, actor):
        found = at_revision(store, name, revision)
        # Finding takes long: nobody waits for it, and what was looked at is compared after.
        written = [
            _by_candidate(one.code, one.candidates[0], actor)
            for one in candidates(store, index, found)
            if one.candidates and one.candidates[0].sure and one.candidates[0].score >= threshold
        ]
        if not written:
            return found, []
        with writing(store, name, actor) as act:
            at_revision(store, name, found.revision)
            decided = {mapping.local_code: [mapping] for mapping in written}
            return kept(act, found, store.put_draft_mappings(found, decided)), written


def _by_candidate(code: LocalCode, candidate: Candidate, actor: Actor) -> Mapping:
    return Mapping(
        code.code,
        candidate.document.code,
        candidate.relation,
        "semapv:LexicalMatching",
        confidence=f"{min(candidate.score, 1.0):.4f}".rstrip("0").rstrip("."),
        author=actor.person,
        date=today().isoformat(),
    )


# --- What is refused -----------------------------------------------------------------------------------------------

_OLD_TARGET = "target_is_active"


def _problems(store: Store, found: DraftEdition, held: Content) -> list[Problem]:
    targets = {mapping.target_code for mapping in held.mappings} - {""}
    concepts = store.labels(found.nomenclature, found.release, targets)
    old = {code for code, concept in concepts.items() if concept.status == "deprecated"}
    return [
        *editions.name_problems(found.code_list),
        *crosswalks.problems(held.mappings, {code.code for code in held.codes}, concepts),
        *(
            Problem(
                _OLD_TARGET,
                "concept déprécié dans la version visée",
                (mapping.local_code,),
                "target_code",
                mapping.target_code,
                "un concept actif",
                "warning",
            )
            for mapping in held.mappings
            if mapping.target_code in old
        ),
    ]


def _decision_problems(
    store: Store, found: DraftEdition, decided: collections.abc.Mapping[str, list[Mapping]], known: set[str]
) -> Iterator[Problem]:
    """What contradicts itself, or names what is not there, in what was decided of some codes."""
    for code in decided.keys() - known:
        if not decided[code]:
            message, accepted = "code absent de la liste locale", "un code de la liste"
            yield Problem("local_code_exists", message, (code,), accepted=accepted)
    rows = [mapping for mappings in decided.values() for mapping in mappings]
    concepts = store.labels(found.nomenclature, found.release, {row.target_code for row in rows} - {""})
    for problem in crosswalks.problems(rows, known, concepts):
        if problem.severity == "error":
            yield problem


def _rows(choice: Choice, place: int, actor: Actor, problems: list[Problem]) -> Iterator[Mapping]:
    """The rows of a choice, each cell checked; the same target twice is refused."""
    seen: set[str] = set()
    for number, row in enumerate(choice.rows):
        where = f"/items/{place}/mappings/{number}"

        def refuse(column: str, message: str, accepted: str, where: str = where, row: Any = row) -> None:
            value = str(row.get(column, ""))
            problems.append(Problem("mapping_is_sound", message, (choice.code,), f"{where}/{column}", value, accepted))

        cells = dict.fromkeys(MAPPING_COLUMNS, "") | dict(row) | {"local_code": choice.code}
        cells["justification"] = cells["justification"] or "semapv:ManualMappingCuration"
        cells["author"] = cells["author"] or actor.person
        cells["date"] = cells["date"] or today().isoformat()
        mapping = crosswalks.mapping_from(cells, refuse)
        if mapping.target_code in seen:
            refuse("target_code", "cible donnée deux fois", "chaque cible une fois")
        seen.add(mapping.target_code)
        yield mapping


def _object(name: CrosswalkName) -> str:
    """The crosswalk as the journal calls it: somebody might send a name or an address in the place of a slug."""
    known = " ".join(part for part in name if SLUG.fullmatch(part))
    return f"crosswalk {known}".strip()
