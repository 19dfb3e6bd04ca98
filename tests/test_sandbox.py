"""Outside RDF files and workbooks: the ordinary ones are read alike, the hostile ones harm nobody."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import sandbox
from registry.errors import Busy, Invalid, Problem, TooLarge
from registry.sandbox import (
    OPERATOR_LIMITS,
    RDF_FORMATS,
    Limits,
    Literal,
    Triple,
    read_ntriples,
    triples,
    workbook_lines,
)
from tests.workbooks import row_xml, xlsx, xlsx_parts, zipped

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
XSD = "http://www.w3.org/2001/XMLSchema#"
CONCEPT = "https://example.org/aide/A01"

ORDINARY = {
    "turtle": f"""\ufeff@prefix skos: <{SKOS}> . @base <https://example.org/aide/> .
<A01> a skos:Concept ; skos:notation "007" ; skos:prefLabel "Aide ménagère"@fr, "Home help"@EN-gb ;
  skos:definition '''Deux
lignes et "guillemets"'''@fr ; skos:related [ skos:note "001"^^<{XSD}integer> ] .""",
    "ntriples": f"""# Un commentaire.
<{CONCEPT}> <{RDF}type> <{SKOS}Concept> .
<{CONCEPT}>   <{SKOS}notation> "007"^^<{XSD}string> .
<{CONCEPT}> <{SKOS}prefLabel> "Aide m\\u00E9nag\\u00E8re"@fr .
<{CONCEPT}> <{SKOS}prefLabel> "Home help"@EN-gb .
<{CONCEPT}> <{SKOS}definition> "Deux\\nlignes et \\"guillemets\\""@fr .
<{CONCEPT}> <{SKOS}related> _:note .
_:note <{SKOS}note> "001"^^<{XSD}integer> .
""",
    "rdfxml": f"""<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="{RDF}" xmlns:skos="{SKOS}" xml:base="https://example.org/aide/">
<skos:Concept rdf:about="A01"><skos:notation>007</skos:notation>
<skos:prefLabel xml:lang="fr">Aide ménagère</skos:prefLabel><skos:prefLabel xml:lang="EN-gb">Home help</skos:prefLabel>
<skos:definition xml:lang="fr">Deux
lignes et "guillemets"</skos:definition>
<skos:related rdf:parseType="Resource"><skos:note rdf:datatype="{XSD}integer">001</skos:note></skos:related>
</skos:Concept></rdf:RDF>""",
    "jsonld": f"""{{"@context": {{"skos": "{SKOS}", "@base": "https://example.org/aide/",
  "prefLabel": {{"@id": "skos:prefLabel", "@container": "@language"}}}},
"@graph": [{{"@id": "A01", "@type": "skos:Concept", "skos:notation": "007",
  "prefLabel": {{"fr": "Aide ménagère", "EN-gb": "Home help"}},
  "skos:definition": {{"@value": "Deux\\nlignes et \\"guillemets\\"", "@language": "fr"}},
  "skos:related": {{"skos:note": {{"@value": "001", "@type": "{XSD}integer"}}}}}}]}}""",
}


def rdf_xml(body: str, before: str = "") -> bytes:
    return f'{before}<rdf:RDF xmlns:rdf="{RDF}" xmlns:e="https://example.org/">{body}</rdf:RDF>'.encode()


def about(text: str, attributes: str = "") -> str:
    return f'<rdf:Description rdf:about="https://example.org/a"><e:p{attributes}>{text}</e:p></rdf:Description>'


def refusal(data: bytes, format: str, limits: Limits = sandbox.REQUEST_LIMITS) -> Problem:
    """The first problem that a file is refused with; every refusal must be short, in place and free of our paths."""
    with pytest.raises(Invalid) as caught:
        list(triples(data, format, limits=limits))
    for problem in caught.value.problems:
        assert problem.rule == "rdf_is_readable"
        assert len(str(problem)) < 1000
        assert not any(ours in str(problem) for ours in ("site-packages", ".py", str(Path.cwd()), sys.prefix))
    return caught.value.problems[0]


def children() -> set[str]:
    """Process ids of this process's children, zombies included."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread of an earlier test may end between the listing and the reading; its children pass to another.
        with suppress(FileNotFoundError, ProcessLookupError):
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """After each test: no child of ours lives or waits to be reaped, and both turns are free."""
    before = children()
    yield
    assert children() <= before
    taken = [sandbox._turns.acquire(blocking=False) for _ in range(sandbox.AT_ONCE)]
    for _ in filter(None, taken):
        sandbox._turns.release()
    assert all(taken)


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """An HTTP address, and the list of the requests that it got."""
    requests: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("format", RDF_FORMATS)
def test_each_format_gives_the_same_triples_with_literals_as_they_were_written(format: str) -> None:
    data = ORDINARY[format].encode()

    found = set(triples(data, format))

    assert found == {
        Triple(CONCEPT, RDF + "type", SKOS + "Concept"),
        Triple(CONCEPT, SKOS + "notation", Literal("007")),
        Triple(CONCEPT, SKOS + "prefLabel", Literal("Aide ménagère", "fr")),
        Triple(CONCEPT, SKOS + "prefLabel", Literal("Home help", "en-gb")),
        Triple(CONCEPT, SKOS + "definition", Literal('Deux\nlignes et "guillemets"', "fr")),
        Triple(CONCEPT, SKOS + "related", "_:b0"),
        Triple("_:b0", SKOS + "note", Literal("001", "", XSD + "integer")),
    }


@pytest.mark.parametrize("format", RDF_FORMATS)
@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_triples(data: bytes, format: str) -> None:
    found = list(triples(data, format))

    assert found == []


def test_an_unknown_format_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="trig"):
        list(triples(b"x", "trig"))


ENTITIES = (
    "<!DOCTYPE r [" + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(8)) + '<!ENTITY e0 "lol">]>'
)
DOCTYPES = {
    "billion laughs": ENTITIES,
    "a file as entity": '<!DOCTYPE r [<!ENTITY e8 SYSTEM "file://{secret}">]>',
    "an address as entity": '<!DOCTYPE r [<!ENTITY e8 SYSTEM "{url}/entity">]>',
    "an outside DTD": '<!DOCTYPE r SYSTEM "{url}/dtd">',
    "a parameter entity": '<!DOCTYPE r [<!ENTITY % p SYSTEM "{url}/parameter"> %p;]>',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES.keys())
def test_a_doctype_is_refused_in_any_encoding(
    doctype: str, encoding: str, canary: tuple[str, list[str]], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canari", encoding="utf-8")
    before = doctype.replace("{url}", canary[0]).replace("{secret}", str(secret))

    problem = refusal(rdf_xml(about("&e8;"), before).decode().encode(encoding), "rdfxml")

    assert "DOCTYPE" in problem.message
    assert problem.where == "ligne 1"
    assert canary[1] == []


CONTEXTS = {
    "an address": '{"@context": "URL", "urn:b": 1}',
    "a list": '{"@context": ["URL"], "urn:b": 1}',
    "a file": '{"@context": "file://SECRET", "urn:b": 1}',
    "a bare path": '{"@context": "SECRET", "urn:b": 1}',
    "an import": '{"@context": {"@import": "URL"}, "urn:b": 1}',
    "scoped": '{"@context": {"b": {"@id": "urn:b", "@context": "URL"}}, "b": {"b": 1}}',
    "nested": '{"urn:b": {"@context": "URL", "b": 1}}',
    "in a list of documents": '[{"@context": "URL", "b": 1}]',
    "inline but nested": '{"urn:b": {"@context": {"b": "urn:b"}, "b": 1}}',
    "relative to a base": '{"@context": {"@base": "URL", "c": {"@id": "urn:c", "@context": "x"}}, "c": 1}',
    "written with an escape": '{"\\u0040context": "URL", "urn:b": 1}',
    "null": '{"@context": null, "urn:b": 1}',
}


@pytest.mark.parametrize("document", CONTEXTS.values(), ids=CONTEXTS.keys())
def test_no_context_is_fetched(document: str, canary: tuple[str, list[str]], tmp_path: Path) -> None:
    secret = tmp_path / "context.jsonld"
    secret.write_text('{"@context": {"b": "urn:canari"}}', encoding="utf-8")
    data = document.replace("URL", canary[0] + "/c").replace("SECRET", str(secret)).encode()

    problem = refusal(data, "jsonld")

    assert "@" in problem.where
    assert canary[1] == []


STATEMENT = b"<urn:a> <urn:b> "
HOSTILE = {
    "row 4, elements nested 50,000 deep": ("rdfxml", rdf_xml("<e:p>" * 50_000 + "</e:p>" * 50_000), "imbriqués"),
    "row 6, objects nested 900 deep": ("jsonld", b'{"urn:a":' * 900 + b"1" + b"}" * 900, "imbriqués"),
    "row 6, objects nested 20,000 deep": ("jsonld", b'{"urn:a":' * 20_000 + b"1" + b"}" * 20_000, "imbriqués"),
    "row 6, lists nested 100,000 deep": ("jsonld", b"[" * 100_000 + b"]" * 100_000, "imbriqués"),
    "row 8, a triple term": ("turtle", STATEMENT + b"<<( <urn:a> <urn:b> 1 )>> .", "RDF 1.2"),
    "row 8, triple terms nested 200,000 deep": (
        "turtle",
        STATEMENT + b"<<( <urn:a> <urn:b> " * 200_000 + b"1" + b")>>" * 200_000 + b".",
        "imbriquée",
    ),
    "row 8, a base direction": ("turtle", STATEMENT + b'"x"@ar--rtl .', "RDF 1.2"),
    "row 14, a number of 5,000 digits": ("jsonld", b'{"urn:b": ' + b"9" * 5000 + b"}", "chiffres"),
    "row 16, a lone surrogate": ("turtle", STATEMENT + b'"\\uD800" .', "lisible"),
    "row 16, a lone surrogate in JSON": ("jsonld", b'{"urn:b": "\\ud800"}', "surrogate"),
    "row 16, a lone surrogate in an IRI": ("jsonld", b'{"@id": "urn:\\ud800", "urn:b": "x"}', "surrogate"),
    "row 17, a control character": ("turtle", STATEMENT + b'"a\x01" .', "contrôle"),
    "row 17, an escaped control character": ("jsonld", b'{"urn:b": "\\u0001"}', "contrôle"),
    "row 18, a relative IRI": ("turtle", b"\n<foo> <urn:b> 1 .", "lisible"),
    "row 18, a relative IRI in JSON": ("jsonld", b'{"@id": "foo", "urn:b": 1}', "relative"),
    "row 18, a relative IRI in XML": (
        "rdfxml",
        rdf_xml(about("x").replace("https://example.org/a", "foo")),
        "relative",
    ),
    "row 18, an identifier without a base": ("rdfxml", rdf_xml('<e:T rdf:ID="foo"/>'), "relative"),
    "row 18, an IRI without a scheme": ("jsonld", b'{"@id": "//example.org/x", "urn:b": 1}', "commence"),
    "row 19, a space in an IRI": ("turtle", b"<http://example.org/ a> <urn:b> 1 .", "lisible"),
    "row 19, a space in an IRI in JSON": ("jsonld", b'{"@id": "http://example.org/ a", "urn:b": 1}', "bien formée"),
    "row 19, a space in an IRI in XML": ("rdfxml", rdf_xml('\n<e:T rdf:about="http://e.org/ a"/>'), "bien formée"),
    "row 19, an IRI without a host": ("turtle", b"<http:///x> <urn:b> 1 .", "bien formée"),
    "row 19, a mark of direction in an IRI": ("turtle", b"<http://a/\\u202Eb> <urn:b> 1 .", "bien formée"),
    "row 23, a page": ("rdfxml", b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>', "racine"),
    "row 24, an unterminated literal": ("turtle", STATEMENT + b'"x', "lisible"),
    "row 24, an unterminated element": ("rdfxml", b"<a", "bien formé"),
    "row 24, an unterminated object": ("jsonld", b'{"a":', "lisible"),
    "bytes that are not UTF-8": ("turtle", STATEMENT + b'"\xe9" .', "UTF-8"),
    "a repeated key": ("jsonld", b'{"@id": "urn:a", "urn:b": 1, "urn:b": 2}', "répétée"),
    "a named graph": ("jsonld", b'{"@id": "urn:g", "@graph": [{"@id": "urn:a", "urn:b": 1}]}', "graphe"),
    "not a number": ("jsonld", b'{"urn:b": NaN}', "nombre"),
    "an infinite number": ("jsonld", b'{"urn:b": 1e999}', "nombre"),
    "neither an object nor a list": ("jsonld", b'"urn:a"', "objet ou une liste"),
    "an attribute that RDF forbids": ("rdfxml", rdf_xml('<e:T rdf:about="urn:a" rdf:nodeID="x"/>'), "RDF/XML"),
    "another format": ("ntriples", b'{"@id": "urn:a"}', "N-Triples"),
}


@pytest.mark.parametrize(("format", "data", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_quickly_in_french(format: str, data: bytes, words: str) -> None:
    begun = time.monotonic()

    problem = refusal(data, format)

    assert words in problem.message
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "iri", ["javascript:alert(1)", "data:text/html,x", "file:///etc/hosts", "vbscript:x", "ftp://a/b"]
)
@pytest.mark.parametrize("format", ["turtle", "rdfxml", "jsonld"])
def test_an_iri_that_runs_or_opens_something_is_refused_and_found_in_the_file(iri: str, format: str) -> None:
    file = {
        "turtle": f"\n<urn:a> <urn:b> <{iri}> .".encode(),
        "rdfxml": rdf_xml(f'\n<e:T rdf:about="urn:a"><e:p rdf:resource="{iri}"/></e:T>'),
        "jsonld": f'{{"@id": "urn:a",\n"urn:b": {{"@id": "{iri}"}}}}'.encode(),
    }[format]

    problem = refusal(file, format)

    assert problem.value == iri
    assert problem.where == "ligne 2"


DECIMAL = f' rdf:datatype="{XSD}decimal"'
HTML = f' rdf:datatype="{RDF}HTML"'
HARMLESS = {
    "row 2, 500,000 line feeds in XML": ("rdfxml", rdf_xml(about("\n" * 500_000)), "\n" * 500_000),
    "row 10, a million line feeds": ("turtle", STATEMENT + b"'''" + b"\n" * 1_000_000 + b"''' .", "\n" * 1_000_000),
    "row 12, a decimal with a giant exponent": ("rdfxml", rdf_xml(about("1E+99999999", DECIMAL)), "1E+99999999"),
    "row 13, leading zeros": ("turtle", STATEMENT + b"007 .", "007"),
    "row 14, 5,000 digits": ("turtle", STATEMENT + b"9" * 5000 + b" .", "9" * 5000),
    "row 15, unclosed HTML": ("rdfxml", rdf_xml(about("&lt;b>" * 50_000, HTML)), "<b>" * 50_000),
    "row 24, a badly typed literal": ("turtle", STATEMENT + f'"hier"^^<{XSD}date> .'.encode(), "hier"),
}


@pytest.mark.parametrize(("format", "data", "text"), HARMLESS.values(), ids=HARMLESS.keys())
def test_an_odd_literal_is_kept_as_it_is_and_quickly(format: str, data: bytes, text: str) -> None:
    begun = time.monotonic()

    [triple] = triples(data, format)

    assert isinstance(triple.object, Literal)
    assert triple.object.text == text
    assert time.monotonic() - begun < 5


def test_deep_brackets_and_many_prefixes_are_read_quickly() -> None:
    prefixes = b"".join(b"@prefix p%d: <http://e.org/%d#> .\n" % (n, n) for n in range(20_000))
    brackets = STATEMENT + b"[ <urn:b> " * 5000 + b"1" + b"]" * 5000 + b" ."

    found = list(triples(prefixes + brackets, "turtle"))

    assert len(found) == 5001


def test_a_path_or_address_given_as_data_is_only_text(canary: tuple[str, list[str]], tmp_path: Path) -> None:
    secret = tmp_path / "secret.ttl"
    secret.write_text("<urn:a> <urn:b> 'canari' .", encoding="utf-8")

    refusals = [refusal(str(where).encode(), "turtle") for where in (secret, f"{canary[0]}/x")]

    assert len(refusals) == 2
    assert canary[1] == []


SLOW = rdf_xml(about("x") * 30_000)


def test_a_file_that_takes_too_long_is_stopped_by_the_clock() -> None:
    begun = time.monotonic()

    problem = refusal(SLOW, "rdfxml", Limits(wall_seconds=0.5))

    assert "secondes" in problem.message
    assert time.monotonic() - begun < 3


def test_a_file_that_computes_too_long_is_stopped_by_the_kernel() -> None:
    problem = refusal(SLOW, "rdfxml", Limits(cpu_seconds=1))

    assert "1 secondes de calcul" in problem.message


@pytest.mark.parametrize("memory", [200 << 20, 150 << 20])
def test_a_file_that_takes_too_much_memory_is_refused(memory: int) -> None:
    data = b"[" + b"{}," * 1_000_000 + b"{}]"

    problem = refusal(data, "jsonld", Limits(memory=memory))

    assert "mémoire" in problem.message


def test_a_file_that_grows_too_much_is_refused() -> None:
    data = b"@prefix p: <http://e.org/" + b"x" * 50_000 + b"> .\n" + b"p:a p:b p:c .\n" * 1000

    problem = refusal(data, "turtle", Limits(bytes_out=10 << 20))

    assert "10 Mio de triplets" in problem.message


def test_a_file_over_the_limit_is_not_even_opened() -> None:
    with pytest.raises(TooLarge, match="11 octets, 10 au plus"):
        list(triples(b"x" * 11, "turtle", limits=Limits(bytes_in=10)))


def test_at_most_two_files_are_read_at_once_and_the_others_wait() -> None:
    most = 0
    before = children()

    with ThreadPoolExecutor(6) as pool:
        readings = [pool.submit(list, triples(ORDINARY["rdfxml"].encode(), "rdfxml")) for _ in range(6)]
        while not all(reading.done() for reading in readings):
            most = max(most, len(children() - before))
            time.sleep(0.005)

    assert most == 2
    assert [len(reading.result()) for reading in readings] == [7] * 6


def test_who_waits_too_long_for_a_turn_is_told_to_come_back() -> None:
    slow = Limits(wall_seconds=1)
    with ThreadPoolExecutor(2) as pool:
        readings = [pool.submit(refusal, SLOW, "rdfxml", slow) for _ in range(2)]
        time.sleep(0.3)

        with pytest.raises(Busy):
            list(triples(b"<urn:a> <urn:b> 1 .", "turtle", limits=Limits(turn_seconds=0.1)))

    assert all("secondes" in reading.result().message for reading in readings)


def test_a_reader_killed_from_outside_is_a_refusal_and_leaves_no_zombie() -> None:
    before = children()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(refusal, SLOW, "rdfxml")
        while not (fresh := children() - before):
            time.sleep(0.005)
        os.kill(int(fresh.pop()), signal.SIGKILL)

    assert "mémoire" in reading.result().message


def test_a_reader_dies_with_its_parent() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from registry import sandbox; print('ready', flush=True);"
        "list(sandbox.triples(sys.stdin.buffer.read(), 'rdfxml'))"
    )
    root = str(Path(sandbox.__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", program, root], stdin=subprocess.PIPE, text=False) as parent:
        assert parent.stdin
        parent.stdin.write(rdf_xml(about("x") * 40_000))
        parent.stdin.close()
        kin = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while not (pids := kin.read_text().split()):
            time.sleep(0.005)
        time.sleep(0.3)

        parent.kill()

    deadline = time.monotonic() + 3
    while Path(f"/proc/{pids[0]}/cmdline").exists() and Path(f"/proc/{pids[0]}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ATTEMPTS = [
    "open('/etc/hosts')",
    "os.open('/etc/hosts', os.O_RDONLY)",
    "os.listdir('/')",
    "os.scandir('/')",
    "os.fork()",
    "os.system('true')",
    "os.execv('/bin/true', ['true'])",
    "os.posix_spawn('/bin/true', ['true'], {})",
    "os.kill(os.getppid(), 9)",
    "subprocess.run(['true'])",
    "socket.socket()",
    "socket.getaddrinfo('localhost', 80)",
    "urllib.request.urlopen('http://127.0.0.1:9/')",
    "ctypes.CDLL(None)",
    "sys.addaudithook(print)",
    "__import__('xmlrpc.client')",
]


def test_once_its_doors_are_closed_the_reader_can_open_nothing() -> None:
    child = Path(sandbox.__file__).with_name("sandbox_child.py")
    program = f"""
import ctypes, os, runpy, socket, subprocess, sys, urllib.request
child = runpy.run_path({str(child)!r})
child["confine"](1 << 30, 5, os.getppid())
attempts = {ATTEMPTS!r}
child["close_doors"]()
for attempt in attempts:
    try:
        eval(attempt)
    except child["DoorClosed"]:
        print("closed", attempt)
    except BaseException as error:
        print("other", attempt, repr(error))
    else:
        print("OPEN", attempt)
"""

    outcome = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)

    assert outcome.stdout.splitlines() == [f"closed {attempt}" for attempt in ATTEMPTS]


def test_a_workbook_comes_back_as_rows_of_texts() -> None:
    data = xlsx(("code", "libelle"), (), ("007", "Aide ménagère"))

    found = [json.loads(line) for line in workbook_lines(data)]

    assert found == [{"properties": {}}, {"sheet": "Concepts"}, [1, ["code", "libelle"]], [3, ["007", "Aide ménagère"]]]


def a_long_cell() -> str:
    """A row of one text of 41 MB, which the noise at its end keeps from expanding too many times."""
    return row_xml(1, ["mot " * 10_000_000 + random.Random(0).randbytes(500_000).hex()])


def many_cells() -> str:
    """Rows that take seconds to read."""
    return "".join(row_xml(line, ["<c><v>1</v></c>"] * 20) for line in range(1, 30_001))


COSTLY: dict[str, tuple[Callable[[], str], Limits, str]] = {
    "wall-clock time": (many_cells, Limits(wall_seconds=0.3), "secondes de lecture"),
    "computing time": (many_cells, Limits(cpu_seconds=1), "1 secondes de calcul"),
    "memory": (a_long_cell, Limits(memory=100 << 20), "mémoire"),
    "bytes out": (a_long_cell, Limits(bytes_out=1 << 20), "1 Mio de triplets ou de cellules"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_workbook_that_costs_too_much_is_stopped_and_told_what_would_be_accepted(name: str) -> None:
    make, limits, words = COSTLY[name]
    data = zipped(xlsx_parts(make()))
    begun = time.monotonic()

    with pytest.raises(Invalid) as caught:
        list(workbook_lines(data, limits=limits))

    [problem] = caught.value.problems
    assert words in problem.message
    assert (problem.rule, "50000 lignes" in problem.accepted) == ("workbook_is_readable", True)
    assert time.monotonic() - begun < 8


def test_a_workbook_is_read_with_every_door_closed() -> None:
    folder = Path(sandbox.__file__).parent
    program = f"""
import json, io, os, runpy, sys
sys.argv = ["child", "workbook", "0", "0", "0", json.dumps(dict(rows=9, columns=9, members=99, expanded=99999))]
child = runpy.run_path({str(folder / "sandbox_child.py")!r})
child["confine"](1 << 30, 5, os.getppid())
read = child["reader"]("workbook")
child["close_doors"]()
out = io.BytesIO()
read(sys.stdin.buffer, out)
print(out.getvalue().decode())
try:
    open("/etc/hosts")
except child["DoorClosed"]:
    print("closed")
"""
    data = xlsx(("code", "libelle"))

    outcome = subprocess.run([sys.executable, "-I", "-c", program], input=data, capture_output=True, check=True)

    assert b'[1, ["code", "libelle"]]' in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == b"closed"


def test_the_operator_may_read_a_larger_file_of_their_own() -> None:
    line = '<https://example.org/c/{0}> <http://www.w3.org/2004/02/skos/core#prefLabel> "Libellé {0}"@fr .\n'
    data = "".join(line.format(number) for number in range(60_000)).encode()
    with pytest.raises(TooLarge):
        next(triples(data, "ntriples"))

    count = sum(1 for _ in triples(data, "ntriples", limits=OPERATOR_LIMITS))

    assert count == 60_000


def write(items: list[Triple]) -> bytes:
    """N-Triples of triples, with the escapes that the canonical profile asks for."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})

    def term(value: str | Literal) -> str:
        if isinstance(value, str):
            return value if value.startswith("_:") else f"<{value}>"
        tail = f"@{value.language}" if value.language else f"^^<{value.datatype}>" if value.datatype else ""
        return f'"{value.text.translate(escapes)}"{tail}'

    return "".join(f"{term(item.subject)} {term(item.predicate)} {term(item.object)} .\n" for item in items).encode()


TEXTS = st.text(
    st.one_of(st.sampled_from('\\"\n\r\t nrtu0'), st.characters(exclude_categories=["Cs", "Cc"])), max_size=30
)
IRIS = st.builds(
    "{}{}".format,
    st.sampled_from(["https://example.org/", "urn:x:", "info:é/", "HTTP://a"]),
    st.from_regex(r"[A-Za-z0-9/?#é%:@_.~-]{0,9}", fullmatch=True),
)
BLANKS = st.from_regex(r"_:[a-z0-9]{1,5}", fullmatch=True)
LITERALS = st.one_of(
    st.builds(Literal, TEXTS, st.just(""), st.just("")),
    st.builds(Literal, TEXTS, st.sampled_from(["fr", "en-gb", "zh-hant-tw"]), st.just("")),
    st.builds(Literal, TEXTS, st.just(""), IRIS),
)


@given(st.lists(st.builds(Triple, IRIS | BLANKS, IRIS, IRIS | BLANKS | LITERALS), max_size=5))
@settings(deadline=None)
def test_what_is_written_is_read_back_the_same(items: list[Triple]) -> None:
    data = write(items)

    with_line_feeds = list(read_ntriples(data.splitlines(keepends=True)))
    without = list(read_ntriples(data.split(b"\n")[:-1]))

    assert with_line_feeds == without == items


@given(st.binary(max_size=60) | st.text('<>" .\\_:urnab@^fr-', max_size=60).map(str.encode))
@settings(deadline=None)
def test_any_line_is_a_triple_or_a_refusal_that_names_it(line: bytes) -> None:
    found: list[Triple] = []
    refused: Invalid | None = None

    try:
        found = list(read_ntriples([line]))
    except Invalid as error:
        refused = error

    assert [type(triple) for triple in found] == ([] if refused else [Triple])
    assert refused is None or refused.problems[0].where == "ligne 1"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"# commentaire",
        b"<urn:a> <urn:b> <urn:c>",
        b"<urn:a> <urn:b> <urn:c>.",
        b"<urn:a>  <urn:b> <urn:c> .",
        b"<urn:a> <urn:b> <urn:c> . ",
        b"<urn:a> <urn:b> <urn:c> .\r\n",
        b"<urn:a> <urn:b> <urn:c> .\n\n",
        b"<urn:a> _:b <urn:c> .",
        b'"a" <urn:b> <urn:c> .',
        b'<urn:a> <urn:b> " .',
        b'<urn:a> <urn:b> "a"b" .',
        b'<urn:a> <urn:b> "a\\" .',
        b'<urn:a> <urn:b> "a\\q" .',
        b'<urn:a> <urn:b> "a\\u12" .',
        b'<urn:a> <urn:b> "\\uDC00" .',
        b'<urn:a> <urn:b> "\\U00110000" .',
        b'<urn:a> <urn:b> "\\u0000" .',
        b'<urn:a> <urn:b> "\\b" .',
        b'<urn:a> <urn:b> "a\rb" .',
        b'<urn:a> <urn:b> "\xc2\x85" .',
        b'<urn:a> <urn:b> "\xff" .',
        b'<urn:a> <urn:b> "a"@ .',
        b'<urn:a> <urn:b> "a"@fr^^<urn:c> .',
        b'<urn:a> <urn:b> "a"^^urn:c .',
        b"<urn:a> <urn:b> <urn:\\u0063> .",
        b"<urn:a> <urn:b> <c> .",
        b"<urn:a> <urn:b> <urn:> .",
        b"<urn:a> <urn:b> <urn:c> <urn:d> .",
    ],
)
def test_a_line_that_is_not_exactly_a_triple_is_refused_with_its_number(line: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        list(read_ntriples([b"<urn:a> <urn:b> <urn:c> .\n", line]))

    assert caught.value.problems[0].where == "ligne 2"


def test_every_usual_escape_is_read() -> None:
    line = b'<urn:a> <urn:b> "\\\\n \\t\\n\\r \\" \\u00e9 \\U0001F600"@FR .'

    [triple] = read_ntriples([line])

    assert triple.object == Literal('\\n \t\n\r " é 😀', "fr")
