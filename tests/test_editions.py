"""A department's own file, through the terminal and through the API, to an edition that never changes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest
from werkzeug.test import TestResponse

from registry import draft_editions, draft_files, editions
from registry.access import Actor
from registry.crosswalks import LocalCode, Mapping
from registry.draft_editions import Choice, Said
from registry.draft_files import Given
from registry.editions import Content
from registry.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.settings import Settings
from registry.store import Store
from registry.store.draft_editions import CrosswalkName
from tests.conftest import running
from tests.factories import a_concept, a_member, a_release, a_token, an_organisation, bearer, published
from tests.test_cli import answer, run

SHIPPED = resources.files("nomenclatures") / "crosswalks" / "dep-35"
PIVOT = "data-inclusion-thematiques"
NAME = CrosswalkName("dep-71", "solis", "aides")


def shipped_rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((SHIPPED / file).read_text("utf-8").splitlines()))


def department_rows() -> list[tuple[str, str, str, str, str]]:
    """What a department keeps: a number stored as text, a label, a target, a relation in French, a count.

    Every fourth code nobody has looked at yet.
    """
    labels = {row["code"]: row["label"] for row in shipped_rows("thematiques.csv")}
    targets = {row["local_code"]: row["target_code"] for row in shipped_rows(f"thematiques--{PIVOT}.csv")}

    def decision(code: str, n: int) -> tuple[str, str]:
        if n % 4 == 0:
            return "", ""
        return (targets[code], "proche") if targets[code] else ("", "sans équivalent")

    return [(f"{n:04d}", label, *decision(code, n), str(100 * n)) for n, (code, label) in enumerate(labels.items(), 1)]


def workbook(rows: list[tuple[str, str, str, str, str]]) -> bytes:
    """The list as a department keeps it in Excel: a title across merged cells, and one code on two merged lines."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Prestations"
    sheet["A1"] = "Prestations du département, année 2024"
    sheet.merge_cells("A1:E1")
    for place, header in enumerate(("N°", "Intitulé", "Correspondance", "Équivalence", "Nombre de dossiers"), 1):
        sheet.cell(3, place, header)
    for line, row in enumerate(rows, 4):
        for place, cell in enumerate(row, 1):
            sheet.cell(line, place, cell).number_format = "@"
    last = 3 + len(rows)
    for place, text in ((3, "famille--garde-denfants"), (4, "proche")):
        sheet.cell(last + 1, place, text)
    for column in "ABE":
        sheet.merge_cells(f"{column}{last}:{column}{last + 1}")
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def refused_cells(data: bytes) -> dict[str, str]:
    """The reason beside each code of a workbook that came back."""
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert sheet is not None
    header, *lines = sheet.iter_rows(values_only=True)
    place = header.index("motif du refus")
    return {str(line[0]): str(line[place]) for line in lines if line[place]}


def mended(data: bytes, wrong: str, right: str) -> bytes:
    """A workbook in which one cell was corrected by hand."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheet = book.active
    assert sheet is not None
    [cell] = [cell for line in sheet.iter_rows() for cell in line if cell.value == wrong]
    cell.value = right
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_a_department_brings_its_workbook_through_the_terminal_to_an_edition_and_a_recoded_file(
    shipped_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(shipped_settings.data_dir))
    rows = department_rows()
    rows[1] = (*rows[1][:2], "famille--qui-n-existe-pas", *rows[1][3:])
    Path("liste.xlsx").write_bytes(workbook(rows))
    place = ("dep-71/prestations", PIVOT)
    file = ("--organisation-name", "Saône-et-Loire", "--title", "Prestations", "--json")

    # A dry run says what would be refused, and leaves nothing: not even the organisation.
    tried = answer(run("crosswalk", "import", *place, "liste.xlsx", "--dry-run", *file), 1)
    refused = run("crosswalk", "import", *place, "liste.xlsx", "--refused", "refus.xlsx", *file)
    assert (tried["rows"]["refused"], tried["refusals"][0]["rule"]) == (1, "target_exists")
    assert {column["role"]: column["header"] for column in tried["columns"]}["code"] == "N°"
    assert refused.exit_code == 1
    assert refused.stderr.startswith("1 ligne à corriger dans refus.xlsx")
    unknown = run("crosswalk", "import", *place, "liste.xlsx")
    assert (unknown.exit_code, "--organisation-name" in unknown.stderr) == (3, True)
    nothing = run("crosswalk", "draft", *place)
    assert (nothing.exit_code, "socle crosswalk import" in nothing.stderr) == (3, True)
    assert refused_cells(Path("refus.xlsx").read_bytes()).keys() == {"0002"}

    # What came back is mended and sent again; then candidates, decisions, publication.
    Path("mieux.xlsx").write_bytes(
        mended(Path("refus.xlsx").read_bytes(), "famille--qui-n-existe-pas", "famille--garde-denfants")
    )
    done = answer(run("crosswalk", "import", *place, "mieux.xlsx", *file))
    proposed = answer(run("crosswalk", "candidates", *place, "--json"))
    told_last = run("crosswalk", "candidates", *place).stdout.splitlines()[-1]
    accepted = answer(run("crosswalk", "candidates", *place, "--accept-sure", "--json"))
    sure = {one["code"] for one in proposed["items"] if one["candidates"] and one["candidates"][0]["sure"]}
    unreviewed = done["draft"]["coverage"]["codes"]["unreviewed"]
    assert (done["draft"]["revision"], unreviewed, proposed["total"]) == (1, len(rows) // 4, len(rows) // 4)
    assert {one["code"] for one in accepted["accepted"]} == sure
    assert told_last == f"{unreviewed} codes sur {unreviewed} à examiner, dont {len(sure)} avec un candidat sûr"
    shown = answer(run("crosswalk", "draft", *place, "--status", "unreviewed", "--json"))
    left = [row["code"] for row in shown["items"]]
    first, *others = left
    assert run("crosswalk", "map", *place, first, "broadMatch", "famille--garde-denfants").exit_code == 0
    for code in others:
        assert run("crosswalk", "map", *place, code, "noMatch", "--comment", "Propre au département").exit_code == 0
    assert run("crosswalk", "check", *place).exit_code == 0
    assert f"+ {first}  " in run("crosswalk", "diff", *place).stdout
    edition = answer(run("crosswalk", "publish", *place, "--valid-from", "2025-01-01", "--json"))
    [status] = answer(run("crosswalk", "status", "dep-71/prestations", "--json"))["items"]
    again = run("crosswalk", "publish", *place)

    assert (edition["edition"], edition["codes"], edition["author"]) == (1, len(rows), "Saône-et-Loire")
    assert (status["noMatch"], status["unreviewed"]) == (3 + len(others), 0)
    assert status["uses"]["total"] == sum(int(row[4]) for row in rows)
    assert again.exit_code == 3
    written = run("crosswalk", "export", *place).stdout.splitlines()
    assert sum(line.startswith(f"{len(rows):04d},") for line in written) == 2, "the merged code has two targets"

    # A data file of the department is recoded by it, its leading zeros and blanks as they were.
    table = f"dossier;prestation;note\r\n007;0001;é \r\n008;9999;\r\n009;{first};x\r\n"
    Path("aides.csv").write_bytes(table.encode("cp1252"))
    ends = ("--column", "prestation", "--from", place[0], "--to", PIVOT, "-o", "recodées.csv")
    recoded = run("recode", "aides.csv", *ends, "--report", "rapport.json")
    lines = Path("recodées.csv").read_bytes().decode("cp1252").split("\r\n")
    report = orjson.loads(Path("rapport.json").read_bytes())
    assert recoded.exit_code == 0, recoded.output
    assert lines[0] == "dossier;prestation;note;" + ";".join(
        f"prestation_{name}" for name in (PIVOT, "label", "release", "relation", "status")
    )
    assert [line.split(";")[:3] for line in lines[1:4]] == [
        ["007", "0001", "é "],
        ["008", "9999", ""],
        ["009", first, "x"],
    ]
    assert [line.rpartition(";")[2] for line in lines[1:4]][1:] == ["unknown", "broader"]
    assert lines[3].split(";")[3] == "famille--garde-denfants"
    assert (report["rows"], report["rowsOut"]) == (3, 3)

    # A new list without decisions keeps those there are; a file without them asks before they go.
    Path("codes.csv").write_text("code,libellé\n" + "".join(f"{row[0]},{row[1]}\n" for row in rows[1:]), "utf-8")
    asked = run("crosswalk", "import", *place, "codes.csv")
    dropped = answer(run("crosswalk", "import", *place, "codes.csv", "--drop", "--json"))
    assert asked.exit_code == 4
    assert dropped["dropped"]["total"] == 1
    assert dropped["draft"]["coverage"]["codes"]["total"] == len(rows) - 1
    found = answer(run("crosswalk", "diff", *place, "--json"))
    assert [code["code"] for code in found["codes"]["removed"]] == ["0001"]
    assert answer(run("crosswalk", "publish", *place, "--json"))["edition"] == 2
    assert "- 0001" in run("crosswalk", "diff", *place, "1", "2").stdout

    # Another release: what it touches is told, carried, and nothing moves by itself.
    review = answer(run("crosswalk", "review", *place, "--release", "0.27", "--json"))
    carried = answer(run("crosswalk", "carry", *place, "--release", "0.27", "--json"))
    again = run("crosswalk", "carry", *place, "--release", "0.27")
    waiting = answer(run("crosswalk", "review", *place, "--draft", "--json"))
    assert f"révision {carried['draft']['revision']} " in again.stdout
    assert "déjà sur data-inclusion-thematiques@0.27 : rien à reprendre" in again.stdout
    absent = run("crosswalk", "export", "dep-71/prestations@9", place[1])
    assert "tables : dep-71/prestations@1 → data-inclusion-thematiques@1.0, " in absent.stderr
    assert review["reviews"] == [carried["review"]]
    assert carried["review"]["counts"]["codes"] == carried["draft"]["coverage"]["codes"]["unreviewed"] > 0
    assert {item["code"] for item in waiting["items"]} <= {item["code"] for item in review["items"]}
    assert run("crosswalk", "review", *place, "--accept-successors").exit_code == 0
    assert run("crosswalk", "discard", *place).exit_code == 0
    assert answer(run("crosswalk", "status", "dep-71/prestations", "--json"))["total"] == 2


def told(response: TestResponse) -> Any:
    return response.get_json()


def test_a_department_brings_its_csv_through_the_api_to_an_edition_and_a_recoded_file(
    shipped_settings: Settings,
) -> None:
    rows = department_rows()
    lines = [";".join((f" {row[0]} ", *row[1:])) for row in rows]
    # The same line twice is one; the same code under another label is refused.
    sent = "\r\n".join(
        ["Code prestation;Libellé;Code cible;Relation;Effectif", *lines, lines[0], "0002;Autre chose;;;", ""]
    )
    with running(shipped_settings) as app:
        client, store = app.test_client(), app.extensions["socle"].store
        mapper = a_member(store, "mapper", organisation="dep-71")
        token, other = a_token(store, mapper), a_token(store, a_member(store, "mapper", organisation="dep-72"))
        place = f"/api/v1/crosswalks/dep-71/prestations/{PIVOT}"
        draft, new = f"{place}/draft", bearer(token, If_None_Match="*")

        unconditional = client.put(draft, headers=bearer(token), data=sent.encode("cp1252"))
        assert (unconditional.status_code, "If-None-Match: *" in told(unconditional)["detail"]) == (428, True)

        report = client.put(draft, headers=new, data=sent.encode("cp1252"))
        back = client.put(f"{draft}?report=file", headers=new, data=sent.encode("cp1252"))
        nothing = client.get(draft, headers=bearer(token))
        assert (report.status_code, told(report)["report"]["rows"]["refused"]) == (422, 1)
        [error] = told(report)["errors"]
        assert (error["rule"], error["value"]) == ("code_is_given_once", "Autre chose")
        assert (back.status_code, back.mimetype, nothing.status_code) == (422, "text/csv", 404)

        better = back.data.decode("cp1252").replace("Autre chose", rows[1][1]).encode("cp1252")
        tried = client.put(f"{draft}?dryRun=true", headers=new, data=better)
        made = client.put(f"{draft}?title=Prestations", headers={**new, "Idempotency-Key": "un"}, data=better)
        repeated = client.put(f"{draft}?title=Prestations", headers={**new, "Idempotency-Key": "un"}, data=better)
        second = client.put(draft, headers=new, data=better)
        assert (tried.status_code, told(tried)["draft"], made.status_code) == (200, None, 201)
        assert (told(repeated), second.status_code) == (told(made), 412)
        assert any("blancs" in remark for remark in told(made)["remarks"])
        page = told(client.get(f"{draft}?limit=2&status=unreviewed", headers=bearer(token)))
        assert (page["total"], [row["code"] for row in page["items"]]) == (len(rows) // 4, ["0004", "0008"])

        # Nobody else sees it, by any address; what is published does not show it either.
        for address in (draft, f"{draft}/diff", f"{draft}/problems", f"{draft}/export?format=csv", f"{draft}/review"):
            assert client.get(address, headers=bearer(other)).status_code == 403
            assert client.get(address).status_code == 401
        assert client.get(place).status_code == client.get("/api/v1/code-lists/dep-71/prestations").status_code == 404

        tag = made.headers["ETag"]
        accepted = client.post(f"{draft}/accept", headers=bearer(token, If_Match=tag), json={"what": "sure"})
        stale = client.post(f"{draft}/publish", headers=bearer(token, If_Match='"old"'), json={})
        wrong = client.patch(
            f"{draft}/mappings",
            headers=bearer(token, If_Match=accepted.headers["ETag"]),
            json={
                "items": [
                    {"code": "0004", "status": "mapped", "mappings": [{"relation": "sameAs", "target": "x"}]},
                    {"code": "0008", "status": "noMatch"},
                ]
            },
        )
        decided = client.patch(
            f"{draft}/mappings",
            headers=bearer(token, If_Match=accepted.headers["ETag"]),
            json={"items": [{"code": "0008", "status": "noMatch", "comment": "Rien de tel"}]},
        )
        assert (accepted.status_code, stale.status_code, wrong.status_code) == (200, 412, 422)
        assert [one["pointer"] for one in told(wrong)["errors"]] == ["/items/0/mappings/0/relation"]
        assert told(decided)["coverage"]["codes"]["noMatch"] == 4

        # Sent again without decisions in its columns, the file keeps them; with empty ones it has to be said.
        keep = bearer(token, If_Match=decided.headers["ETag"])
        conflict = client.put(draft, headers=keep, data="code;libellé;cible;relation\n0001;a;;\n".encode())
        assert (conflict.status_code, told(conflict)["dropped"]["total"] > 10) == (409, True)

        published_ = client.post(f"{draft}/publish", headers={**keep, "Idempotency-Key": "deux"}, json={})
        once = client.post(f"{draft}/publish", headers={**keep, "Idempotency-Key": "deux"}, json={})
        twice = client.post(f"{draft}/publish", headers=keep, json={})
        assert (published_.status_code, told(published_)["edition"], twice.status_code) == (201, 1, 404)
        assert told(once) == told(published_)
        for name in CROSSWALK_FORMATS:
            exported = client.get(f"{published_.headers['Location']}&format={name}")
            assert (exported.status_code, exported.mimetype) == (200, CROSSWALK_FORMATS[name].media_type)
        status = told(client.get(f"{place}/status?edition=1"))
        assert status["coverage"]["codes"]["total"] == len(rows)
        assert status["coverage"]["uses"]["total"] == sum(int(row[4]) for row in rows)

        data = b"prestation\n0001\n9999\n0008\n"
        ends = {"column": "prestation", "from": "dep-71/prestations@1", "to": PIVOT}
        recoded = client.post("/api/v1/recode", query_string=ends, data=data, content_type="text/csv")
        assert recoded.status_code == 200, recoded.text
        cells = [line.split(",") for line in recoded.text.splitlines()]
        assert [row[0] for row in cells] == ["prestation", "0001", "9999", "0008"]
        assert [row[-1] for row in cells[2:]] == ["unknown", "noMatch"]

        carried = client.post(f"{draft}/carry", headers=new, json={"release": "0.27"})
        review = told(client.get(f"{place}/review?release=0.27&edition=1&limit=1"))
        here = bearer(token, If_Match=carried.headers["ETag"])
        successors = client.post(f"{draft}/accept", headers=here, json={"what": "successors"})
        gone = client.delete(draft, headers=bearer(token, If_Match=successors.headers["ETag"]))
        assert (carried.status_code, successors.status_code, gone.status_code) == (201, 200, 204)
        assert review["review"] == told(carried)["review"]
        assert (len(review["items"]), review["cursor"] is not None) == (1, review["total"] > 1)
        entries = [orjson.loads(entry) for entry in store.journal_entries()]
        acts = [entry for entry in entries if entry["operation"] == "crosswalk.write" and entry["type"] == "action"]
        assert [entry["object"] for entry in acts] == [f"crosswalk dep-71 prestations {PIVOT}"] * len(acts)
        assert acts[-1]["after"] == "discarded"
        assert sum(act["after"].startswith("edition 1 ") for act in acts) == 1


# --- What always holds ---------------------------------------------------------------------------------------------

LIST = frozenset({"code", "label"})
DECIDED = LIST | {"relation", "target_code"}


@pytest.fixture
def store(sqlite_url: str, tmp_path: Path) -> Iterator[Store]:
    """A registry with one release and a département."""
    found = Store(sqlite_url, tmp_path / "blobs")
    published(found, a_release(*(a_concept(code) for code in "ABC")))
    found.add_organisation(an_organisation())
    yield found
    found.close()


@pytest.fixture
def mapper(store: Store) -> Actor:
    """A referent of the département."""
    return a_member(store, "mapper")


def given(*codes: str, mappings: tuple[Mapping, ...] = (), columns: frozenset[str] = DECIDED, **more: Any) -> Given:
    """What a file says: codes called after themselves unless others are given, mappings, columns."""
    return Given(tuple(LocalCode(code, f"Code {code}") for code in codes), mappings, columns, **more)


def put(store: Store, mapper: Actor, what: Given, **options: Any) -> Content:
    return draft_editions.content(store, draft_files.put(store, NAME, what, Said(), actor=mapper, **options))


def test_a_file_takes_the_place_of_a_draft_but_for_what_it_has_no_column_for(store: Store, mapper: Actor) -> None:
    first = (Mapping("1", "A", "exactMatch"), Mapping("2", "", "noMatch"))
    put(store, mapper, Given((LocalCode("1", "Un", note="n", frequency="7"), LocalCode("2", "Deux")), first, DECIDED))

    relabelled = put(store, mapper, given("1", "2", "3", columns=LIST))
    mapped = put(
        store, mapper, given("3", mappings=(Mapping("3", "B", "exactMatch"),), columns=DECIDED - LIST), drop=True
    )

    assert relabelled.codes[0] == LocalCode("1", "Code 1", note="n", frequency="7")
    assert relabelled.mappings == first
    assert [code.code for code in mapped.codes] == ["1", "2", "3"]
    assert [mapping.local_code for mapping in mapped.mappings] == ["3"]


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        (given("1", mappings=(Mapping("1", "NOWHERE", "exactMatch"),)), "target_exists"),
        (given("1", mappings=(Mapping("2", "A", "exactMatch"),)), "local_code_exists"),
        (
            given("1", mappings=(Mapping("1", "A", "exactMatch"), Mapping("1", "B", "broadMatch"))),
            "exactMatch_stands_alone",
        ),
    ],
)
def test_a_draft_never_holds_what_could_not_be_published(store: Store, mapper: Actor, what: Given, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        put(store, mapper, what)

    assert [problem.rule for problem in caught.value.problems] == [rule]
    with pytest.raises(NotFound):
        store.draft_edition(NAME)


def test_two_who_write_one_draft_do_not_overwrite_each_other(store: Store, mapper: Actor) -> None:
    put(store, mapper, given("1", "2"))
    other, choice = a_member(store, "mapper"), Choice("1", ({"relation": "exactMatch", "target_code": "A"},))
    draft_editions.decide(store, NAME, [choice], actor=other, revision=1)

    with pytest.raises(Stale):
        draft_editions.decide(store, NAME, [Choice("1")], actor=mapper, revision=1)
    with pytest.raises(Stale):
        put(store, mapper, given("1"), revision=1)
    with pytest.raises(Conflict):
        put(store, mapper, given("1"))

    assert store.draft_edition(NAME).revision == 2


def test_an_edition_publishes_its_list_with_it_or_nothing(store: Store, mapper: Actor) -> None:
    put(store, mapper, given("1", "2", mappings=(Mapping("1", "A", "exactMatch"),)))
    with pytest.raises(Forbidden):
        draft_editions.publish(store, NAME, actor=a_member(store, "mapper", organisation="dep-72"))

    first, _ = draft_editions.publish(store, NAME, actor=mapper)
    put(store, mapper, given("1", "2", mappings=(Mapping("1", "B", "exactMatch"), Mapping("2", "B", "exactMatch"))))
    second, warnings = draft_editions.publish(store, NAME, actor=mapper)

    assert (first.list_edition, second.list_edition, second.edition) == (1, 1, 2)
    assert [warning.rule for warning in warnings] == ["exact_targets_differ"]
    found = editions.difference(editions.content(store, first), editions.content(store, second))
    assert [one.target_code for one in found.mappings_added] == ["B", "B"]
    assert [one.target_code for one in found.mappings_removed] == ["A"]


def test_a_file_made_for_another_release_or_list_of_concepts_is_refused(store: Store, mapper: Actor) -> None:
    put(store, mapper, given("1", mappings=(Mapping("1", "A", "exactMatch"),)))
    draft = store.draft_edition(NAME)
    whole = draft_editions.whole(store, draft)
    template = b"".join(CROSSWALK_FORMATS["xlsx"].write(whole))

    same = draft_files.given(draft_files.read(store, NAME, template, Said()))
    put(store, mapper, same)

    assert draft_editions.content(store, store.draft_edition(NAME)) == Content(whole.codes, whole.mappings)
    published(store, a_release(*(a_concept(code) for code in "ABCD"), version="1.1"))
    with pytest.raises(Invalid, match="vise autre chose"):
        draft_files.read(store, NAME, template, Said(release="1.1"))
