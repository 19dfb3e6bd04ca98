"""A file as the content of a draft edition: what it would change is told first, then done whole or not at all.

A file that has labels is the whole list; one that has none speaks of codes of the list there is. One that has neither
targets, relations nor states is a list alone: decisions on the codes that stay are kept. Codes that were decided on and
would not be any more are counted, and only go when somebody says so.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from registry import analysis, crosswalks, draft_editions, editions, importing, rules
from registry.access import Actor
from registry.crosswalks import LIST_COLUMNS, LocalCode, Mapping
from registry.draft_editions import Said, at_revision, kept, last_edition, writing
from registry.editions import Content, Coverage
from registry.errors import Conflict, Invalid, NotFound, Problem
from registry.importing import Imported
from registry.model import Concept, today
from registry.rules import LISTED
from registry.sandbox import REQUEST_LIMITS, Limits
from registry.store import Store
from registry.store.draft_editions import CrosswalkName, DraftEdition, DraftMapping

EXAMPLES = 10
"""How many of the decisions that would go are shown."""

_DECIDING = frozenset({"relation", "target_code", "status"})
_KEPT_FROM_BEFORE = tuple(field.name for field in fields(LocalCode) if field.name != "code")


class Given(NamedTuple):
    """What a file says: codes, mappings, which columns it has (``importing.ROLES``), and to which release it maps."""

    codes: tuple[LocalCode, ...]
    mappings: tuple[Mapping, ...]
    columns: frozenset[str]
    release: str = ""
    refused: tuple[Problem, ...] = ()

    def with_list(self, codes: Iterable[LocalCode]) -> Given:
        """The same, with a list that came in a file of its own."""
        return self._replace(codes=tuple(codes), columns=self.columns | set(LIST_COLUMNS))


def read(
    store: Store,
    name: CrosswalkName,
    data: bytes,
    said: Said,
    *,
    file: str = "",
    columns: collections.abc.Mapping[str, str] | None = None,
    relation: str = "",
    sheet: str = "",
    limits: Limits = REQUEST_LIMITS,
) -> Imported:
    """Read a file that is meant for the draft of a crosswalk; a row with a target that its release lacks is refused.

    :raises NotFound: if there is no such nomenclature or release.
    :raises Invalid: if the file can't be read as a table, or says that it maps to something else.
    :raises TooLarge, Busy: as ``importing.read`` says.
    """
    release, is_sure = _release(store, name, said)
    for _ in range(2):
        heading = store.heading(name.nomenclature, release)
        imported = importing.read(
            data,
            name=file,
            columns=columns,
            relation=relation,
            sheet=sheet,
            nomenclature=heading,
            targets={row.code for row in store.tree(name.nomenclature, release)},
            limits=limits,
        )
        if imported.nomenclature not in ("", heading.iri):
            raise _meant_for(imported.nomenclature, heading.iri)
        if imported.release in ("", release):
            break
        if is_sure:
            raise _meant_for(imported.release, release)
        # What the file was made from decides, where nobody said anything else: its targets are looked up again.
        release = store.edition(name.nomenclature, imported.release).version
    return imported


def given(imported: Imported) -> Given:
    """What a file that was read says."""
    roles = frozenset(column.role for column in imported.columns)
    refused = tuple(refusal.problem for refusal in imported.refusals)
    return Given(imported.codes, imported.mappings, roles, imported.release, refused)


def _release(store: Store, name: CrosswalkName, said: Said) -> tuple[str, bool]:
    """The release that a file is meant for, and whether it is certain, before the file is asked."""
    if said.release:
        return store.edition(name.nomenclature, said.release).version, True
    with suppress(NotFound):
        return store.draft_edition(name).release, True
    return store.in_force(name.nomenclature, today()).version, False


def _meant_for(value: str, accepted: str) -> Invalid:
    message = "le fichier dit qu'il vise autre chose"
    return Invalid([Problem("file_is_meant_for_this", message, (), "", value, accepted)])


@dataclass(frozen=True, slots=True)
class Change:
    """What a file would make of a draft: its content then, the decisions that would go, and what is refused."""

    draft: DraftEdition
    codes: tuple[LocalCode, ...]
    mappings: tuple[DraftMapping, ...]
    dropped: tuple[Mapping, ...]
    changed: int
    problems: tuple[Problem, ...]

    @property
    def coverage(self) -> Coverage:
        """How far the draft would cover its list."""
        return editions.coverage(Content(self.codes, tuple(one.mapping for one in self.mappings if not one.stale_from)))

    def dropped_document(self) -> dict[str, Any]:
        """The decisions that would go, as JSON: how many, and the first of them."""
        examples = [editions.mapping_document(mapping) for mapping in self.dropped[:EXAMPLES]]
        return {"total": len(self.dropped), "examples": examples}


def change(store: Store, name: CrosswalkName, given: Given, said: Said, *, revision: int | None = None) -> Change:
    """What a file would make of the draft of a crosswalk, or of a new one beside its last edition; nothing is written.

    The release is that of the draft unless ``said`` names another; of a new one, the release in force.

    :raises NotFound: if there is no such organisation, nomenclature or release.
    :raises Invalid: if the list, or what is said of the draft, is refused.
    :raises Stale: if there is a draft, and it is at another revision.
    """
    if given.release and not said.release:
        said = replace(said, release=given.release)
    before, known = _before(store, name, said, revision)
    codes = _codes(given, {row[0].code: row[0] for row in known})
    here = {code.code for code in codes}
    if given.columns & _DECIDING:
        mappings = tuple(DraftMapping(mapping) for mapping in given.mappings)
    else:
        mappings = tuple(item for code, items in known if code.code in here for item in items)
    decided = {item.mapping.local_code for item in mappings if not item.stale_from}
    held = [item.mapping for _, items in known for item in items if not item.stale_from]
    dropped = tuple(mapping for mapping in held if mapping.local_code not in decided)
    differs = editions.difference(Content((), tuple(held)), Content((), tuple(item.mapping for item in mappings)))
    return Change(
        before,
        codes,
        mappings,
        dropped,
        len(differs.mappings_changed) + len(differs.mappings_removed) - len(dropped),
        (*given.refused, *_problems(store, before, codes, mappings)),
    )


def put(
    store: Store,
    name: CrosswalkName,
    given: Given,
    said: Said,
    *,
    actor: Actor,
    drop: bool = False,
    revision: int | None = None,
) -> DraftEdition:
    """Let a draft hold what a file says, whole or not at all; it is made if there is none.

    :raises NotFound, Stale: as ``change`` says.
    :raises Invalid: with everything in it that could not be published.
    :raises Conflict: if decisions would go, and nobody said that they shall (``drop``): how many, and examples.
    """
    with writing(store, name, actor) as act:
        found = change(store, name, given, said, revision=revision)
        rules.refuse(found.problems)
        if found.dropped and not drop:
            total = len(found.dropped)
            raise Conflict(f"{name}: {total} decisions would go", {"dropped": found.dropped_document()})
        after = store.put_draft_edition(found.draft, codes=found.codes, mappings=found.mappings)
        return kept(act, found.draft, after)


_Rows = list[tuple[LocalCode, tuple[DraftMapping, ...]]]


def _before(store: Store, name: CrosswalkName, said: Said, revision: int | None) -> tuple[DraftEdition, _Rows]:
    """The draft as it is said to be, with the rows that it has, or that the last edition has where it is new."""
    try:
        draft = at_revision(store, name, revision)
    except NotFound:
        store.organisation(name.organisation)
        release = said.release or store.in_force(name.nomenclature, today()).version
        draft = draft_editions.new(store, name, release)
        last = last_edition(store, name)
        if last is None:
            known = editions.last_list(store, name.organisation, name.code_list)
            codes = editions.codes_of(store, name.organisation, name.code_list, known.edition) if known else ()
            return draft_editions.said_of(draft, said), [(code, ()) for code in codes]
        held = editions.content(store, last)
        by_code: dict[str, list[DraftMapping]] = {}
        for mapping in held.mappings:
            by_code.setdefault(mapping.local_code, []).append(DraftMapping(mapping))
        rows = [(code, tuple(by_code.get(code.code, ()))) for code in held.codes]
        return draft_editions.said_of(draft, said), rows
    rows = [(row.code, row.mappings) for row in store.draft_rows(draft)]
    return replace(draft_editions.said_of(draft, said), release=said.release or draft.release), rows


def _codes(given: Given, known: dict[str, LocalCode]) -> tuple[LocalCode, ...]:
    """The list as it would be; what the file has no column for stays as it was known."""
    if "label" not in given.columns and known:
        return tuple(_joined(given, {code.code: code for code in given.codes}, known))
    unsaid = [field for field in _KEPT_FROM_BEFORE if field not in given.columns and field != "label"]
    return tuple(
        replace(code, **{field: getattr(known[code.code], field) for field in unsaid}) if code.code in known else code
        for code in given.codes
    )


def _joined(given: Given, said: dict[str, LocalCode], known: dict[str, LocalCode]) -> Iterable[LocalCode]:
    """The list there is, with what a file without labels says of its codes."""
    columns = [field for field in _KEPT_FROM_BEFORE if field in given.columns]
    for code in known.values():
        new = said.get(code.code)
        yield replace(code, **{field: getattr(new, field) for field in columns}) if new else code


def _problems(
    store: Store, draft: DraftEdition, codes: Iterable[LocalCode], mappings: Iterable[DraftMapping]
) -> Iterable[Problem]:
    """What could not be published; a mapping that waits to be looked at again says nothing yet."""
    held = [item.mapping for item in mappings if not item.stale_from]
    concepts = store.labels(draft.nomenclature, draft.release, {mapping.target_code for mapping in held} - {""})
    found = crosswalks.problems(held, {code.code for code in codes}, concepts)
    yield from (problem for problem in found if problem.severity == "error")


def report_document(store: Store, imported: Imported, found: Change) -> dict[str, Any]:
    """What was read in a file, and what it would make of the draft, as JSON."""
    return {
        "format": imported.format,
        "columns": [
            {"role": column.role, "header": column.header, "named": column.named} for column in imported.columns
        ],
        "unused": list(imported.unused),
        "rows": {"read": imported.read, "accepted": imported.accepted, "refused": imported.refused},
        "refusals": [refusal._asdict() for refusal in imported.refusals[:LISTED]],
        "remarks": [*imported.remarks, *_label_remarks(store, imported, found.draft)],
        "release": found.draft.release,
        "dropped": found.dropped_document(),
        "changed": found.changed,
        "coverage": found.coverage.document(),
    }


def _label_remarks(store: Store, imported: Imported, draft: DraftEdition) -> Iterator[str]:
    """What the file calls its targets, where the release does not call them so; the codes alone are believed."""
    concepts = store.labels(draft.nomenclature, draft.release, (code for code, _ in imported.target_labels))
    differing = [
        f"{code} (« {label[:80]} » au lieu de « {concepts[code].label} »)"
        for code, label in imported.target_labels
        if code in concepts and analysis.key(label) not in _keys(concepts[code])
    ]
    if differing:
        yield f"{len(differing)} libellés de cible diffèrent de la version visée : {', '.join(differing[:EXAMPLES])}"


def _keys(concept: Concept) -> set[str]:
    texts = (*concept.pref_label, *concept.alt_label, *concept.hidden_label)
    return {analysis.key(text) for _, text in texts}
