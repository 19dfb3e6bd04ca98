"""Recoding: the rule on hand-made translations, files of every dialect beside what Python reads, faults, doors."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import logging
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.main import main
from registry import recoding
from registry.crosswalks import CodeList, LocalCode, Mapping, Organisation
from registry.editions import Source, publish
from registry.errors import Conflict, Invalid
from registry.model import Link
from registry.recoding import csv_file, files, parquet_file
from registry.recoding.csv_rows import Rows
from registry.recoding.rows import Counted, Done, Recoder, tally
from registry.recoding.rule import Cell, Hierarchy, Lookup, Plan, Target, day_of, lookup, recoded
from registry.store import Store
from tests import faults
from tests.factories import A_DAY, a_concept, a_deprecated_concept, a_release, examples, published
from tests.workbooks import xls, xlsx

PLAN = Plan("code", "dep-71/solis", "aides", at=date(2026, 1, 1))
TREE = {"T": (), "A": ("T",), "A1": ("A",), "A2": ("A",), "B": ("T",), "B1": ("B",), "X": ("A", "B"), "T2": ()}


def the_tree() -> Hierarchy:
    """T over A and B; A1 and A2 under A, B1 under B, X under both; T2 beside T."""
    return Hierarchy(lambda: [(code, f"Aide {code}", above) for code, above in TREE.items()])


def cells(state: str, *targets: Target, **options: Any) -> list[tuple[str, str, str]]:
    """Code, status and weight of what the rule makes of a translation."""
    found = recoded(state, targets, the_tree(), replace(PLAN, **options), "1.0")
    return [(cell.code, cell.status, cell.weight) for cell in found]


def exact(code: str) -> Target:
    return Target("exactMatch", code)


def narrow(code: str, *, covers: bool = False, weight: str = "") -> Target:
    return Target("narrowMatch", code, covers=covers, weight=weight)


@pytest.mark.parametrize(
    ("state", "targets", "options", "code", "status"),
    [
        ("mapped", [exact("A1")], {}, "A1", "exact"),
        ("deprecated", [exact("A1")], {}, "A1", "deprecated"),
        ("mapped", [Target("closeMatch", "A1")], {}, "A1", "close"),
        ("mapped", [Target("broadMatch", "A")], {}, "A", "broader"),
        ("mapped", [Target("closeMatch", "A1"), Target("closeMatch", "A2")], {}, "", "ambiguous"),
        ("mapped", [Target("broadMatch", "A"), Target("broadMatch", "B")], {}, "", "ambiguous"),
        ("mapped", [exact("A1"), exact("A2")], {}, "", "ambiguous"),
        ("mapped", [exact("A1"), Target("broadMatch", "A")], {}, "A1", "exact"),
        ("mapped", [narrow("A1")], {}, "", "ambiguous"),
        ("mapped", [narrow("A1"), narrow("A2")], {}, "", "ambiguous"),
        ("mapped", [narrow("A1", covers=True)], {}, "A", "climbed"),
        ("mapped", [narrow("A1", covers=True), narrow("A2", covers=True)], {}, "A", "climbed"),
        ("mapped", [narrow("A1", covers=True), narrow("A2")], {}, "", "ambiguous"),
        ("mapped", [narrow("A1", covers=True), narrow("B1", covers=True)], {}, "T", "climbed"),
        ("mapped", [narrow("A1", covers=True), narrow("T2", covers=True)], {}, "", "ambiguous"),
        ("mapped", [narrow("X", covers=True)], {}, "", "ambiguous"),
        ("mapped", [Target("relatedMatch", "A1")], {}, "", "related"),
        ("noMatch", [], {}, "", "noMatch"),
        ("unreviewed", [], {}, "", "unreviewed"),
        ("refused", [], {}, "", "refused"),
        ("unmapped", [], {}, "", "unmapped"),
        ("mapped", [exact("A1")], {"level": 2}, "A", "broader"),
        ("mapped", [exact("A")], {"level": 2}, "A", "exact"),
        ("mapped", [exact("A")], {"level": 3}, "", "aboveLevel"),
        ("mapped", [exact("X")], {"level": 2}, "", "ambiguous"),
        ("mapped", [exact("X")], {"level": 1}, "T", "broader"),
        ("mapped", [Target("closeMatch", "A1")], {"level": 2}, "A", "close"),
        ("mapped", [Target("broadMatch", "A"), Target("broadMatch", "B")], {"level": 1}, "T", "broader"),
        ("mapped", [Target("closeMatch", "A1"), Target("closeMatch", "A2")], {"level": 2}, "", "ambiguous"),
    ],
)
def test_the_rule_gives_a_code_only_where_it_is_sound(
    state: str, targets: list[Target], options: dict[str, Any], code: str, status: str
) -> None:
    found = cells(state, *targets, **options)

    assert found == [(code, status, "1")]


def test_rows_are_shared_out_by_published_weights_or_equally_and_never_by_guess() -> None:
    published_ = [narrow("A1", weight="0.33"), narrow("A2", weight="0.66")]
    without = [narrow("A1"), narrow("A2"), narrow("B1")]

    by_weight = cells("mapped", *published_, on_many="rows")
    guessed = cells("mapped", *without, on_many="rows")
    equal = cells("mapped", *without, on_many="rows", weights="equal")
    one = cells("mapped", narrow("A1"), on_many="rows", weights="equal")
    together = cells("mapped", narrow("A1"), narrow("A2"), narrow("B1"), on_many="rows", weights="equal", level=2)

    assert by_weight == [("A1", "split", "0.33"), ("A2", "split", "0.67")]
    assert guessed == one == [("", "ambiguous", "1")]
    assert [code for code, *_ in equal] == ["A1", "A2", "B1"]
    assert sum(Decimal(weight) for *_, weight in equal) == 1
    assert together == [("A", "split", "0.666666"), ("B", "split", "0.333334")]


# Files: what comes of them is what Python's csv and a dictionary make of them

CODES = ("0341", "341", " 341", "é", "A;B", 'say "x"', "\u00a0", "NULL", "0", "-")
_ENTRIES = [
    (Cell("", "", "", "", "unknown"),),
    (Cell("", "", "", "", "missing"),),
    (Cell("", "", "", "", "dateMissing"),),
    (Cell("", "", "", "", "dateUnreadable"),),
    (Cell("", "", "", "", "noRelease"),),
    *((Cell(f"T{n}", f"Libellé {n} ; « à »", "1.0", "exactMatch", "exact"),) for n in range(len(CODES))),
]


def a_lookup(**changes: Any) -> Lookup:
    """Every code of ``CODES`` is exactly one target, whatever the day."""
    known = {code: 5 + place for place, code in enumerate(CODES)}
    given: dict[str, Any] = {"plan": PLAN, "entries": _ENTRIES, "known": known, "varying": {}}
    return Lookup(**given | changes)


def recoded_file(data: Path, found: Lookup, *, gz: bool = False) -> tuple[bytes, Done]:
    """A file recoded beside itself: its bytes, and what it came to."""
    out = data.with_name(f"{data.name}.out")
    with files.whole(out) as file:
        done = csv_file.recode_csv(data, file, found, gz=gz, folder=data.parent, progress=lambda *_: None, most=1 << 30)
    return out.read_bytes(), done


def cells_of(data: bytes, delimiter: str) -> list[list[str]]:
    """The rows of a CSV file, read by Python; a blank line is an empty cell where there is one column only."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    return [row or [""] for row in rows if row or len(rows[0]) == 1]


_HOSTILE = st.text(
    st.one_of(
        st.sampled_from("\"';,\t \n\r#\\|=0é\u2028\ufeff\x1f\x1e"),
        st.characters(codec="cp1252", exclude_characters="\x00"),
    ),
    max_size=6,
)
_FIELDS = st.one_of(st.sampled_from(CODES), _HOSTILE)


@st.composite
def data_files(draw: st.DrawFn) -> tuple[bytes, str, str]:
    """A CSV file in some French dialect, its delimiter and its line end."""
    end, width = draw(st.sampled_from(("\n", "\r\n"))), draw(st.integers(1, 3))
    delimiter = draw(st.sampled_from(";,\t" if width > 1 else "\t"))
    place = draw(st.integers(0, width - 1))
    header = ["code" if column == place else f"col{column}" for column in range(width)]
    rows = draw(st.lists(st.lists(_FIELDS, min_size=width, max_size=width), max_size=6))
    quoting = draw(st.booleans())

    def written(cell: str) -> str:
        quoted = quoting or any(special in cell for special in f'{delimiter}"\r\n')
        return '"' + cell.replace('"', '""') + '"' if quoted else cell

    text = "".join(delimiter.join(map(written, row)) + end for row in [header, *rows])
    encodings = ["utf-8", "utf-8-sig"]
    try:
        text.encode("cp1252")
        encodings.append("cp1252")
    except UnicodeEncodeError:
        pass
    return text.encode(draw(st.sampled_from(encodings))), delimiter, end


@pytest.mark.fuzz
@given(data_files())
@example((b'a;code\r\n1; "0341" \r\n"x\ny";0341\r\n', ";", "\r\n"))
@example((b"code\n\n0341\n\n", "\t", "\n"))
@example((b'code,b\n"",\n"A;B","x""\r"\n', ",", "\n"))
@example((b'code;b\r\n"\n";"\n"\r\n', ";", "\r\n"))
@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recoded_file_has_the_same_rows_and_cells_and_dialect_and_one_more_answer_each(
    tmp_path: Path, file: tuple[bytes, str, str]
) -> None:
    data, delimiter, end = file
    source = tmp_path / "données.csv"
    source.write_bytes(data)
    header, *rows = cells_of(data, delimiter)
    found = a_lookup()
    beside = Recoder(found, header)
    expected = list(beside.rows(rows))

    written, done = recoded_file(source, found)

    told = cells_of(written, delimiter if len(header) > 1 else ";")
    assert told == [[*header, *PLAN.added], *expected]
    assert done.tally == beside.tally()
    assert done.read == hashlib.sha256(data).hexdigest()
    assert done.written == hashlib.sha256(written).hexdigest()
    assert written.startswith(codecs.BOM_UTF8) == data.startswith(codecs.BOM_UTF8)
    assert written.split(b"\n")[0].endswith(b"\r") == (end == "\r\n" and b"\n" in data)


def test_rows_stay_in_order_beyond_what_one_thread_reads(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    source.write_text("n;code\n" + "".join(f"{n};{CODES[n % 2]}\n" for n in range(400_000)))

    written, done = recoded_file(source, a_lookup())

    lines = written.decode().splitlines()
    assert [int(line.partition(";")[0]) for line in lines[1:]] == list(range(400_000))
    assert done.tally.counts["exact"] == (400_000, 2, (("0341", 200_000), ("341", 200_000)))
    assert done.tally.reversible


def answer_of(lookup: Lookup, code: str, end: str = "\n") -> str:
    """How a row goes on behind its own cells."""
    [cell] = lookup.entries[lookup.entry(code)]
    return ";" + ";".join(f'"{text}"' if " " in text else text for text in cell[:5]) + end


def rows_of(text: str, header: Sequence[str] = ("note", "code")) -> list[tuple[str, str]]:
    """The rows that csv reads: as they stand, and their codes.

    :raises Error: if it can't read one, or it has not as many cells as the header: ``args`` are the line it begins on.
    """
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=";" if len(header) > 1 else "\t", strict=True)
    found, last = [], 0
    try:
        for row in reader:
            own = re.sub(r"(\r\n|\r|\n)\Z", "", "".join(lines[last : reader.line_num]))
            cells = row or ([""] if len(header) == 1 else [])
            if len(cells) not in (0, len(header)):
                raise csv.Error
            if cells:
                quoted = len(header) == 1 and ";" in own
                found.append(('"' + cells[0].replace('"', '""') + '"' if quoted else own, cells[header.index("code")]))
            last = reader.line_num
    except csv.Error:
        raise csv.Error(last + 1) from None
    return found


@pytest.mark.fuzz
@given(
    st.text(st.sampled_from('";\n\rx \1'), max_size=30),
    st.sets(st.integers(1, 8), max_size=2),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([("note", "code"), ("code",), ("code", "note"), ("a", "code", "b")]),
)
@example('x;"a\n\nx;x\n";x\nx;x', {1, 2}, "\n", ("note", "code"))
@example('"";x\n""x;x', set(), "\n", ("note", "code"))
@example('"""";x\n"a""";"b"', set(), "\n", ("note", "code"))
@example('"""";x\n""""x;"b"', set(), "\n", ("note", "code"))
@example('x"x;x\n"a"x;x', set(), "\n", ("note", "code"))
@example('"x;";x\n\rx;x\r', {1}, "\n", ("note", "code"))
@example('"\1;";x', set(), "\n", ("note", "code"))
@example('a"b;c";"x"', set(), "\n", ("note", "code"))
@example('5";x";"x"\n"a";"x"', set(), "\n", ("note", "code"))
@example('"a\rb";x\nx', set(), "\n", ("note", "code"))
@example('"a\nb";x;z', set(), "\n", ("note", "code"))
@example("a;x\rxx\nb;x", set(), "\r\n", ("note", "code"))
@example("x\rx", set(), "\r\n", ("code",))
@example("a;x;b\rfin", set(), "\r\n", ("a", "code", "b"))
@settings(max_examples=examples(300), deadline=None)
def test_rows_are_those_that_csv_reads_wherever_a_file_is_cut_and_stay_as_they_stand(
    text: str, cuts: set[int], end: str, header: tuple[str, ...]
) -> None:
    lines = [line + end for line in text.split("\n")]
    ends = [0, *sorted(cut for cut in cuts if cut < len(lines)), len(lines)]
    pieces = ["".join(lines[start:end_]).encode() for start, end_ in pairwise(ends)]
    found = a_lookup(known={"x": 5, "x\n": 6})
    rows = Rows(found, files.dialect_of((";".join(header) + end).encode(), ["code"]))

    def recoded() -> str:
        return b"".join(piece.rows for piece in csv_file.recoded(rows, iter(pieces), 1)).decode()

    try:
        expected = rows_of("".join(lines), header)
    except csv.Error as error:
        with pytest.raises(Invalid, match=f"ligne {error.args[0] + 1} "):
            recoded()
        return

    assert recoded() == "".join(own + answer_of(found, code, end) for own, code in expected)


def a_large_file(chance: random.Random) -> list[str]:
    """Rows of note and code of every kind that there is, of which some go through many pieces."""
    kinds = ["note;0341", '"note";"0341"', '"a;b";341', '"en\ndeux";"A;B"', 'de 5" à 6";é', '"";', '"dit ""oui""";-']
    weights = [1000, 1000, 10, 10, 1, 10, 10]
    rows = []
    for _ in range(40):
        # Some of the pieces have rows of one kind alone.
        some = chance.sample(range(len(kinds)), chance.randrange(1, 4))
        rows += chance.choices([kinds[one] for one in some], [weights[one] for one in some], k=10_000)
    rows[200_000] = '"' + "long\n" * 200_000 + '";0341'
    return rows


def test_a_large_file_comes_back_byte_for_byte_with_its_answers_whichever_process_recodes_which_piece(
    tmp_path: Path,
) -> None:
    rows = a_large_file(random.Random(5))
    source = tmp_path / "d.csv"
    source.write_text("note;code\n" + "".join(f"{row}\n" for row in rows))
    found = a_lookup()
    answers = {row: answer_of(found, rows_of(row)[0][1]) for row in set(rows)}

    written, done = recoded_file(source, found)

    header, _, body = written.decode().partition("\n")
    assert header == ";".join(["note", "code", *PLAN.added])
    assert body == "".join(row + answers[row] for row in rows)
    assert done.tally.rows == done.tally.rows_out == len(rows)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [("a;b;c", 300_002), ('"a"b;c', 300_002), ('a;"b', 300_002), ("a;\0", None)],
)
def test_what_cannot_be_read_is_told_with_its_line_however_far_it_stands(
    tmp_path: Path, wrong: str, line: int | None
) -> None:
    source = tmp_path / "d.csv"
    row = "une note assez longue;0341\n"
    source.write_text("note;code\n" + row * 300_000 + f"{wrong}\n" + row * 100_000)

    with pytest.raises(Invalid) as refused:
        recoded_file(source, a_lookup())

    assert [problem.where for problem in refused.value.problems] == [f"ligne {line}" if line else ""]
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"code;note\n" + b"a;b\n" * 300_000 + b"a;" + b"x" * (5 << 19) + b"\na;b\n", "ligne trop longue"),
        (b"code;note\na;" + b"x" * (5 << 19), "ligne trop longue"),
        (b'code;note\na;"' + b"x\n" * (5 << 18) + b'"\n', "2 Mio"),
        (b"code;" + b"x" * (5 << 18) + b"\na;b\n", "en-tête trop long"),
    ],
)
def test_what_is_too_long_is_refused_wherever_it_stands(tmp_path: Path, data: bytes, message: str) -> None:
    source = tmp_path / "d.csv"
    source.write_bytes(data)

    with pytest.raises(Invalid, match=message):
        recoded_file(source, a_lookup())


def test_a_header_alone_is_read_to_its_last_byte(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    source.write_bytes("code;cod\xe9".encode("cp1252"))

    written, done = recoded_file(source, a_lookup())

    assert written.decode("cp1252") == ";".join(["code", "cod\xe9", *PLAN.added]) + "\n"
    assert done.tally.rows == 0


def test_short_rows_with_many_answers_come_in_pieces_whose_answers_fit_in_memory(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    source.write_bytes(b"code\n" + b"x\n" * 100_000)
    many = tuple(Cell(f"T{n}", "Libellé", "1.0", "narrowMatch", "split", "0.05") for n in range(20))
    found = a_lookup(plan=replace(PLAN, on_many="rows"), entries=[*_ENTRIES, many], known={"x": len(_ENTRIES)})

    written, done = recoded_file(source, found)

    assert Rows(found, files.dialect_of(b"code\n", ["code"])).at_once < 1 << 15
    assert written.count(b"\n") == 1 + 20 * 100_000
    assert (done.tally.rows, done.tally.rows_out) == (100_000, 2_000_000)


def test_a_data_file_that_grows_while_it_is_read_is_not_followed(tmp_path: Path) -> None:
    source, out = tmp_path / "d.csv", tmp_path / "o.csv"
    source.write_bytes(b"code;note\n" + b"0341;une note\n" * 400_000)

    def grow(*_: object) -> None:
        with source.open("ab") as file:
            file.write(b"0341;une note\n" * 100_000)

    with pytest.raises(Conflict), files.whole(out) as file:
        csv_file.recode_csv(source, file, a_lookup(), gz=False, folder=tmp_path, progress=grow, most=1 << 30)


def test_a_recoding_whose_process_is_ended_writes_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "d.csv", tmp_path / "o.csv"
    source.write_text("note;code\n" + "une note assez longue;0341\n" * 400_000)

    def end(*_: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(OSError, match="process that recodes"), files.whole(out) as file:
        csv_file.recode_csv(source, file, a_lookup(), gz=False, folder=tmp_path, progress=end, most=1 << 30)

    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]
    assert not multiprocessing.active_children()


def test_codes_that_are_too_many_for_memory_are_counted_on_the_disk_alike(tmp_path: Path) -> None:
    chance, found = random.Random(7), a_lookup()
    told = [(chance.choice([*CODES, *map(str, range(50))]), chance.randrange(1, 9)) for _ in range(400)]

    with ExitStack() as stack:
        few, many = (Counted(tmp_path, stack, most) for most in (7, 1_000))
        for code, times in told:
            for counted in (few, many):
                counted.add({(code, found.entry(code)): times})
        tallies = [tally(found, counted) for counted in (few, many)]

    rows = [[code] for code, times in told for _ in range(times)]
    beside = Recoder(found, ["code"])
    assert len(list(beside.rows(rows))) == len(rows)
    assert tallies == [beside.tally()] * 2


@pytest.mark.parametrize(
    ("last", "encoding"),
    [
        ("a;fin", "utf-8"),
        ("a;à la fin", "utf-8"),
        ("a;à la fin", "cp1252"),
        ('"a"; "fin"', "utf-8"),
        ('a;"en deux\nlignes"', "utf-8"),
        ("a;\x1c\x1d", "utf-8"),
        ("a;fin\r", "utf-8"),
    ],
)
def test_a_file_that_ends_otherwise_than_it_begins_is_read_as_it_is(tmp_path: Path, last: str, encoding: str) -> None:
    source = tmp_path / "longue.csv"
    begun = "code;texte\n" + "a;comme tout le reste\n" * 60_000
    data = (begun + last + "\n").encode(encoding)
    source.write_bytes(data)
    header, *rows = cells_of(data, ";")
    found = a_lookup()
    expected = list(Recoder(found, header).rows(rows))

    written, done = recoded_file(source, found)

    assert cells_of(written, ";") == [[*header, *PLAN.added], *expected]
    assert done.read == hashlib.sha256(data).hexdigest()


def test_an_empty_cell_and_a_quoted_empty_one_stay_what_they_are(tmp_path: Path) -> None:
    source = tmp_path / "d.csv"
    source.write_bytes(b'a;code;b\n;0341;""\n"";;x\n')

    written, _ = recoded_file(source, a_lookup())

    assert written.splitlines()[1].startswith(b';0341;"";T0;')
    assert written.splitlines()[2] == b'"";;x;;;;;missing'


@pytest.mark.parametrize("dated", [False, True])
def test_codes_are_found_quoted_or_not_and_other_cells_come_back_as_they_stand(tmp_path: Path, dated: bool) -> None:
    codes = ["0341", '"0341"', '"""0341"""', '""', "", '"say ""x"""', "é", "NULL", '"A,B"']
    days = ["2024-02-01", '"01/02/2024"', '""', "", '"2019-01-01"']
    rows = [f"'x';{code};{day};\"y\";z" for code in codes for day in days]
    source = tmp_path / "d.csv"
    source.write_bytes("\r\n".join(["a;code;jour;b;c", *rows, ""]).encode())
    by_day: dict[str, Any] = {
        "plan": replace(PLAN, date_column="jour"),
        "starts": (date(2020, 1, 1), date(2024, 2, 1)),
        "open": frozenset({0, 1}),
        "varying": {(0, "0341"): 7},
    }
    found = a_lookup(**by_day) if dated else a_lookup()
    header, *cells = cells_of(source.read_bytes(), ";")
    beside = Recoder(found, header)
    expected = list(beside.rows(cells))

    written, done = recoded_file(source, found)

    lines = written.decode().split("\r\n")
    assert [line[: len(row)] for line, row in zip(lines[1:], rows, strict=False)] == rows
    assert cells_of(written, ";")[1:] == expected
    assert done.tally == beside.tally()


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("unknown", [10, 60_000])
def test_a_parquet_file_comes_to_what_python_makes_of_it_however_many_codes_it_has(
    tmp_path: Path, dated: bool, unknown: int
) -> None:
    days = ["2024-02-01", "01/02/2024", " 1/3/2021 ", "2019-01-01", "2024-02-30", "0000-01-01", "31/12/24", ""]
    rows = [[code, day] for code in [*CODES, ""] for day in days] + [[f"X{n}", days[0]] for n in range(unknown)]
    source, out = tmp_path / "d.parquet", tmp_path / "o.parquet"
    table = tmp_path / "d.csv"
    with table.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["code", "jour"], *rows])
    read = f"read_csv('{table}', all_varchar = true, header = true, delim = ',', quote = '\"')"
    duckdb.execute(f"COPY (SELECT nullif(code, '') AS code, nullif(jour, '') AS jour FROM {read}) TO '{source}'")
    by_day: dict[str, Any] = {
        "plan": replace(PLAN, date_column="jour"),
        "starts": (date(2020, 1, 1), date(2024, 2, 1)),
        "open": frozenset({0, 1}),
        "varying": {(0, "0341"): 7},
    }
    found = a_lookup(**by_day) if dated else a_lookup()
    beside = Recoder(found, ["code", "jour"])
    expected = list(beside.rows(rows))

    with files.whole(out) as written:
        done = parquet_file.recode_parquet(source, written, found, folder=tmp_path, progress=lambda *_: None)

    assert [[cell or "" for cell in row] for row in duckdb.execute(f"FROM '{out}'").fetchall()] == expected
    assert done.tally == beside.tally()


def test_gzip_and_cp1252_come_back_as_they_came(tmp_path: Path) -> None:
    plain = b'code;note\r\n0341;caf\xe9 \x9cuvre \x81\r\n\xe9;"a\nb"\r\n'
    source = tmp_path / "d.csv.gz"
    source.write_bytes(gzip.compress(plain))

    written, done = recoded_file(source, a_lookup(), gz=True)

    lines = gzip.decompress(written)
    assert lines == (
        b"code;note;code_aides;code_label;code_release;code_relation;code_status\r\n"
        b'0341;caf\xe9 \x9cuvre \x81;T0;"Libell\xe9 0 ; \xab \xe0 \xbb";1.0;exactMatch;exact\r\n'
        b'\xe9;"a\nb";T3;"Libell\xe9 3 ; \xab \xe0 \xbb";1.0;exactMatch;exact\r\n'
    )
    assert done.read == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8, b""])
@pytest.mark.parametrize("gz", [False, True])
def test_a_file_keeps_its_mark_and_its_encoding_whether_or_not_it_holds_an_accent(
    tmp_path: Path, mark: bytes, gz: bool
) -> None:
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, "utf-8")
    plain = mark + "code\tnote\r\n0341\tcafe\r\n-\t\U0001f600\r\n".encode(encoding)
    source = tmp_path / "d.txt"
    source.write_bytes(gzip.compress(plain) if gz else plain)

    written, done = recoded_file(source, a_lookup(), gz=gz)

    assert (gzip.decompress(written) if gz else written) == mark + (
        "code\tnote\tcode_aides\tcode_label\tcode_release\tcode_relation\tcode_status\r\n"
        '0341\tcafe\tT0\t"Libellé 0 ; « à »"\t1.0\texactMatch\texact\r\n'
        '-\t\U0001f600\tT9\t"Libellé 9 ; « à »"\t1.0\texactMatch\texact\r\n'
    ).encode(encoding)
    assert done.read == hashlib.sha256(source.read_bytes()).hexdigest()


SECRET = "Dupont-secret"


@pytest.mark.parametrize(
    "data",
    [
        f"code;b\n0341;x\n0341;{SECRET};z\n",
        f"code;b\n0341;x\n{SECRET}\n",
        f'code;b\n0341;"{SECRET}\n',
        f'code;b\n0341;"{SECRET}"x\n',
        f"code;b\n0341;{SECRET}\0\n",
        f"autre;b\n0341;{SECRET}\n",
        f"code;code\n0341;{SECRET}\n",
        f"code;CODE_Label\n0341;{SECRET}\n",
        "",
        codecs.BOM_UTF16_LE + f"code;b\n0341;{SECRET}\n".encode("utf-16-le") + b"x",
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole_and_none_of_its_values_told(
    tmp_path: Path, data: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = tmp_path / "d.csv"
    source.write_bytes(data if isinstance(data, bytes) else data.encode())

    with pytest.raises(Invalid) as refused:
        recoded_file(source, a_lookup())

    told = str(refused.value) + "".join(str(problem) for problem in refused.value.problems)
    assert SECRET not in told + caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["d.csv"]


@pytest.mark.parametrize(
    "name", ['"); DROP TABLE cell; --', "c0", "cell_x", "' || getenv('HOME')", "a\nb", "code ", "é"]
)
def test_a_hostile_column_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    plan = replace(PLAN, column=name)
    source, parquet = tmp_path / "d.csv", tmp_path / "d.parquet"
    with source.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["autre", name], ["x", "0341"]])
    quoted = name.replace('"', '""')
    duckdb.execute(f"COPY (SELECT 'x' AS autre, '0341' AS \"{quoted}\") TO '{parquet}' (FORMAT parquet)")

    written, _ = recoded_file(source, a_lookup(plan=plan))
    out = tmp_path / "out.parquet"
    with files.whole(out) as file_:
        parquet_file.recode_parquet(parquet, file_, a_lookup(plan=plan), folder=tmp_path, progress=lambda *_: None)

    assert cells_of(written, ";")[0] == ["autre", name, *plan.added]
    assert cells_of(written, ";")[1][2] == "T0"
    rows = duckdb.execute(f"FROM '{out}'")
    assert [column[0] for column in rows.description or ()] == ["autre", name, *plan.added]
    assert rows.fetchall()[0][2] == "T0"


def test_duckdb_opens_no_file_but_those_at_hand(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with tempfile.TemporaryDirectory() as spill, parquet_file._connected([], Path(spill)) as connection:
        for statement in (
            f"FROM read_csv('{other}')",
            f"COPY (SELECT 1) TO '{tmp_path / 'x.csv'}'",
            f"ATTACH '{tmp_path / 'x.db'}'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SET allowed_paths = ['/']",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)

    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


# A registry: two releases, a local list in two editions


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[Store]:
    """Release 1.0 has A, B and C; in 2.0, from 2025, A is split into A1 and A2 (law of 2023-06-01), B stays, C is D."""
    store = Store(sqlite_url, tmp_path / "blobs")
    published(store, a_release(a_concept("A"), a_concept("B"), a_concept("C")))
    published(
        store,
        a_release(
            a_deprecated_concept("A", history_note=()),
            *(a_concept(code) for code in ("A1", "A2", "B", "D")),
            a_deprecated_concept("C", history_note=()),
            version="2.0",
            valid_from=date(2025, 1, 1),
            links=frozenset(
                {
                    Link("A", "A1", date(2023, 6, 1), "narrower"),
                    Link("A", "A2", date(2023, 6, 1), "narrower"),
                    Link("C", "D", date(2022, 6, 1), "same"),
                }
            ),
        ),
    )
    codes = [LocalCode(code, f"Local {code}") for code in ("01", "02", "03", "04", "05")]
    source = Source(
        CodeList("dep-71", "solis", "Codes"), codes, Organisation("dep-71", "Saône-et-Loire", "departement")
    )
    mappings = [
        Mapping("01", "A", "narrowMatch", covers=False, weight="0.4"),
        Mapping("01", "B", "narrowMatch", weight="0.6"),
        Mapping("02", "B", "closeMatch"),
        Mapping("03", "C", "exactMatch"),
        Mapping("04", "", "noMatch"),
    ]
    publish(store, source, "aides", mappings, release="1.0", valid_from=A_DAY, author="Essai", license="LO")
    yield store
    store.close()


def through(store: Store, plan: Plan, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """What rows get, by the way of small tables."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([[plan.column, *([plan.date_column] if plan.date_column else [])], *rows])
    width = 2 if plan.date_column else 1
    return [row[width:] for row in recoding.recode_table(store, plan, io.BytesIO(buffer.getvalue().encode())).rows]


def test_a_row_is_read_in_the_release_of_its_day_or_followed_by_law_up_to_it(world: Store, tmp_path: Path) -> None:
    days = ["2021-12-31", "2024-06-30", "31/12/2024", "2025-01-01T08:00:00", "1/2/2025 08:30", "", "2024-02-30"]
    days += ["30/2/2024", "1/1/0000", "01/02/25", "45352"]
    by_release = Plan("code", "aides", "aides", date_column="jour")
    by_law = Plan("code", "aides@1.0", "aides@2.0", date_column="jour", by="law")
    rows = [[code, day] for code in ("A", "C") for day in ["2022-05-31", "2022-06-01", "2023-05-31", "2023-06-01"]]

    released = through(world, by_release, [["A", day] for day in days])
    report = recoding.recode_table(world, by_release, io.BytesIO(b"code,jour\nA,2021-12-31\n")).report
    [early] = report.document()["statuses"]
    followed = through(world, by_law, rows)

    assert [(row[0], row[2], row[4]) for row in released] == [
        ("", "", "noRelease"),
        ("A", "1.0", "exact"),
        ("A", "1.0", "exact"),
        ("A", "2.0", "exact"),
        ("A", "2.0", "exact"),
        ("", "", "dateMissing"),
        *[("", "", "dateUnreadable")] * 5,
    ]
    assert (early["status"], early["label"]) == (
        "noRelease",
        f"aucune version applicable à cette date (rien ne l'est avant le {report.readings[0]['since']})",
    )
    assert [(row[0], row[4]) for row in followed] == [
        *[("A", "exact")] * 3,
        ("", "ambiguous"),
        ("C", "exact"),
        *[("D", "exact")] * 3,
    ]
    source = tmp_path / "d.csv"
    source.write_text(
        "code;jour\n" + "".join(f"{code};{day}\n" for code, day in [*rows, *(["A", day] for day in days)])
    )
    for plan in (by_release, by_law):
        found = lookup(world, plan)
        beside = Recoder(found, ["code", "jour"])
        expected = list(beside.rows(cells_of(source.read_bytes(), ";")[1:]))
        written, done = recoded_file(source, found)
        assert cells_of(written, ";")[1:] == expected
        assert done.tally == beside.tally()


@given(st.text(st.sampled_from("0123456789-/T: "), max_size=12))
@example("2024-01-31")
@example("29/02/2024")
@example("0000-01-01")
@example("1/2/2024 0:0")
def test_a_day_is_read_or_refused_never_guessed(text: str) -> None:
    found = day_of(text)

    assert (
        found is None
        or text.startswith(found.isoformat())
        or [int(part) for part in re.split("[T ]", text)[0].split("/")] == [found.day, found.month, found.year]
    )


def test_rows_shared_out_weigh_one_each_and_everything_else_keeps_its_place(world: Store, tmp_path: Path) -> None:
    source, out = tmp_path / "d.csv", tmp_path / "o.csv"
    source.write_text("n,code\n1,01\n2,02\n3,03\n4,04\n5,05\n6,06\n7,\n")
    plan = Plan("code", "dep-71/solis", "aides@1.0", on_many="rows")

    report = recoding.recode(world, plan, source, out)

    header, *rows = cells_of(out.read_bytes(), ",")
    assert header[2:] == [f"code_{end}" for end in ("aides", "label", "release", "relation", "status", "weight")]
    assert [(row[0], row[2], row[6], row[7]) for row in rows] == [
        ("1", "A", "split", "0.4"),
        ("1", "B", "split", "0.6"),
        ("2", "B", "close", "1"),
        ("3", "C", "exact", "1"),
        ("4", "", "noMatch", "1"),
        ("5", "", "unreviewed", "1"),
        ("6", "", "unknown", "1"),
        ("7", "", "missing", "1"),
    ]
    assert (report.document()["rows"], report.document()["rowsOut"]) == (7, 8)
    with pytest.raises(Invalid, match="plusieurs codes possibles"):
        recoding.recode(world, replace(plan, on_many="error"), source, tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_the_report_hides_small_counts_and_what_would_tell_them(world: Store) -> None:
    plan = Plan("code", "dep-71/solis", "aides@1.0", mask_under=3)
    table = "code\n" + "03\n" * 9 + "02\n" * 4 + "06\n"

    report = recoding.recode_table(world, plan, io.BytesIO(table.encode())).report

    statuses = {one["status"]: (one["rows"], one["examples"]) for one in report.document()["statuses"]}
    assert statuses == {"exact": (9, ["03"]), "close": (None, []), "unknown": (None, [])}
    assert "06" not in report.page() + "\n".join(report.lines())
    assert not report.document()["reversible"]


def test_one_version_to_another_and_back_is_reversible_where_nothing_breaks(world: Store) -> None:
    there = Plan("code", "aides@1.0", "aides@2.0")

    report = recoding.recode_table(world, there, io.BytesIO(b"code\nB\nC\nB\n")).report
    split = recoding.recode_table(world, there, io.BytesIO(b"code\nA\n")).report

    assert report.document()["reversible"]
    assert not split.document()["reversible"]
    assert "aides, version 2.0" in report.citation()


# Doors


def socle(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"SOCLE_DATA_DIR": str(folder)})


def test_the_same_file_as_csv_parquet_and_workbook_recodes_alike_at_the_terminal(
    shipped_folder: Path, tmp_path: Path
) -> None:
    rows = [["id", "aide"], ["001", "adefip"], ["002", "fsl_maintien_logement"], ["003", "zzz"], ["004", ""]]
    with (tmp_path / "d.csv").open("w", newline="", encoding="cp1252") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    duckdb.execute(
        f"COPY (FROM read_csv('{tmp_path / 'd.csv'}', all_varchar = true, header = true, delim = ';')) "
        f"TO '{tmp_path / 'd.parquet'}'"
    )
    workbook = openpyxl.Workbook()
    workbook.active.append(["Suivi 2025"])  # type: ignore[union-attr]  # openpyxl says that a new workbook may have no sheet.
    for row in rows:
        workbook.active.append(row)  # type: ignore[union-attr]  # openpyxl says that a new workbook may have no sheet.
    workbook.save(tmp_path / "d.xlsx")
    asked = ("--column", "aide", "--from", "dep-28/aides", "--to", "types-aide")

    ran = {
        kind: socle(
            shipped_folder, "recode", str(tmp_path / f"d.{kind}"), *asked, "-o", str(tmp_path / f"o.{kind}"), "--json"
        )
        for kind in ("csv", "parquet", "xlsx")
    }

    assert [one.exit_code for one in ran.values()] == [0, 0, 0], [one.output for one in ran.values()]
    told = [json.loads(one.output) for one in ran.values()]
    assert told[0]["statuses"] == told[1]["statuses"] == told[2]["statuses"]
    assert {one["status"]: one["rows"] for one in told[0]["statuses"]} == {
        "exact": 1,
        "close": 1,
        "unknown": 1,
        "missing": 1,
    }
    as_csv = cells_of((tmp_path / "o.csv").read_bytes(), ";")
    as_parquet = [[cell or "" for cell in row] for row in duckdb.execute(f"FROM '{tmp_path / 'o.parquet'}'").fetchall()]
    sheet = openpyxl.load_workbook(tmp_path / "o.xlsx").active
    as_sheet = [[cell or "" for cell in row] for row in sheet.iter_rows(values_only=True)]  # type: ignore[union-attr]  # openpyxl says that a new workbook may have no sheet.
    assert as_csv[1:] == as_parquet == as_sheet[1:]
    assert as_csv[0] == as_sheet[0]
    assert told[0]["output"]["sha256"] == hashlib.sha256((tmp_path / "o.csv").read_bytes()).hexdigest()


def test_the_terminal_writes_the_report_and_refuses_what_it_must(shipped_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    data.write_text("aide\nadefip\n")
    asked = ("recode", str(data), "--column", "aide", "--from", "dep-28/aides", "--to", "types-aide")

    for ending in ("txt", "json", "html"):
        report = str(tmp_path / f"r.{ending}")
        assert socle(shipped_folder, *asked, "-o", str(tmp_path / "o.csv"), "--report", report).exit_code == 0
    codes = [
        socle(shipped_folder, *asked, "-o", str(data)).exit_code,
        socle(shipped_folder, *asked, "-o", str(tmp_path / "o.parquet")).exit_code,
        socle(shipped_folder, *asked, "-o", str(tmp_path / "p.csv"), "--report", "r.pdf").exit_code,
        socle(shipped_folder, *asked[:-1], "mesures@9.0", "-o", str(tmp_path / "p.csv")).exit_code,
        socle(shipped_folder, *asked, "-o", str(tmp_path / "p.csv"), "--by", "law").exit_code,
        socle(shipped_folder, *asked, "-o", str(tmp_path / "p.csv"), "--column", "nom").exit_code,
        socle(shipped_folder, *asked, "-o", str(tmp_path / "p.txt"), "--report", str(tmp_path / "p.txt")).exit_code,
    ]

    page = (tmp_path / "r.html").read_text()
    assert codes == [1, 1, 2, 3, 1, 2, 2]
    assert data.read_text() == "aide\nadefip\n"
    assert not {"p.csv", "p.txt"} & {path.name for path in tmp_path.iterdir()}
    assert "<script" not in page
    assert "http" not in page
    assert '<html lang="fr">' in page
    assert json.loads((tmp_path / "r.json").read_text())["citation"] in (tmp_path / "r.txt").read_text()


def test_the_api_recodes_codes_alone_keeps_nothing_and_logs_none_of_it(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = "/api/v1/recode?from=dep-28/aides&to=types-aide@2.0&column=aide"

    def sent(body: str, **headers: str) -> Any:
        return client.post(address, data=body.encode(), content_type="text/csv", headers=headers)

    table = sent("aide\nadefip\nzzz-secret\n")
    told = sent("aide\nadefip\nzzz-secret\n", Accept="application/json")
    more = sent("aide;nom\nadefip;Dupont-secret\n")
    wrong = client.post(address, data=b"{}", content_type="application/json")

    assert table.status_code == told.status_code == 200
    assert table.mimetype == "text/csv"
    assert table.headers["Cache-Control"] == "no-store"
    rows = cells_of(table.data, ",")
    assert rows[0] == ["aide", *(f"aide_{end}" for end in ("types-aide", "label", "release", "relation", "status"))]
    assert [row[-1] for row in rows[1:]] == ["close", "unknown"]
    assert told.json["rows"] == rows[1:]
    assert told.json["report"]["rows"] == 2
    assert more.status_code == 422
    assert wrong.status_code == 415
    assert "Dupont-secret" not in more.get_data(as_text=True)
    assert "secret" not in caplog.text


def test_codes_that_another_tool_made_numbers_or_errors_of_are_read_as_one_sees_them(
    world: Store, tmp_path: Path
) -> None:
    plan = Plan("code", "aides@1.0", "aides@2.0")
    number = tmp_path / "n.parquet"
    duckdb.execute(f"COPY (SELECT unnest([12.0, 1.5, NULL]::DOUBLE[]) AS code) TO '{number}'")
    old, errors, wrong = tmp_path / "d.xls", tmp_path / "d.xlsx", tmp_path / "w.xlsx"
    old.write_bytes(xls(("code", "note"), ("B", "n")))
    errors.write_bytes(xlsx(("code", "note"), ("B", '<c t="e"><v>#N/A</v></c>')))
    wrong.write_bytes(xlsx(("code", "note"), ('<c t="e"><v>#N/A</v></c>', "n")))

    several = tmp_path / "s.parquet"
    duckdb.execute(f"COPY (SELECT ['A', 'B'] AS code) TO '{several}'")

    seen = recoding.recode(world, plan, number, tmp_path / "n.out.parquet").document()["statuses"]
    with pytest.raises(Invalid, match="code : plusieurs valeurs par ligne"):
        recoding.recode(world, plan, several, tmp_path / "s.out.parquet")
    recoding.recode(world, plan, old, tmp_path / "d.out.xlsx")
    recoding.recode(world, plan, errors, tmp_path / "e.out.xlsx")
    with pytest.raises(Invalid, match="feuille Concepts, ligne 2, cellule 1"):
        recoding.recode(world, plan, wrong, tmp_path / "w.out.xlsx")
    with pytest.raises(Invalid, match="la sortie sera un classeur"):
        recoding.recode(world, plan, old, tmp_path / "d.out.xls")

    assert {code for one in seen for code in one["examples"]} == {"12", "1.5"}
    for name, note in (("d", "n"), ("e", "#N/A")):
        sheet = openpyxl.load_workbook(tmp_path / f"{name}.out.xlsx").active
        rows = list(sheet.iter_rows(values_only=True))  # type: ignore[union-attr]  # openpyxl says that a new workbook may have no sheet.
        assert rows[1][:3] == ("B", note, "B")
    assert duckdb.execute(f"SELECT code FROM '{tmp_path / 'n.out.parquet'}'").fetchall() == [(12,), (1.5,), (None,)]


# Faults


def wait_for_none(group: int) -> None:
    """Wait until no process of a group is left: those that were started end with the one that started them."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("processes were left")


@pytest.mark.faults
def test_a_recode_that_is_killed_leaves_a_whole_file_or_none(shipped_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped_folder, tmp_path / "registry")
    place = tmp_path / "work"
    place.mkdir()
    data, out = place / "d.csv", place / "o.csv"
    data.write_bytes(b"n;aide\r\n" + b"".join(b"%d;adefip \xe9\r\n%d;adefip\r\n" % (n, n) for n in range(300_000)))
    command = [sys.executable, "-c", "from cli.main import main; main(prog_name='socle')", "recode", str(data)]
    command += ["--column", "aide", "--from", "dep-28/aides", "--to", "types-aide", "-o", str(out)]
    options: dict[str, Any] = {
        "env": {**os.environ, "SOCLE_DATA_DIR": str(folder)},
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": faults.ROOT,
        "start_new_session": True,
    }
    started = time.monotonic()
    subprocess.run(command, check=True, **options)
    whole, took = out.read_bytes(), time.monotonic() - started
    chance: random.Random = faults.seeded("recode")
    states = {"absent": 0, "whole": 0}

    for _ in range(faults.rounds(3, 100)):
        out.unlink(missing_ok=True)
        with subprocess.Popen(command, **options) as process:
            time.sleep(chance.uniform(took * 0.4, took * 1.2))
            if process.poll() is None:
                process.kill()
        wait_for_none(process.pid)
        assert sorted(path.name for path in place.iterdir()) in (["d.csv"], ["d.csv", "o.csv"])
        if out.exists():
            assert out.read_bytes() == whole
        states["whole" if out.exists() else "absent"] += 1

    faults.say(f"recode killed: {states}")
    assert sum(states.values()) == faults.rounds(3, 100)
