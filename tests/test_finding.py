"""Which index answers: that of what is asked for, level with what was published, and never too many kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from registry import analysis, finding
from registry.crosswalks import LocalCode, Mapping
from registry.model import french
from registry.store import Store
from tests.factories import A_DAY, AN_INSTANT, a_code_list, a_concept, a_link, a_release, an_organisation, published

LATER = date(2025, 1, 1)
TODAY = date(2026, 1, 1)


def mapped(store: Store, number: int, label: str, *, relation: str = "closeMatch") -> None:
    """Publish an edition of a crosswalk from a list that has one code, called so, to the concept A of ``aides``."""
    store.add_organisation(an_organisation())
    store.add_list_edition(a_code_list(), number, [LocalCode("1", label)], valid_from=A_DAY, issued=AN_INSTANT)
    store.add_crosswalk_edition(
        "dep-71",
        "solis",
        "aides",
        number=number,
        list_edition=number,
        release="1.0",
        mappings=[Mapping("1", "A", relation)],  # type: ignore[arg-type] # A relation's name.
        valid_from=A_DAY,
        issued=AN_INSTANT,
        author="dep-71",
        license="",
    )


def found(store: Store, folder: Path, query: str) -> list[tuple[str, str]]:
    hits = finding.current_index(store, folder, TODAY).search(query).hits
    return [(hit.document.code, hit.why.source) for hit in hits]


def test_a_crosswalk_teaches_its_labels_as_soon_as_it_is_published(store: Store, tmp_path: Path) -> None:
    published(store, a_release())
    before = found(store, tmp_path / "index", "coup de pouce rentrée")

    mapped(store, 1, "Coup de pouce rentrée")

    assert before == []
    assert found(store, tmp_path / "index", "coup de pouce rentrée") == [("A", "dep-71/solis@1")]


def test_the_edition_in_force_alone_teaches(store: Store, tmp_path: Path) -> None:
    published(store, a_release())
    mapped(store, 1, "Coup de pouce rentrée")
    mapped(store, 2, "Prime de septembre")

    assert found(store, tmp_path / "index", "coup de pouce rentrée") == []
    assert found(store, tmp_path / "index", "prime de septembre") == [("A", "dep-71/solis@2")]


@pytest.mark.parametrize("relation", ["broadMatch", "narrowMatch", "relatedMatch"])
def test_a_label_that_means_something_else_teaches_nothing(store: Store, tmp_path: Path, relation: str) -> None:
    published(store, a_release())

    mapped(store, 1, "Coup de pouce rentrée", relation=relation)

    assert found(store, tmp_path / "index", "coup de pouce rentrée") == []


def test_labels_that_begin_with_an_acronym_are_found_in_full(store: Store, tmp_path: Path) -> None:
    above = a_concept("A", pref_label=french("Action éducative en milieu ouvert"), alt_label=french("AEMO"))
    below = a_concept("B", pref_label=french("AEMO renforcée"), broader=("A",))
    published(store, a_release(above, below))

    first = finding.current_index(store, tmp_path / "index", TODAY).search("action educative milieu ouvert renforcee")

    assert first.hits[0].document.code == "B"
    assert first.hits[0].document.pref_label == "AEMO renforcée"


def test_an_earlier_release_has_an_index_of_its_own(store: Store, tmp_path: Path) -> None:
    first = published(store, a_release())
    changed = replace(a_concept("A"), pref_label=french("Secours"))
    links = frozenset([a_link("A", "A", kind="wider", date=LATER)])
    second = published(store, a_release(changed, a_concept("B"), version="2.0", valid_from=LATER, links=links))

    old = finding.index_of(store, tmp_path / "index", [first], TODAY)
    new = finding.index_of(store, tmp_path / "index", [second], TODAY)

    assert [hit.document.version for hit in old.search("aide a").hits][:1] == ["1.0"]
    assert [hit.document.version for hit in new.search("secours").hits] == ["2.0"]
    assert new is finding.current_index(store, tmp_path / "index", TODAY)


def test_indexes_of_other_releases_are_kept_up_to_a_bound(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    editions = [published(store, a_release(version=f"1.{number}")) for number in range(11)]

    for edition in editions:
        finding.index_of(store, tmp_path / "index", [edition], TODAY)
    again = finding.index_of(store, tmp_path / "index", editions[:1], TODAY)
    store.close()

    assert len(list((tmp_path / "index" / "others").iterdir())) == 8
    assert again.search("aide a").hits[0].document.version == "1.0"


def test_another_release_under_the_same_version_does_not_answer_from_the_index_of_the_first(
    sqlite_template: Path, tmp_path: Path
) -> None:
    found = []
    for label in ("Secours", "Aide aux vacances"):
        place = tmp_path / analysis.squeezed(label)
        place.mkdir()
        store = Store(f"sqlite:///{shutil.copyfile(sqlite_template, place / 'socle.db')}", place / "blobs")
        published(store, a_release(replace(a_concept("A"), pref_label=french(label))))
        found.append(finding.make_level(store, tmp_path / "index", TODAY))
        store.close()

    assert found == [True, True], "a database that was restored may publish what it had published otherwise"
