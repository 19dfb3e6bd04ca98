"""Reads RDF files and workbooks from outside in a limited child process, and trusts nothing that comes back.

**The threat.** No RDF parser may run on untrusted bytes inside a web worker. Small files make rdflib spin for minutes,
ask for gigabytes, fetch addresses (JSON-LD contexts) or read the server's files; other small files end a process
that uses pyoxigraph with a segmentation fault, which no ``except`` catches. It is the same with spreadsheets: a
workbook of 2 kB makes a library allocate 512 GiB and abort, one of 1 MB expands to 1 GB.

**The answer.** One child process per file (``sandbox_child.py``) under ``python -I`` with an empty environment. It has
a limit on memory, on processor and on wall-clock time; it can't write a file, start a process, or open anything once
its libraries are loaded (an audit hook refuses it); it has no network where the kernel lets it have none; it dies
with its parent. At most two run at once per process. The file goes in through a pipe and N-Triples come out of
another, up to a cap. The parent reads each line again with :func:`read_ntriples`, which shares no code with the
parsers, so even a parser that was taken over can only give well-formed, harmless triples. Of a workbook come rows of
texts, as JSON (``workbooks``): ``registry.formats.spreadsheet`` takes nothing else.

**What is refused beyond bad syntax.** In RDF/XML: a DOCTYPE, entities, another root than ``rdf:RDF``, over 200
nested elements. In JSON-LD: any ``@context`` but one object at the top of the document, ``@import``, a repeated key,
over 50 levels, a named graph. In all: triple terms and text directions (RDF 1.2), lone surrogates, control characters
other than tab, line feed and carriage return, relative IRIs that no base in the file resolves, and IRIs whose scheme
is not in :data:`IRI_SCHEMES`: so neither ``javascript:``, ``data:`` and ``file:`` nor what browsers may learn later.
In workbooks, before anything is expanded: too many parts or bytes, a part that expands over a hundred times, repeated
or absolute names, ``..``, encryption, macros; then a DOCTYPE or entities.

**The limits** are in :class:`Limits`. :data:`REQUEST_LIMITS` is for what comes over HTTP, and :data:`OPERATOR_LIMITS`
for a file that the operator of the machine chose: 100,000 concepts, about 150 MB of N-Triples.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from registry.errors import Busy, Invalid, Problem, TooLarge

RDF_FORMATS = ("turtle", "ntriples", "rdfxml", "jsonld")

IRI_SCHEMES = ("http", "https", "urn", "mailto", "tel", "info", "ark", "doi", "hdl", "tag")
"""The schemes of the IRIs that are accepted: names, and addresses that run nothing and read nothing local."""


class Literal(NamedTuple):
    """A text with its language tag in lower case, or its datatype; both are empty for a plain ``xsd:string``."""

    text: str
    language: str = ""
    datatype: str = ""


class Triple(NamedTuple):
    """One RDF statement. IRIs stand without angle brackets, blank nodes as ``_:b0``."""

    subject: str
    predicate: str
    object: str | Literal


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost: bytes of address space, seconds, bytes in and out; and how long to wait for a turn.

    Of a workbook also the rows and columns of a sheet, and the parts of its archive and their bytes, expanded. And how
    many of the things that are wrong with a file are listed.
    """

    memory: int = 1 << 30
    cpu_seconds: int = 8
    wall_seconds: float = 10
    bytes_in: int = 5 << 20
    bytes_out: int = 64 << 20
    turn_seconds: float = 3
    rows: int = 50_000
    columns: int = 50
    members: int = 200
    expanded: int = 50 << 20
    problems: int = 100

    def check(self, data: bytes) -> None:
        """Do nothing if a file of these bytes may be read.

        :raises TooLarge: saying how many bytes it has and how many it may have.
        """
        if len(data) > self.bytes_in:
            raise TooLarge(f"fichier de {len(data)} octets, {self.bytes_in} au plus")


REQUEST_LIMITS = Limits()
OPERATOR_LIMITS = Limits(
    memory=4 << 30,
    cpu_seconds=300,
    wall_seconds=600,
    bytes_in=512 << 20,
    bytes_out=4 << 30,
    turn_seconds=60,
    rows=200_000,
    columns=500,
    members=2000,
    expanded=1 << 30,
    problems=10_000,
)

AT_ONCE = 2
_RULE = "rdf_is_readable"
_WORKBOOK_RULE = "workbook_is_readable"
_XML_RULE = "xml_is_readable"
_CHILD = Path(__file__).with_name("sandbox_child.py")
_REFUSED = 1
_LONGEST_COMPLAINT = 1 << 16
_MOST_REPORTS = 100
_IN_MEMORY = 16 << 20
_CHUNK = 1 << 18
_MOST_NAMES = 100_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_turns = threading.BoundedSemaphore(AT_ONCE)

_XSD_STRING = "http://www.w3.org/2001/XMLSchema#string"
_RELATIVE_BASE = "ftp://relative.invalid/"
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
# RFC 3987 keeps marks of writing direction out of IRIs; invisible characters would make two IRIs look the same.
_NOT_IN_IRI = '\x00-\x20\x7f-\x9f<>"{}|^`\\\\\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff'
_NAMES = "|".join(scheme for scheme in IRI_SCHEMES if scheme not in ("http", "https"))
_IRI = rf"<((?:[Hh][Tt][Tt][Pp][Ss]?://[^/?#{_NOT_IN_IRI}]|(?i:{_NAMES}):[^{_NOT_IN_IRI}])[^{_NOT_IN_IRI}]*+)>"
_NAME = re.compile(rf"{_IRI}|(_:\w[\w.·-]*+)")
_TEXT = re.compile(rf'"([^"\\\n\r{_CONTROL}]*+(?:\\.[^"\\\n\r{_CONTROL}]*+)*+)"')
_TAIL = re.compile(rf"(?:@([A-Za-z]{{1,8}}(?:-[A-Za-z0-9]{{1,8}})*+)|\^\^{_IRI})?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "\\": "\\"}
_USUAL_ESCAPES = (("\\n", "\n"), ('\\"', '"'), ("\\r", "\r"), ("\\t", "\t"))
_CONTROLS = re.compile(f"[{_CONTROL}]")


class _Unacceptable(ValueError):
    """A line that is not an acceptable triple: which, why (in French), and the text concerned."""

    def __init__(self, message: str, value: str, number: int = 0) -> None:
        super().__init__(message)
        self.message, self.value, self.number = message, value[:300], number


def triples(data: bytes, format: str, *, limits: Limits = REQUEST_LIMITS) -> Iterator[Triple]:
    """The triples of an RDF file, each checked; a statement that the file makes twice may come twice.

    Nothing happens before the first triple is asked for. A file of white space has none. Syntax is checked to the
    end of the file before the first triple comes; an unacceptable IRI or text further on is raised when it is met,
    so a caller that must take all or nothing exhausts the iterator first.

    :raises ValueError: if ``format`` is not in :data:`RDF_FORMATS`.
    :raises TooLarge: if the file has more bytes than ``limits`` allow.
    :raises Busy: if two files are being read already and neither ends in time.
    :raises Invalid: if the file can't be read, is not acceptable, or costs more than ``limits`` allow.
    """
    if format not in RDF_FORMATS:
        raise ValueError(format)
    limits.check(data)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if not data or data.isspace():
        return
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        with _turn(limits):
            _parse(data, format, limits, spool)
        spool.seek(0)
        labels: dict[str, str] = {}
        try:
            for triple in _read(spool):
                target = triple.object
                blank = triple.subject[0] == "_" or (isinstance(target, str) and target[0] == "_")
                yield _renamed(triple, labels) if blank else triple
        except _Unacceptable as error:
            raise Invalid(_unacceptable(error, spool, data)) from None


def _unacceptable(first: _Unacceptable, lines: Iterable[bytes], data: bytes) -> list[Problem]:
    """What is unacceptable in the first such line and in those after it, each thing once."""
    found = {first.value: first}
    rest = iter(lines)
    while len(found) < _MOST_REPORTS:
        try:
            for _ in _read(rest):
                pass
            break
        except _Unacceptable as error:
            found.setdefault(error.value, error)
    return [Problem(_RULE, one.message, where=_line_of(one.value, data), value=one.value) for one in found.values()]


def workbook_lines(data: bytes, wanted: Sequence[str] = (), *, limits: Limits = REQUEST_LIMITS) -> Iterator[bytes]:
    """What the child process tells of a workbook (XLSX, ODS or XLS), a line each: see ``registry.workbooks``.

    The whole file is read before the first line comes. With ``wanted``, only the first visible sheet counts that has
    these column names in one of its first lines.

    :raises TooLarge: if the file is larger, expanded or not, than ``limits`` allow, or has more rows or columns.
    :raises Busy: if two files are being read already and neither ends in time.
    :raises Invalid: if the file can't be read, is not acceptable, lacks the columns, or costs more than is allowed.
    """
    limits.check(data)
    bounds = {
        "rows": limits.rows,
        "columns": limits.columns,
        "members": limits.members,
        "expanded": limits.expanded,
        "wanted": list(wanted),
    }
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        with _turn(limits):
            try:
                _parse(data, "workbook", limits, spool, json.dumps(bounds))
            except Invalid as error:
                accepted = (
                    f"un classeur .xlsx, .ods ou .xls d'au plus {limits.rows} lignes et {limits.columns} colonnes"
                )
                problems = [
                    replace(problem, rule=_WORKBOOK_RULE, accepted=problem.accepted or accepted)
                    for problem in error.problems
                ]
                raise Invalid(problems) from None
        spool.seek(0)
        yield from spool


def xml_lines(data: bytes, *, limits: Limits = REQUEST_LIMITS) -> Iterator[bytes]:
    """The elements of an XML file as the child process tells them, a line of JSON each, once they end.

    A line is a list: depth, namespace and name with a blank between them, attributes by such names, text, line.

    :raises TooLarge: if the file has more bytes than ``limits`` allow.
    :raises Busy: if two files are being read already and neither ends in time.
    :raises Invalid: if it is not well-formed, has a DOCTYPE or entities, or costs more than ``limits`` allow.
    """
    limits.check(data)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        with _turn(limits):
            try:
                _parse(data, "xml", limits, spool)
            except Invalid as error:
                accepted = "du XML bien formé, sans DOCTYPE ni entités"
                raise Invalid(
                    [
                        replace(problem, rule=_XML_RULE, accepted=problem.accepted or accepted)
                        for problem in error.problems
                    ]
                ) from None
        spool.seek(0)
        yield from spool


def read_ntriples(lines: Iterable[bytes]) -> Iterator[Triple]:
    """Read N-Triples as Socle writes them: one triple a line, single spaces, no comments, no escapes in IRIs.

    Lines may come with or without their line feed. Blank nodes keep the labels that they have. Names that come back
    within 100,000 others are one string in memory.

    :raises Invalid: at the first line that is not exactly an acceptable triple, naming the line.
    """
    try:
        yield from _read(lines)
    except _Unacceptable as error:
        _refuse(error.message, f"ligne {error.number}", error.value)


def _read(lines: Iterable[bytes]) -> Iterator[Triple]:
    # Releases have a million lines, in which names come back: they are checked once. Calling ``tuple.__new__`` takes
    # half the time of calling ``Triple``.
    names: dict[str, str] = {}
    tails: dict[str, tuple[str, str]] = {}
    new = tuple.__new__
    for number, line in enumerate(lines, 1):
        try:
            subject, predicate, rest = line.decode().split(" ", 2)
            target = rest[:-3] if rest[-3:] == " .\n" else rest.removesuffix(" .")
            if len(target) == len(rest) or predicate[:1] != "<":
                raise ValueError
            if len(names) > _MOST_NAMES:
                names.clear()
            yield new(
                Triple,
                (
                    names.get(subject) or _name(subject, names),
                    names.get(predicate) or _name(predicate, names),
                    _literal(target, tails) if target[:1] == '"' else names.get(target) or _name(target, names),
                ),
            )
        except _Unacceptable as error:
            raise _Unacceptable(error.message, error.value, number) from None
        except UnicodeDecodeError:
            raise _Unacceptable("ce n'est pas de l'UTF-8", line.decode(errors="replace"), number) from None
        except ValueError:
            raise _why(line.decode(), number) from None


def _name(token: str, names: dict[str, str]) -> str:
    match = _NAME.fullmatch(token)
    if match is None:
        raise ValueError
    return names.setdefault(token, match[1] or match[2])


def _literal(token: str, tails: dict[str, tuple[str, str]]) -> Literal:
    end = token.rindex('"', 1)
    text, tail = token[1:end], token[end + 1 :]
    # Nearly every text passes this quick look; the pattern is for the others.
    if "\\" in text or '"' in text or not text.isprintable():
        match = _TEXT.fullmatch(token, 0, end + 1)
        if match is None:
            raise ValueError
        text = _unescape(match[1])
    language, datatype = tails.get(tail) or _tail(tail, tails)
    return tuple.__new__(Literal, (text, language, datatype))


def _tail(token: str, tails: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """The language and the datatype that the end of a literal states."""
    match = _TAIL.fullmatch(token)
    if match is None:
        raise ValueError
    if len(tails) > _MOST_NAMES:
        tails.clear()
    language, datatype = match.groups("")
    return tails.setdefault(token, (language.lower(), "" if datatype == _XSD_STRING else datatype))


def _unescape(text: str) -> str:
    # Most escapes are these four. A call for each would take seconds for a text of five million line feeds.
    parts = text.split("\\\\")
    for escape, character in _USUAL_ESCAPES:
        parts = [part.replace(escape, character) for part in parts]
    plain = "\\".join(parts)
    return plain if plain.count("\\") == len(parts) - 1 else _ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    short, long, letter = match.groups()
    if letter:
        character = _ESCAPED.get(letter, "")
    else:
        number = int(short or long, 16)
        character = "" if 0xD800 <= number < 0xE000 or number > 0x10FFFF else chr(number)
    if not character:
        raise _Unacceptable("une séquence d'échappement ne désigne aucun caractère", match[0])
    if _CONTROLS.match(character):
        raise _Unacceptable("un caractère de contrôle n'est pas accepté", match[0])
    return character


def _why(line: str, number: int) -> _Unacceptable:
    """What is wrong with a line: the likeliest reason, for the person who mends the file."""
    outside_texts = re.sub(r'"(?:[^"\\]|\\.)*+"', '""', line)
    message, value = "ce n'est pas un triplet N-Triples", line.strip()
    wrong = next((iri for iri in re.findall(r"<([^<> ]*)>", outside_texts) if not _NAME.fullmatch(f"<{iri}>")), None)
    if "<<" in outside_texts:
        message = "les triplets imbriqués (RDF 1.2) ne sont pas acceptés"
    elif wrong is not None and (wrong.startswith(_RELATIVE_BASE) or ":" not in wrong):
        message, value = "une adresse (IRI) est relative : écrivez-la en entier", wrong.removeprefix(_RELATIVE_BASE)
    elif wrong is not None and wrong.partition(":")[0].lower() not in IRI_SCHEMES:
        message, value = f"une adresse (IRI) commence autrement que par l'un de {', '.join(IRI_SCHEMES)}", wrong
    elif wrong is not None:
        message, value = "ce n'est pas une adresse (IRI) bien formée", wrong
    elif _CONTROLS.search(line):
        message, value = "un caractère de contrôle n'est pas accepté", ascii(line.strip())[1:-1]
    elif "--" in outside_texts:
        message = "les directions de texte (RDF 1.2) ne sont pas acceptées"
    return _Unacceptable(message, value, number)


def _renamed(triple: Triple, labels: dict[str, str]) -> Triple:
    """The same triple with short blank node labels, given in order of appearance: parsers invent long random ones."""
    subject, predicate, target = triple
    if subject[0] == "_":
        subject = labels.setdefault(subject, f"_:b{len(labels)}")
    if isinstance(target, str) and target[0] == "_":
        target = labels.setdefault(target, f"_:b{len(labels)}")
    return Triple(subject, predicate, target)


def _refuse(message: str, where: str = "", value: str = "", accepted: str = "") -> NoReturn:
    raise Invalid([Problem(_RULE, message, where=where, value=value, accepted=accepted)])


def _line_of(value: str, data: bytes) -> str:
    """Where a text stands in the file, if it stands there as it is (and not, for instance, behind a prefix)."""
    place = data.find(value.encode(errors="replace")) if value else -1
    line = data.count(b"\n", 0, place) + 1
    return f"ligne {line}" if place >= 0 else ""


@contextmanager
def _turn(limits: Limits) -> Iterator[None]:
    if not _turns.acquire(timeout=limits.turn_seconds):
        raise Busy(f"{AT_ONCE} fichiers sont déjà en cours de lecture")
    try:
        yield
    finally:
        _turns.release()


def _parse(data: bytes, format: str, limits: Limits, out: IO[bytes], *more: str) -> None:
    """Run one child on a file and put what it gives into ``out``; it is dead and reaped on return."""
    arguments = (format, str(limits.memory), str(limits.cpu_seconds), str(os.getpid()), *more)
    command = [sys.executable, "-I", "-B", "-X", "utf8", str(_CHILD), *arguments]
    pipe = subprocess.PIPE
    # The command is this interpreter and our own file; nothing in it comes from outside.
    with subprocess.Popen(  # noqa: S603
        command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env={}, start_new_session=True
    ) as child:
        deadline = time.monotonic() + limits.wall_seconds
        try:
            complaint = _exchange(child, data, out, limits, deadline)
            status = child.wait(max(0.1, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            _refuse(f"le fichier demande plus de {limits.wall_seconds:g} secondes de lecture")
        finally:
            child.kill()
    if status != 0:
        _explain(status, complaint, limits, data if format in RDF_FORMATS else b"")


def _exchange(child: subprocess.Popen[bytes], data: bytes, out: IO[bytes], limits: Limits, deadline: float) -> bytes:
    """Feed the child and collect what it gives, whichever it is ready for, until it has closed both its outputs.

    :returns: the beginning of its standard error.
    :raises TimeoutError: at the deadline.
    :raises Invalid: as soon as it gives more than ``limits`` allow.
    """
    if not (child.stdin and child.stdout and child.stderr):
        raise RuntimeError("the child was started without its pipes")
    left, given, complaint = memoryview(data), 0, bytearray()
    os.set_blocking(child.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdin, selectors.EVENT_WRITE)
        ready.register(child.stdout, selectors.EVENT_READ)
        ready.register(child.stderr, selectors.EVENT_READ)
        while ready.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _ in ready.select(remaining):
                if key.fileobj is child.stdin:
                    left = _fed(key.fd, left)
                    if not left:
                        ready.unregister(child.stdin)
                        child.stdin.close()
                elif not (chunk := os.read(key.fd, _CHUNK)):
                    ready.unregister(key.fileobj)
                elif key.fileobj is child.stderr:
                    complaint += chunk[: _LONGEST_COMPLAINT - len(complaint)]
                else:
                    given += len(chunk)
                    if given > limits.bytes_out:
                        _refuse(f"le fichier donne plus de {limits.bytes_out >> 20} Mio de triplets ou de cellules")
                    out.write(chunk)
    return bytes(complaint)


def _fed(pipe: int, left: memoryview) -> memoryview:
    """What is left to write after writing some; nothing if the child no longer reads, as its status will explain."""
    try:
        return left[os.write(pipe, left[:_CHUNK]) :]
    except BrokenPipeError:
        return left[:0]


def _explain(status: int, complaint: bytes, limits: Limits, text: bytes) -> NoReturn:
    """Say why a child did not read its file, of which ``text`` is what has lines.

    :raises Invalid: always, but where it is too large, or for a fault of the installation.
    """
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        _refuse(f"le fichier demande plus de {limits.cpu_seconds} secondes de calcul, ou trop de mémoire")
    if status == -signal.SIGABRT:
        _refuse("le fichier demande trop de mémoire")
    if status < 0:
        _refuse("la structure du fichier fait échouer le lecteur : elle est sans doute trop imbriquée")
    if status != _REFUSED:
        raise RuntimeError(f"the parser's process could not start (status {status})")
    reports = _reports(complaint)
    first = reports[0]
    if first["too_large"]:
        raise TooLarge(str(Problem("", first["message"], (), first["where"], first["value"], first["accepted"])))
    raise Invalid(
        [
            Problem(
                _RULE,
                report["message"],
                where=report["where"] or _line_of(report["value"], text),
                value=report["value"],
                accepted=report["accepted"],
            )
            for report in reports
        ]
    )


def _reports(complaint: bytes) -> list[dict[str, str]]:
    """What the child wrote last, cut and cleaned: it has read hostile bytes."""
    keys = ("message", "where", "value", "accepted", "too_large")
    try:
        report = json.loads(complaint.strip().rpartition(b"\n")[2])
        reports = [report, *(report.get("further") or ())][:_MOST_REPORTS]
        found = [{key: str(one.get(key) or "") for key in keys} for one in reports]
    except (ValueError, AttributeError, TypeError, RecursionError):
        found = [dict.fromkeys(keys, "") | {"message": "le fichier n'a pas pu être lu"}]
    return [{key: "".join(c for c in text[:400] if c.isprintable()) for key, text in one.items()} for one in found]
