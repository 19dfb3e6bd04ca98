"""The search index: it finds what was meant, says why, says nothing when there is nothing, and survives its files."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import hostile
from registry import analysis, everyday, indexing, search
from registry.errors import Damaged
from registry.search import Document, Index, build, keep


def a_document(code: str, label: str, *alt_label: str, **changes: object) -> Document:
    document = Document("aides", "1.0", code, "active", 2, label, alt_label)
    return replace(document, **changes)  # type: ignore[arg-type] # The names are the fields' own.


DOCUMENTS = (
    a_document("AI-AUT", "Autonomie des personnes âgées", depth=1),
    a_document("AI-AUT-100", "Allocation personnalisée d'autonomie", "APA"),
    a_document("AI-AUT-110", "APA à domicile", path=("Autonomie des personnes âgées",), depth=3),
    a_document(
        "AI-AUT-310", "Aide ménagère aux personnes âgées", "services ménagers", definition=("Heures de ménage.",)
    ),
    a_document("AI-HAN-330", "Aide ménagère aux personnes handicapées", definition=("Servie en nature à domicile.",)),
    a_document(
        "AI-LOG-100", "Fonds de solidarité pour le logement", "FSL", definition=("Aide à payer une dette de loyer.",)
    ),
    a_document("AI-SAN-210", "Couverture maladie complémentaire", "CMU-C", status="deprecated"),
    a_document("AI-INS-100", "Revenu de solidarité active", "RSA", hidden_label=("revenu minimum d'insertion",)),
    a_document("AI-INS-230", "Accompagnement socio-professionnel"),
    a_document("ME-PLA", "Placement", nomenclature="mesures", depth=1),
    a_document("ME-PLA-100", "Placement", nomenclature="mesures", depth=2, path=("Placement",)),
    a_document("ME-PLA-200", "Placement judiciaire", nomenclature="mesures", status="deprecated"),
    a_document("ME-MOU-100", "Action éducative en milieu ouvert", nomenclature="mesures"),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index") / "1-1"
    build(DOCUMENTS, folder)
    opened = Index.open(folder)
    yield opened
    opened.close()


def codes(index: Index, query: str, **filters: str) -> list[str]:
    return [hit.document.code for hit in index.search(query, **filters).hits]  # type: ignore[arg-type] # Texts only.


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("aide menagere personne agee", "AI-AUT-310"),
        ("AIDES MÉNAGÈRES PERSONNES ÂGÉES", "AI-AUT-310"),
        ("l’allocation personnalisee d autonomie", "AI-AUT-100"),
        ("a.p.a.", "AI-AUT-100"),
        ("apa domicile", "AI-AUT-110"),
        ("ai-aut-100", "AI-AUT-100"),
        ("aiaut100", "AI-AUT-100"),
        ("AI AUT 100", "AI-AUT-100"),
        ("aemo", "ME-MOU-100"),
        ("cmuc", "AI-SAN-210"),
        ("cmu c", "AI-SAN-210"),
        ("accompagnement socioprofessionnel", "AI-INS-230"),
        ("dette de loyer", "AI-LOG-100"),
        ("placement judicaire", "ME-PLA-200"),
        ("aidemenagere handicapee", "AI-HAN-330"),
        ("solidarite dactive", "AI-INS-100"),
        ("revenu minimum d'insertion", "AI-INS-100"),
        ("fonds de solidarite pour le log", "AI-LOG-100"),
    ],
)
def test_what_people_type_gives_the_concept_first(index: Index, query: str, code: str) -> None:
    assert codes(index, query)[:1] == [code]


@pytest.mark.parametrize(
    ("query", "kind", "text", "highlighted"),
    [
        ("AI-LOG-100", "code", "AI-LOG-100", ["AI", "LOG", "100"]),
        ("fonds de solidarité pour le logement", "label", "Fonds de solidarité pour le logement", None),
        ("apa", "acronym", "APA", ["APA"]),
        ("aemo", "acronym", "Action éducative en milieu ouvert", ["A", "é", "m", "o"]),
        ("actions educatives ouvertes", "stem", "Action éducative en milieu ouvert", ["Action", "éducative", "ouvert"]),
        (
            "fonds solidarité loge",
            "prefix",
            "Fonds de solidarité pour le logement",
            ["Fonds", "solidarité", "logement"],
        ),
        ("nature domicile", "definition", "Servie en nature à domicile.", ["nature", "domicile"]),
        ("placement judicaire", "corrected", "Placement judiciaire", ["Placement", "judiciaire"]),
    ],
)
def test_a_hit_says_why_and_where(
    index: Index, query: str, kind: str, text: str, highlighted: list[str] | None
) -> None:
    why = index.search(query).hits[0].why

    assert (why.kind, why.text) == (kind, text)
    assert [text[start:end] for start, end in why.highlights] == (highlighted or [text])


def test_a_correction_is_told_with_the_query_that_was_answered(index: Index) -> None:
    results = index.search("aide menagree aux familles agees")

    assert results.understood_as == "aide ménagère aux familles agees"
    assert results.hits[0].why.correction == "ménagère"


def test_a_query_that_needs_no_correction_is_not_said_to_have_any(index: Index) -> None:
    assert index.search("aide ménagère").understood_as == ""


def test_an_exact_match_stands_above_what_is_only_like_it(index: Index) -> None:
    first, *others = index.search("placement").hits

    assert first.document.code == "ME-PLA"
    assert all(first.score >= other.score for other in others)


def test_of_two_same_labels_the_higher_concept_comes_first(index: Index) -> None:
    assert codes(index, "placement")[:2] == ["ME-PLA", "ME-PLA-100"]


def test_an_active_concept_comes_before_a_deprecated_one(tmp_path: Path) -> None:
    build(
        [a_document("A", "Prime ancienne", status="deprecated", depth=1), a_document("B", "Prime nouvelle")],
        tmp_path / "i",
    )

    index = Index.open(tmp_path / "i")

    assert codes(index, "prime") == ["B", "A"]


def test_a_hidden_label_is_searched_and_never_shown(index: Index) -> None:
    shown = [
        *(hit.why.text for hit in index.search("revenu minimum d'insertion").hits),
        *(hit.why.text for hit in index.suggest("revenu mini")),
    ]

    assert shown == ["Revenu de solidarité active"] * 2


def test_filters_leave_only_what_they_name(index: Index) -> None:
    assert set(codes(index, "placement", nomenclature="mesures", status="deprecated")) == {"ME-PLA-200"}
    assert codes(index, "placement", nomenclature="aides") == []
    assert codes(index, "placement", nomenclature="unknown") == []


@pytest.mark.parametrize("query", ["passeport", "horaires de la piscine", "xyzzy plugh", "de la", "", "   ", "!?", "q"])
def test_nothing_found_is_an_answer(index: Index, query: str) -> None:
    results = index.search(query)

    assert (results.hits, results.total, results.understood_as) == ((), 0, "")


def test_near_spellings_stand_apart_when_nothing_is_found(index: Index) -> None:
    results = index.search("solitaireté")

    assert results.hits == ()
    assert "solidarité" in results.near


def test_pages_follow_each_other_without_gap_or_double(tmp_path: Path) -> None:
    documents = [a_document(f"A-{number:03}", f"Aide numéro {number}") for number in range(130)]
    build(documents, tmp_path / "i")
    index = Index.open(tmp_path / "i")

    pages = [index.search("aide", limit=20, offset=offset) for offset in range(0, 140, 20)]

    found = [hit for page in pages for hit in page.hits]
    assert {page.total for page in pages} == {130}
    assert sorted(hit.document.code for hit in found) == [document.code for document in documents]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_every_document_comes_back_as_it_was_given(tmp_path: Path) -> None:
    given = a_document("X-1", "Étiquette", "autre", hidden_label=("cachée",), definition=("Une note.",), path=("Haut",))
    build([given], tmp_path / "i")

    found = Index.open(tmp_path / "i").search("etiquette").hits[0].document

    assert found == given


@pytest.mark.parametrize(
    ("typed", "code", "kind"),
    [
        ("fonds d", "AI-LOG-100", "prefix"),
        ("Fonds d’", "AI-LOG-100", "prefix"),
        ("menag", "AI-AUT-310", "prefix"),
        ("aide menag hand", "AI-HAN-330", "prefix"),
        ("rs", "AI-INS-100", "prefix"),
        ("rsa", "AI-INS-100", "acronym"),
        ("aem", "ME-MOU-100", "acronym"),
        ("ai-log", "AI-LOG-100", "code"),
        ("placement judici", "ME-PLA-200", "prefix"),
        ("logemnet", "AI-LOG-100", "corrected"),
    ],
)
def test_a_suggestion_comes_as_one_types(index: Index, typed: str, code: str, kind: str) -> None:
    hits = index.suggest(typed)

    assert (hits[0].document.code, hits[0].why.kind) == (code, kind)


def test_a_suggestion_shows_what_was_typed(index: Index) -> None:
    why = index.suggest("aide mén")[0].why

    assert [why.text[start:end] for start, end in why.highlights] == ["Aide", "mén"]


def test_suggestions_keep_to_the_nomenclature_and_the_limit(index: Index) -> None:
    assert {hit.document.nomenclature for hit in index.suggest("a", nomenclature="mesures")} == {"mesures"}
    assert len(index.suggest("a", limit=2)) == 2
    assert index.suggest("zzz") == ()


def test_a_word_of_every_day_is_read_as_one_of_the_field(index: Index) -> None:
    meant = analysis.stem("menagere")
    word = next(word for word, means in everyday.words().items() if meant in means and len(means) == 1)

    first = index.search(f"{word} personnes handicapées").hits[0]

    assert first.document.code == "AI-HAN-330"
    assert (first.why.kind, first.why.correction) == ("everyday", "ménagère")


def test_what_a_local_list_says_is_found_and_names_the_list(tmp_path: Path) -> None:
    local = (("Panier solidaire du mardi", "ccas-x/aides@2"),)
    build([*DOCUMENTS, a_document("B-1", "Colis alimentaire", local_label=local)], tmp_path / "i")

    first = Index.open(tmp_path / "i").search("panier solidaire du mardi").hits[0]

    assert (first.document.code, first.why.kind) == ("B-1", "local")
    assert (first.why.text, first.why.source) == ("Panier solidaire du mardi", "ccas-x/aides@2")


def test_facets_count_all_that_was_found(index: Index) -> None:
    results = index.search("placement", limit=1)

    assert results.facets == {"nomenclature": {"mesures": 3}, "status": {"active": 2, "deprecated": 1}}
    assert sum(results.facets["status"].values()) == results.total


def test_what_holds_every_word_stands_above_what_holds_only_some(index: Index) -> None:
    assert codes(index, "nature domicile")[0] == "AI-HAN-330"


def test_likely_concepts_are_given_even_where_a_search_would_be_silent(index: Index) -> None:
    text = "formulaire cerfa de placement hors du département"

    assert index.search(text).hits == ()
    assert index.likely(text)[0].document.nomenclature == "mesures"


# Hostile input


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_twenty_hostile_queries_of_each_kind_are_answered_and_change_no_other_answer(index: Index, kind: str) -> None:
    words = sorted({word.text for document in DOCUMENTS for word in analysis.words(document.pref_label)})
    queries = list(hostile.queries(kind, words))
    before = codes(index, "placement judicaire")

    answers = [(index.search(query), index.suggest(query)) for query in queries]

    assert len(queries) == len(answers) == 20
    assert codes(index, "placement judicaire") == before
    for query, (results, suggested) in zip(queries, answers, strict=True):
        assert all(0 <= hit.score <= 1 for hit in (*results.hits, *suggested))
        assert results == index.search(query[: search.LONGEST_QUERY])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.characters(exclude_categories=()), max_size=250))
def test_any_text_is_a_query(index: Index, query: str) -> None:
    results = index.search(query)
    suggested = index.suggest(query)

    assert all(0 <= hit.score <= 1 for hit in (*results.hits, *suggested))
    assert all(0 <= start < end <= len(hit.why.text) for hit in results.hits for start, end in hit.why.highlights)


def test_only_the_first_words_of_a_long_query_count(index: Index) -> None:
    query = "placement " + "judiciaire " * search.MOST_WORDS + "xyzzy " * 50

    assert codes(index, query)[:1] == ["ME-PLA-200"]


def test_a_search_out_of_time_answers_with_what_it_has(index: Index) -> None:
    hurried = replace(index, patience=-1.0)

    assert codes(hurried, "apa")[:1] == ["AI-AUT-100"]
    assert hurried.search("dette loyer").hits == ()


def test_several_threads_read_one_index(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path / "i")
    index = Index.open(tmp_path / "i")
    expected = {document.pref_label: codes(index, document.pref_label) for document in DOCUMENTS}
    index = Index.open(tmp_path / "i")
    wrong: list[str] = []

    def read() -> None:
        for _ in range(10):
            wrong.extend(label for label, found in expected.items() if codes(index, label) != found)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


# Faults


def kept(root: Path, sequence: int = 7) -> Index:
    return keep(root, sequence, lambda: DOCUMENTS)


def never() -> tuple[Document, ...]:
    raise AssertionError("built again")


def files(root: Path) -> list[Path]:
    return sorted(path for path in next(root.glob("*-7")).rglob("*") if path.is_file())


def test_an_index_of_nothing_finds_nothing(tmp_path: Path) -> None:
    index = keep(tmp_path, 1, lambda: ())

    assert index.search("aide") == search.Results()
    assert index.suggest("aide") == ()


def test_a_whole_index_is_opened_and_not_built_again(tmp_path: Path) -> None:
    kept(tmp_path).close()

    index = keep(tmp_path, 7, never)

    assert codes(index, "apa")[:1] == ["AI-AUT-100"]


def test_another_sequence_is_another_index_and_the_older_one_goes(tmp_path: Path) -> None:
    old = kept(tmp_path)

    new = keep(tmp_path, 8, lambda: DOCUMENTS[5:6])

    assert codes(new, "apa") == []
    assert [path.name for path in tmp_path.glob("*-*")] == [f"{indexing.FORMAT_VERSION}-8"]
    assert codes(old, "apa")[:1] == ["AI-AUT-100"]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("fault", ["deleted", "truncated", "emptied", "changed"])
def test_a_damaged_file_is_noticed_and_the_index_built_again(tmp_path: Path, number: int, fault: str) -> None:
    kept(tmp_path).close()
    path = files(tmp_path)[number]
    content = path.read_bytes()
    if fault == "deleted":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:middle], "emptied": b"", "changed": flipped}[fault])

    with pytest.raises(Damaged):
        Index.open(path if path.is_dir() else next(tmp_path.glob("*-7")))
    index = kept(tmp_path)

    assert codes(index, "apa")[:1] == ["AI-AUT-100"]
    assert [entry.name for entry in tmp_path.glob("*-*")] == [f"{indexing.FORMAT_VERSION}-7"]


def test_the_faults_are_tried_on_every_file(tmp_path: Path) -> None:
    kept(tmp_path).close()

    assert len(files(tmp_path)) == 7


def test_a_folder_that_was_taken_away_is_built_again(tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        Index.open(tmp_path / "nowhere")

    assert codes(kept(tmp_path), "apa")[:1] == ["AI-AUT-100"]


def test_an_index_of_another_state_in_the_place_of_this_one_is_refused(tmp_path: Path) -> None:
    keep(tmp_path / "older", 6, lambda: DOCUMENTS[5:6]).close()
    kept(tmp_path).close()
    folder = next(tmp_path.glob("*-7"))
    shutil.rmtree(folder)
    next((tmp_path / "older").glob("*-6")).rename(folder)

    index = kept(tmp_path)

    assert codes(index, "apa")[:1] == ["AI-AUT-100"]


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    kept(tmp_path).close()
    manifest = next(tmp_path.glob("*-7")) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"format":', b'"format":9'))

    with pytest.raises(Damaged):
        Index.open(manifest.parent)


def test_a_file_in_the_place_of_the_folder_is_put_away(tmp_path: Path) -> None:
    (tmp_path / f"{indexing.FORMAT_VERSION}-7").write_text("not a folder", encoding="utf-8")

    assert codes(kept(tmp_path), "apa")[:1] == ["AI-AUT-100"]


def test_whoever_comes_second_leaves_the_first_index_in_place(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path / "i")

    build(DOCUMENTS[5:6], tmp_path / "i")

    assert codes(Index.open(tmp_path / "i"), "apa")[:1] == ["AI-AUT-100"]
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def documents() -> Iterator[Document]:
        yield DOCUMENTS[0]
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        build(documents(), tmp_path / "i")

    assert list(tmp_path.iterdir()) == []


def _keep_and_tell(root: Path, built: Path) -> None:
    def documents() -> tuple[Document, ...]:
        (built / str(os.getpid())).touch()
        return DOCUMENTS

    index = keep(root, 7, documents)
    os._exit(0 if codes(index, "apa")[:1] == ["AI-AUT-100"] else 1)


def test_processes_that_start_together_build_once_and_all_answer(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_keep_and_tell, args=(tmp_path / "root", built)) for _ in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(built.iterdir())) == 1
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [f"{indexing.FORMAT_VERSION}-7", "lock"]


def _build_at_length(root: Path) -> None:
    def documents() -> Iterator[Document]:
        for number in range(8_000):
            yield a_document(f"X-{number}", f"Aide {number}")
        # Everything is read: from here on the builder writes, and is killed somewhere in it.
        (root / "writing").touch()

    keep(root, 7, documents)


@pytest.mark.parametrize("moment", [0.0, 0.2, 0.5])
def test_a_builder_killed_midway_leaves_nothing_that_lasts(tmp_path: Path, moment: float) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_build_at_length, args=(tmp_path,))
    process.start()
    while not (tmp_path / "writing").exists():
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    left = sorted(path.name for path in tmp_path.glob("*-7"))

    index = kept(tmp_path)

    assert left == []
    assert codes(index, "apa")[:1] == ["AI-AUT-100"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{indexing.FORMAT_VERSION}-7", "lock", "writing"]
