"""Publishing an edition of a crosswalk, with the edition of the local list that it maps: whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from registry import crosswalks, rules, signing
from registry.crosswalks import CodeList, CrosswalkEdition, LocalCode, Mapping, Organisation
from registry.errors import NotFound, Problem
from registry.model import SLUG
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
        last = _last(store, code_list)
        codes = source.codes if source.codes is not None else _codes(store, code_list, last)
        found = [*_names(source), *crosswalks.problems(mappings, {item.code for item in codes}, concepts)]
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


def _names(source: Source) -> Iterable[Problem]:
    for name in (source.code_list.organisation, source.code_list.slug):
        if not SLUG.fullmatch(name):
            accepted = "minuscules, chiffres et traits d'union"
            yield Problem("slug_is_well_formed", "identifiant mal formé", value=name, accepted=accepted)


def _last(store: Store, code_list: CodeList) -> ListEdition | None:
    editions = store.list_editions(code_list.organisation, code_list.slug)
    return editions[-1] if editions else None


def _codes(store: Store, code_list: CodeList, last: ListEdition | None) -> list[LocalCode]:
    if last is None:
        lists = [f"{one.code_list.organisation}/{one.code_list.slug}" for one in store.list_editions()]
        raise NotFound("code list", f"{code_list.organisation}/{code_list.slug}", {"lists": sorted(set(lists))})
    found: list[LocalCode] = []
    while page := store.local_codes(
        code_list.organisation, code_list.slug, last.edition, after=found[-1].code if found else ""
    ):
        found += page
    return found


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
