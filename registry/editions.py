"""Editions of crosswalks, each with the edition of the local list that it maps: published whole, or not at all.

What one holds, how far it covers its list, and what differs between two are told here of whatever holds codes and
mappings: a published edition, or the draft beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from registry import crosswalks, rules, signing
from registry.crosswalks import CodeList, Crosswalk, CrosswalkEdition, LocalCode, Mapping, Organisation
from registry.errors import NotFound, Problem
from registry.model import SLUG, preferred
from registry.store import Store
from registry.store.crosswalks import ListEdition


class Source(NamedTuple):
    """Whose codes are mapped: the list, its codes where a new edition of it comes along, the organisation if new."""

    code_list: CodeList
    codes: Sequence[LocalCode] | None = None
    organisation: Organisation | None = None


def publish(
    store: Store,
    source: Source,
    nomenclature: str,
    mappings: Sequence[Mapping],
    *,
    release: str,
    valid_from: date,
    author: str,
    license: str,
    number: int | None = None,
    list_valid_from: date | None = None,
    issued: datetime | None = None,
) -> tuple[CrosswalkEdition, list[Problem]]:
    """Publish an edition of a crosswalk to a release; return it and the warnings.

    ``number`` is the next one unless it is given, ``issued`` now; ``list_valid_from`` is ``valid_from`` unless given.
    Codes that are those of the list's last edition make no new one.

    :raises Invalid: with every problem found.
    :raises NotFound: if the organisation, the list or the release does not exist.
    :raises AlreadyPublished: if the edition exists, or the organisation is another one.
    """
    code_list = source.code_list
    concepts = store.labels(nomenclature, release, (mapping.target_code for mapping in mappings))
    # One transaction from the first read on: another edition can't come between.
    with store.at_once():
        last = last_list(store, code_list.organisation, code_list.slug)
        codes = source.codes if source.codes is not None else _codes(store, code_list, last)
        found = [*name_problems(code_list), *crosswalks.problems(mappings, {item.code for item in codes}, concepts)]
        rules.refuse(problem for problem in found if problem.severity == "error")
        issued = issued or datetime.now(UTC).replace(microsecond=0)
        list_edition = _list_edition(store, source, codes, last, list_valid_from or valid_from, issued)
        earlier = store.crosswalk_editions(
            organisation=code_list.organisation, code_list=code_list.slug, nomenclature=nomenclature
        )
        edition = store.add_crosswalk_edition(
            code_list.organisation,
            code_list.slug,
            nomenclature,
            number=number or max((item.edition for item in earlier), default=0) + 1,
            list_edition=list_edition,
            release=release,
            mappings=mappings,
            valid_from=valid_from,
            issued=issued,
            author=author,
            license=license,
        )
    return edition, found


def name_problems(code_list: CodeList) -> Iterable[Problem]:
    """What is wrong with the names by which a list is known."""
    for name in (code_list.organisation, code_list.slug):
        if not SLUG.fullmatch(name):
            accepted = "minuscules, chiffres et traits d'union"
            yield Problem("slug_is_well_formed", "identifiant mal formé", value=name, accepted=accepted)


def last_list(store: Store, organisation: str, slug: str) -> ListEdition | None:
    """The last edition of a local list; None before the first."""
    editions = store.list_editions(organisation, slug)
    return editions[-1] if editions else None


def codes_of(store: Store, organisation: str, slug: str, edition: int) -> tuple[LocalCode, ...]:
    """Every code of an edition of a local list.

    :raises NotFound: if there is no such edition.
    """
    found: list[LocalCode] = []
    while page := store.local_codes(organisation, slug, edition, after=found[-1].code if found else ""):
        found += page
    return tuple(found)


def _codes(store: Store, code_list: CodeList, last: ListEdition | None) -> tuple[LocalCode, ...]:
    if last is None:
        lists = [f"{one.code_list.organisation}/{one.code_list.slug}" for one in store.list_editions()]
        raise NotFound("code list", f"{code_list.organisation}/{code_list.slug}", {"lists": sorted(set(lists))})
    return codes_of(store, code_list.organisation, code_list.slug, last.edition)


def _list_edition(
    store: Store,
    source: Source,
    codes: Sequence[LocalCode],
    last: ListEdition | None,
    valid_from: date,
    issued: datetime,
) -> int:
    """The number of the edition that holds the codes, published if the last one holds others."""
    if last is not None and last.sha256 == signing.sha256(crosswalks.list_csv(codes)):
        return last.edition
    if source.organisation is not None:
        store.add_organisation(source.organisation)
    number = last.edition + 1 if last else 1
    store.add_list_edition(source.code_list, number, codes, valid_from=valid_from, issued=issued)
    return number


# --- What one holds ------------------------------------------------------------------------------------------------


class Content(NamedTuple):
    """The codes of a list and the mappings beside them, both by code: what an edition or a draft holds."""

    codes: tuple[LocalCode, ...] = ()
    mappings: tuple[Mapping, ...] = ()


def content(store: Store, edition: CrosswalkEdition) -> Content:
    """What a published edition holds, whole."""
    codes = codes_of(store, edition.organisation, edition.code_list, edition.list_edition)
    return Content(codes, tuple(mapping for mapping, _ in store.mappings(edition)))


def whole(store: Store, edition: CrosswalkEdition) -> Crosswalk:
    """A published edition as it goes out to a file."""
    held = content(store, edition)
    [known] = [
        one
        for one in store.list_editions(edition.organisation, edition.code_list)
        if one.edition == edition.list_edition
    ]
    return Crosswalk(
        known.code_list,
        store.heading(edition.nomenclature, edition.release),
        edition.release,
        held.codes,
        held.mappings,
        choices(store, edition.nomenclature, edition.release, held.mappings),
        edition.edition,
        edition.list_edition,
        edition.valid_from,
        edition.issued,
        edition.author,
        edition.license,
    )


def choices(store: Store, nomenclature: str, release: str, mappings: Iterable[Mapping]) -> dict[str, str]:
    """The labels of the concepts of a release that may be chosen, or that a mapping aims at already, by code."""
    aimed_at = {mapping.target_code for mapping in mappings}
    return {
        row.code: preferred(row.pref_label) or row.code
        for row in store.tree(nomenclature, release)
        if row.status == "active" or row.code in aimed_at
    }


class Counts(NamedTuple):
    """How much there is in each state of a local code; the three are never mixed up."""

    mapped: int
    no_match: int
    unreviewed: int

    def document(self) -> dict[str, int]:
        """As JSON, with the total."""
        counts = {"mapped": self.mapped, "noMatch": self.no_match, "unreviewed": self.unreviewed}
        return {"total": sum(self), **counts}


class Coverage(NamedTuple):
    """How far a list is covered: in codes, and in uses where the list says how often some of its codes are used."""

    codes: Counts
    uses: Counts | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"codes": self.codes.document(), "uses": self.uses.document() if self.uses else None}


def coverage(held: Content) -> Coverage:
    """Count the codes in each state, and their uses; a code whose frequency is not told adds none."""
    states: dict[str, int] = {}
    for mapping in held.mappings:
        states[mapping.local_code] = 1 if mapping.relation == "noMatch" else 0
    codes, uses = [0, 0, 0], [0, 0, 0]
    for code in held.codes:
        state = states.get(code.code, 2)
        codes[state] += 1
        uses[state] += int(code.frequency or 0)
    known = any(code.frequency for code in held.codes)
    return Coverage(Counts(*codes), Counts(*uses) if known else None)


class Difference(NamedTuple):
    """What leads from one content to another; what changed is a pair, before and after."""

    codes_added: tuple[LocalCode, ...]
    codes_removed: tuple[LocalCode, ...]
    codes_changed: tuple[tuple[LocalCode, LocalCode], ...]
    mappings_added: tuple[Mapping, ...]
    mappings_removed: tuple[Mapping, ...]
    mappings_changed: tuple[tuple[Mapping, Mapping], ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "codes": {
                "added": [code_document(one) for one in self.codes_added],
                "removed": [code_document(one) for one in self.codes_removed],
                "changed": [
                    {"before": code_document(before), "after": code_document(after)}
                    for before, after in self.codes_changed
                ],
            },
            "mappings": {
                "added": [mapping_document(one) for one in self.mappings_added],
                "removed": [mapping_document(one) for one in self.mappings_removed],
                "changed": [
                    {"before": mapping_document(before), "after": mapping_document(after)}
                    for before, after in self.mappings_changed
                ],
            },
        }


def difference(before: Content, after: Content) -> Difference:
    """Compare two contents: codes by their code, mappings by local code and target."""
    old_codes = {one.code: one for one in before.codes}
    new_codes = {one.code: one for one in after.codes}
    old = {(one.local_code, one.target_code): one for one in before.mappings}
    new = {(one.local_code, one.target_code): one for one in after.mappings}
    return Difference(
        tuple(new_codes[key] for key in sorted(new_codes.keys() - old_codes.keys())),
        tuple(old_codes[key] for key in sorted(old_codes.keys() - new_codes.keys())),
        tuple(
            (old_codes[key], new_codes[key])
            for key in sorted(old_codes.keys() & new_codes.keys())
            if old_codes[key] != new_codes[key]
        ),
        tuple(new[key] for key in sorted(new.keys() - old.keys())),
        tuple(old[key] for key in sorted(old.keys() - new.keys())),
        tuple((old[key], new[key]) for key in sorted(old.keys() & new.keys()) if old[key] != new[key]),
    )


def code_document(code: LocalCode) -> dict[str, Any]:
    """A local code as JSON; how often it is used is null where nobody said."""
    return {
        "code": code.code,
        "label": code.label,
        "parentCode": code.parent_code,
        "note": code.note,
        "frequency": int(code.frequency) if code.frequency else None,
    }


def mapping_document(mapping: Mapping) -> dict[str, Any]:
    """A mapping as JSON, with the codes alone of what it joins."""
    return {
        "code": mapping.local_code,
        "relation": mapping.relation,
        "target": mapping.target_code or None,
        **said_of(mapping),
    }


def said_of(mapping: Mapping) -> dict[str, Any]:
    """What is said of a mapping beside its relation and its ends, as JSON."""
    return {
        "justification": mapping.justification,
        "confidence": mapping.confidence or None,
        "covers": mapping.covers,
        "weight": mapping.weight or None,
        "comment": mapping.comment,
        "author": mapping.author,
        "reviewer": mapping.reviewer,
        "date": mapping.date or None,
    }
