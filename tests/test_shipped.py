"""The shipped data: it passes the rules that users' data passes, and has the counts of its sources."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path

import orjson
import pytest

from registry import rules, shipped, signing
from registry.changes import change_set
from registry.crosswalks import read_list, read_mappings
from registry.errors import Invalid
from registry.formats import FORMATS
from registry.model import Decision, Release
from registry.store import Store
from tests.factories import keys_of
from tests.shipped_files import ROOT, SLUGS, shipped_decision, shipped_document, shipped_item, shipped_release

# The canonical form of a published release can't change: neither can these.
PINNED = {
    ("categories-accompagnement", "1.0"): "e2117379c6b6ec2f9cf709e64bf19eb02c69bce2d6a5be18cdac8fd4cf8e79b0",
    ("categories-accompagnement", "2.0"): "13c2d4be3064dd166499009a0f8d60707bbbed7733a20549075fdb12ab36515b",
    ("data-inclusion-thematiques", "0.27"): "f7b2d78878957cc92b034a24c7586196f6e7a3eb5b2a1519f5dc36f3dd410cd7",
    ("data-inclusion-thematiques", "1.0"): "d6a6008238d279597fb08d14449ddc08a24b2dc57f56bd95242e9dd5bd09f93d",
    ("mesures", "1.0"): "eebca5812b34f5044ee85346d10d9ff60b671fcb01d0941a1a05533abc9be4e5",
    ("mesures", "2.0"): "fe5e1ebea9c072aaefe6cd1b700dfee318b9955c53204fa0019ce5ff39d53d44",
    ("types-aide", "1.0"): "f102ddb1d4b0b3b83d5aa92512e8aa7622d68b9119ad6e766da01b160ce84d35",
    ("types-aide", "2.0"): "1d48a5efa6205286752aea7a7b080ad11e4a7274cde542a870a1f71bc809295f",
}
RELEASES = [(slug, item["version"]) for slug in SLUGS for item in shipped_document(slug)["releases"]]


def base_of(slug: str, version: str) -> Release | None:
    versions = [item["version"] for item in shipped_document(slug)["releases"]]
    place = versions.index(version)
    return shipped_release(slug, versions[place - 1]) if place else None


def test_every_shipped_release_has_its_pinned_content(shipped_store: Store) -> None:
    found = {
        (edition.nomenclature, edition.version): edition.content_sha256
        for slug in SLUGS
        for edition in shipped_store.editions(slug)
    }

    assert found == PINNED


@pytest.mark.parametrize(("slug", "version"), RELEASES)
def test_what_is_published_is_what_the_file_says(shipped_store: Store, slug: str, version: str) -> None:
    assert shipped_store.release(slug, version) == shipped_release(slug, version)


# active and deprecated concepts of 1.0 and 2.0, then what 2.0 added, deprecated, redefined, annotated only, and changed
# by neither label nor place.
COUNTS = {
    "types-aide": ((125, 15), (126, 16), {"added": 2, "deprecated": 1, "redefined": 3}, 1),
    "categories-accompagnement": ((75, 0), (77, 4), {"added": 6, "deprecated": 4, "redefined": 2}, 6),
    "mesures": ((77, 8), (74, 15), {"added": 4, "deprecated": 6, "redefined": 5}, 2),
}


@pytest.mark.parametrize("slug", COUNTS)
def test_the_counts_are_those_of_the_proposal(slug: str) -> None:
    first, second, expected, annotated_only = COUNTS[slug]
    old, new = shipped_release(slug, "1.0"), shipped_release(slug, "2.0")

    changes = change_set(old, new)

    for release, (active, deprecated) in ((old, first), (new, second)):
        statuses = [concept.status for concept in release.concepts.values()]
        assert (statuses.count("active"), statuses.count("deprecated")) == (active, deprecated)
    assert {kind: changes.counts.get(kind, 0) for kind in expected} == expected
    kept = [(c.before, c.after) for c in changes.changes if c.before and c.after and "redefined" not in c.kinds]
    assert sum(b.alt_label != a.alt_label or b.legal_basis != a.legal_basis for b, a in kept) == annotated_only
    assert not {"relabelled", "moved", "removed", "reinstated"} & changes.counts.keys()


def test_the_lineage_is_that_of_the_proposal() -> None:
    old = [shipped_release(slug, "1.0").links for slug in COUNTS]
    new = [shipped_release(slug, "2.0").links for slug in COUNTS]

    added = [link for before, after in zip(old, new, strict=True) for link in after - before]

    assert sum(map(len, old)) == 23
    assert sum(link.old != link.new for link in added) == 12
    assert {(link.old, link.kind) for link in added if link.old == link.new} == {
        ("CA-ENF-500", "wider"),
        ("TA-HAN-620", "narrower"),
    }


@pytest.mark.parametrize(("slug", "version"), RELEASES)
def test_every_release_passes_the_rules_with_its_own_decision(slug: str, version: str) -> None:
    release, base = shipped_release(slug, version), base_of(slug, version)

    assert rules.problems(release, base, decision=shipped_decision(slug, version)) == []


@pytest.mark.parametrize(("slug", "version"), RELEASES)
def test_every_accepted_warning_and_same_meaning_is_still_needed(slug: str, version: str) -> None:
    decision = shipped_decision(slug, version)

    found = rules.problems(shipped_release(slug, version), base_of(slug, version), decision=Decision(""))

    warned = {(problem.rule, problem.codes) for problem in found if problem.severity == "warning"}
    for acceptance in decision.accepted:
        covered = [
            codes
            for rule, codes in warned
            if rule == acceptance.rule and (not acceptance.codes or set(codes) <= set(acceptance.codes))
        ]
        assert covered, f"{acceptance.rule} is accepted for nothing"
        assert set(acceptance.codes) <= {code for codes in covered for code in codes}, acceptance.rule
        assert acceptance.reason
    undeclared = {code for p in found if p.rule == "changed_meaning_is_declared" for code in p.codes}
    said_by_link = {
        link.old for link in shipped_release(slug, version).links if link.old == link.new and link.kind == "same"
    }
    assert undeclared == set(decision.same_meaning) - said_by_link


def test_every_file_is_read() -> None:
    read = {f"{slug}/{shipped_item(slug, version)['file']}" for slug, version in RELEASES}
    read |= {f"{slug}/nomenclature.json" for slug in SLUGS} | {"__init__.py"}
    for folder in (ROOT / "crosswalks").iterdir():
        document = orjson.loads((folder / "organisation.json").read_bytes())
        read.add(f"crosswalks/{folder.name}/organisation.json")
        for item in document["lists"]:
            names = [f"{item['slug']}.csv", *(target["file"] for target in item["crosswalks"])]
            read |= {f"crosswalks/{folder.name}/{name}" for name in names}
            codes = {code.code for code in read_list((folder / names[0]).read_bytes())}
            for name in names[1:]:
                mappings = read_mappings((folder / name).read_bytes())
                assert {mapping.local_code for mapping in mappings} <= codes, name

    assert read == set(_files(ROOT, ""))


def _files(folder: Traversable, prefix: str) -> list[str]:
    found: list[str] = []
    for item in folder.iterdir():
        if item.name != "__pycache__":
            found += [prefix + item.name] if item.is_file() else _files(item, f"{prefix}{item.name}/")
    return found


def test_publishing_again_does_nothing(shipped_folder: Path, shipped_store: Store) -> None:
    before = shipped_store.log_entries()

    assert shipped.publish(shipped_store, keys_of(shipped_store)) == 0
    assert shipped_store.log_entries() == before


def test_the_log_is_whole_and_names_every_release_and_file(shipped_store: Store) -> None:
    entries = shipped_store.log_entries()

    assert signing.check_chain(entries) == 2 * len(RELEASES)
    for slug, version in RELEASES:
        assert {item.format for item in shipped_store.renditions(slug, version)} == set(FORMATS)


def test_every_crosswalk_of_the_files_is_published(shipped_store: Store) -> None:
    found = shipped_store.crosswalk_editions()

    assert len(found) == sum("--" in name and name.startswith("crosswalks/") for name in _files(ROOT, ""))
    assert {item.organisation for item in found} == {folder.name for folder in (ROOT / "crosswalks").iterdir()}


@pytest.mark.parametrize(
    ("slug", "rows", "codes"),
    [
        ("dep-35/thematiques", 18, 18),
        ("fredo/categories", 41, 32),
        ("ma-boussole-aidants/solutions", 83, 48),
        ("mes-aides/besoins", 48, 39),
        ("soliguide/categories", 152, 114),
    ],
)
def test_the_crosswalks_to_data_inclusion_have_the_rows_of_their_producers(
    shipped_store: Store, slug: str, rows: int, codes: int
) -> None:
    organisation, _, code_list = slug.partition("/")

    edition = shipped_store.crosswalk_edition(organisation, code_list, "data-inclusion-thematiques")
    mappings = [mapping for mapping, _ in shipped_store.mappings(edition)]

    assert (edition.release, len(mappings), len({mapping.local_code for mapping in mappings})) == ("1.0", rows, codes)


def test_a_description_that_lacks_something_says_what() -> None:
    with pytest.raises(Invalid, match="title"):
        shipped.nomenclature({"slug": "x", "iri": "https://socle.example/x"})
