"""The limited process that ``registry.sandbox`` starts for one outside file: bytes in; N-Triples, or lines, out.

Run by path with ``python -I``, so it imports nothing of ours but, for the format ``workbook``, the folder
``workbooks`` beside it: what is not here can't be reached from here. It takes four arguments (format, bytes of memory,
seconds of processor, process id of its parent) and for workbooks a fifth (JSON: those of ``workbooks.reading.Bounds``),
reads the file from standard input and writes to standard output. It ends with 0 if the whole file was read. Otherwise
it writes one line of JSON to standard error, ``{"message": …, "where": …, "value": …, "accepted": …, "too_large": …}``
in French, where ``further`` may list other such objects, and ends with 1. A library that can't be imported ends it
with a traceback and another status: that is a fault of the installation, not of the file.

Order matters in :func:`main`: limits first, then imports and a trial run (libraries open files of their own when
they are first used), then the doors are closed, and only then is the first outside byte read.
"""

from __future__ import annotations

import ctypes
import io
import json
import logging
import os
import re
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

Reader = Callable[[BinaryIO, BinaryIO], None]

BASE = "ftp://relative.invalid/"
"""Relative references are resolved against this; the parent accepts no ``ftp:`` IRI, so each of them is found out."""

DEEPEST_XML = 200
DEEPEST_JSON = 50
MOST_FURTHER = 20
"""How many more errors of syntax are told after the first, and how many lines of each; the same one is told once."""
_REFUSED = 1
_SAMPLE = {
    "turtle": b"<urn:a> <urn:b> 'c'@fr .",
    "ntriples": b'<urn:a> <urn:b> "c"@fr .\n',
    "rdfxml": b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:u="urn:u:"><r:Description '
    b'r:about="urn:a"><u:b xml:lang="fr">c</u:b><u:b r:parseType="Literal"><i/></u:b></r:Description></r:RDF>',
    "jsonld": b'{"@context": {"b": "urn:b", "d": {"@id": "urn:d", "@container": "@list", "@type": "@id"}},'
    b' "@id": "urn:a", "b": ["c", 1, 1.5, true, {"@value": "x", "@language": "fr"}], "d": ["urn:e", "f"]}',
    "xml": b'<a xmlns="urn:a" b="c">d</a>',
}
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_HARMLESS_EVENTS = (
    "builtins.id",
    "code.",
    "compile",
    "exec",
    "gc.",
    "import",
    "object.__",
    "sys._",
    "marshal.loads",
)
_UNSAFE_IN_IRI = re.compile(r'[\x00-\x20<>"{}|^`\\]')
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_RDF_ROOT = ["http://www.w3.org/1999/02/22-rdf-syntax-ns#", "RDF"]


class Refused(Exception):
    """The file is not acceptable: a French message, and when known the place and the text concerned."""

    def __init__(
        self, message: str, where: str = "", value: str = "", accepted: str = "", *, too_large: bool = False
    ) -> None:
        super().__init__(message)
        self.report: dict[str, Any] = {
            "message": message,
            "where": where,
            "value": value[:300],
            "accepted": accepted,
            "too_large": too_large,
        }


class DoorClosed(BaseException):
    """Something tried to reach beyond the file. No library catches it, because it is not an ``Exception``."""


def confine(memory: int, cpu_seconds: int, parent: int) -> None:
    """Give up, for ever, what parsing does not need: memory, time, writing, processes, network, a life of one's own.

    What the platform does not offer is left out: the network namespace asks for a privilege that containers often
    withhold, and the audit hook stands in for it.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "prctl"):
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_REFUSED)  # The parent died before it could be followed.
    if hasattr(library, "unshare") and library.unshare(_CLONE_NEWNET) != 0:
        library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    _limit(resource.RLIMIT_AS, memory, memory)
    _limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    _limit(resource.RLIMIT_NOFILE, 16, 16)
    for nothing in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        _limit(nothing, 0, 0)


def _limit(kind: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def close_doors() -> None:
    """From here on every audited action that is not known to be harmless raises :class:`DoorClosed`."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if not event.startswith(_HARMLESS_EVENTS):
            raise DoorClosed(event)

    sys.addaudithook(hook)


def reader(format: str) -> Reader:
    """Import what reads a format, and make it ready. :raises KeyError: for an unknown format."""
    return {
        "turtle": _oxigraph,
        "ntriples": _oxigraph,
        "rdfxml": _rdfxml,
        "jsonld": _jsonld,
        "workbook": _workbook,
        "xml": _xml,
    }[format](format)


def _oxigraph(format: str) -> Reader:
    import pyoxigraph

    syntax = pyoxigraph.RdfFormat.TURTLE if format == "turtle" else pyoxigraph.RdfFormat.N_TRIPLES
    title = "Turtle" if format == "turtle" else "N-Triples"

    def read(data: BinaryIO, out: BinaryIO) -> None:
        triples = pyoxigraph.parse(data, format=syntax)
        try:
            pyoxigraph.serialize(triples, out, pyoxigraph.RdfFormat.N_TRIPLES)
        except SyntaxError as error:
            raise _syntax_refused(error, triples, title) from error

    return read


def _syntax_refused(first: SyntaxError, triples: Iterator[Any], title: str) -> Refused:
    """What is wrong with a file, and further on: the parser goes on after the statement that it could not read."""
    lines: dict[str, list[int | None]] = {}
    error: SyntaxError | None = first
    while error and len(lines) <= MOST_FURTHER:
        detail = error.msg or ""
        if "UTF-8" in detail:
            # What follows in another encoding can't be read either, and would be told in as many words.
            where = _line(error.lineno)
            return Refused("ce n'est pas de l'UTF-8", where, accepted="le même texte enregistré en UTF-8")
        met = lines.setdefault(re.sub(r"^Parser error (at|between) .*?: ", "", detail)[:300], [])
        if error.lineno not in met and len(met) <= MOST_FURTHER:
            met.append(error.lineno)
        error = _next_error(triples)
    refused = [
        Refused(f"ce n'est pas du {title} lisible ({detail})", _line(met[0]) if len(met) == 1 else _lines(met))
        for detail, met in lines.items()
    ]
    refused[0].report["further"] = [other.report for other in refused[1:]]
    return refused[0]


def _next_error(triples: Iterator[Any]) -> SyntaxError | None:
    try:
        for _ in triples:
            pass
    except SyntaxError as error:
        return error
    return None


def _lines(numbers: list[int | None]) -> str:
    more = ", …" if len(numbers) > MOST_FURTHER else ""
    return f"lignes {', '.join(map(str, numbers[:MOST_FURTHER]))}{more}"


def _rdfxml(_: str) -> Reader:
    from xml.sax import SAXParseException, expatreader, xmlreader

    from rdflib.exceptions import ParserError
    from rdflib.plugins.parsers import rdfxml

    _take_literals_as_they_are()

    class GuardedParser(expatreader.ExpatParser):
        """An XML reader that stops at a DOCTYPE, at another root than rdf:RDF and at absurd depth, in any encoding.

        The guard sits in the one parse there is. A search of the bytes would miss a DOCTYPE in UTF-16.
        """

        depth = 0

        def reset(self) -> None:
            super().reset()
            # Expat reports each newline apart, and rdflib copies the whole text for each report, unless it is buffered.
            expat: Any = self._parser  # type: ignore[attr-defined]  # The standard library's stub leaves it out.
            expat.buffer_size = 1 << 20
            expat.buffer_text = True
            expat.StartDoctypeDeclHandler = self.refuse_doctype
            expat.EntityDeclHandler = self.refuse_doctype
            expat.ExternalEntityRefHandler = self.refuse_doctype

        def refuse_doctype(self, *_: object) -> NoReturn:
            raise Refused(
                "un DOCTYPE ou des entités ne sont pas acceptés : retirez-les, en écrivant les adresses en entier",
                _line(self.getLineNumber()),
            )

        def start_element_ns(self, name: str, attrs: Any) -> None:
            if self.depth == 0 and name.split()[:2] != _RDF_ROOT:
                raise Refused("l'élément racine n'est pas rdf:RDF", _line(self.getLineNumber()), name.split()[-1])
            self.depth += 1
            if self.depth > DEEPEST_XML:
                raise Refused(f"plus de {DEEPEST_XML} éléments imbriqués", _line(self.getLineNumber()))
            super().start_element_ns(name, attrs)

        def end_element_ns(self, name: str) -> None:
            self.depth -= 1
            super().end_element_ns(name)

    # rdflib offers no other way to choose the XML reader.
    rdfxml.make_parser = GuardedParser  # type: ignore[attr-defined, assignment]  # Put in place of theirs.

    def read(data: BinaryIO, out: BinaryIO) -> None:
        source = xmlreader.InputSource()
        source.setPublicId(BASE)
        source.setByteStream(data)
        sink = _Sink(out)
        parser = rdfxml.create_parser(source, sink)  # type: ignore[arg-type]  # The sink has what the reader calls.
        sink.line = parser.getLineNumber  # type: ignore[attr-defined]  # It is the guarded parser above.
        try:
            parser.parse(source)
        except SAXParseException as error:
            raise Refused(
                f"ce n'est pas du XML bien formé ({error.getMessage()})", _line(error.getLineNumber())
            ) from error
        except (ParserError, ValueError, AssertionError, AttributeError, TypeError, LookupError) as error:
            raise Refused("ce n'est pas du RDF/XML lisible", _line(sink.line())) from error

    return read


def _jsonld(_: str) -> Reader:
    from rdflib.plugins.parsers import jsonld
    from rdflib.plugins.shared.jsonld.context import Context
    from rdflib.plugins.shared.jsonld.errors import JSONLDException

    _take_literals_as_they_are()

    class StrictParser(jsonld.Parser):
        """Refuses a malformed IRI, which rdflib would drop with what is said of it, or replace by a blank node."""

        def _to_rdf_id(self, context: Context, id_val: str) -> Any:
            node = super()._to_rdf_id(context, id_val)
            if node is None or self.invalid_uri_to_bnode:
                raise Refused("ce n'est pas une adresse (IRI) bien formée", value=id_val)
            return node

    def read(data: BinaryIO, out: BinaryIO) -> None:
        document = _document(data.read())
        _check(document)
        try:
            StrictParser().parse(document, Context(base=BASE, version=1.1), _Sink(out))  # type: ignore[arg-type]  # As above.
        except (JSONLDException, NotImplementedError, ValueError, AttributeError, TypeError, LookupError) as error:
            raise Refused("ce n'est pas du JSON-LD lisible") from error

    return read


def _xml(_: str) -> Reader:
    # Expat asks Python for encodings that it lacks; those that XML from Windows is in are found before doors close.
    import codecs
    from xml.parsers import expat

    for encoding in ("cp1252", "iso8859-15"):
        codecs.lookup(encoding)

    def read(data: BinaryIO, out: BinaryIO) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.buffer_size = 1 << 20
        open_elements: list[tuple[str, dict[str, str], int, list[str]]] = []

        def refuse_doctype(*_: object) -> NoReturn:
            raise Refused("un DOCTYPE ou des entités ne sont pas acceptés", _line(parser.CurrentLineNumber))

        def start(name: str, attributes: dict[str, str]) -> None:
            if len(open_elements) >= DEEPEST_XML:
                raise Refused(f"plus de {DEEPEST_XML} éléments imbriqués", _line(parser.CurrentLineNumber))
            open_elements.append((name, attributes, parser.CurrentLineNumber, []))

        def text(found: str) -> None:
            open_elements[-1][3].append(found)

        def end(_: str) -> None:
            name, attributes, line, texts = open_elements.pop()
            told = [len(open_elements), name, attributes, "".join(texts), line]
            out.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")

        parser.StartDoctypeDeclHandler = refuse_doctype
        parser.EntityDeclHandler = refuse_doctype
        parser.ExternalEntityRefHandler = refuse_doctype
        parser.StartElementHandler = start
        parser.CharacterDataHandler = text
        parser.EndElementHandler = end
        try:
            parser.ParseFile(data)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise Refused(f"ce n'est pas du XML bien formé ({error})", _line(parser.ErrorLineNumber)) from error

    return read


def _workbook(_: str) -> Reader:
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    folder = Path(__file__).with_name("workbooks")
    spec = spec_from_file_location("workbooks", folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ImportError("workbooks")
    package = sys.modules["workbooks"] = module_from_spec(spec)
    spec.loader.exec_module(package)
    workbook = import_module("workbooks.reading")
    bounds = workbook.Bounds(**json.loads(sys.argv[5]))
    workbook.warm_up()

    def read(data: BinaryIO, out: BinaryIO) -> None:
        try:
            workbook.read(data.read(), out, bounds)
        except workbook.Unreadable as error:
            raise Refused(error.message, error.where, error.value, error.accepted, too_large=error.too_large) from error

    return read


def _document(data: bytes) -> Any:
    """What a JSON file holds. :raises Refused: if it is not JSON in UTF-8, repeats a key or has an absurd number."""
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_not_a_number)
    except UnicodeDecodeError as error:
        raise Refused("ce n'est pas de l'UTF-8", _line(data.count(b"\n", 0, error.start) + 1)) from error
    except json.JSONDecodeError as error:
        raise Refused(f"ce n'est pas du JSON lisible ({error.msg})", _line(error.lineno)) from error
    except ValueError as error:
        raise Refused("un nombre a trop de chiffres") from error
    except RecursionError as error:
        raise Refused(f"plus de {DEEPEST_JSON} niveaux imbriqués") from error


def _check(document: Any) -> None:
    """See that nothing in a JSON-LD document makes the reader fetch, recurse, guess or lose something.

    :raises Refused: if it is not an object or a list, is too deep, has another context than objects at its top, or a
        number that no computer holds.
    """
    if not isinstance(document, dict | list):
        raise Refused("un document JSON-LD est un objet ou une liste", value=str(document))
    for path, value in _values(document):
        key = path[-1] if path else ""
        if len(path) > DEEPEST_JSON:
            raise Refused(f"plus de {DEEPEST_JSON} niveaux imbriqués", _pointer(path))
        if key == "@import":
            raise Refused("« @import » n'est pas accepté : écrivez le contexte dans le fichier", _pointer(path))
        if key == "@context" and len(path) > 1:
            raise Refused("un « @context » n'est accepté qu'en tête du document", _pointer(path))
        written = value if isinstance(value, list) and value else [value]
        if key == "@context" and not all(isinstance(one, dict) for one in written):
            raise Refused(
                "le « @context » doit être un objet écrit dans le fichier",
                _pointer(path),
                str(value),
                "les termes eux-mêmes, recopiés à la place de l'adresse",
            )
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise Refused("un nombre est trop grand", _pointer(path))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Refused("une clé est répétée dans un même objet", value=key)
        found[key] = value
    return found


def _not_a_number(name: str) -> NoReturn:
    raise Refused("ce n'est pas un nombre JSON", value=name)


def _values(document: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each value in a JSON document with the keys that lead to it; no recursion, which a deep document would break."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            waiting.extend(((*path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            waiting.extend(((*path, place), item) for place, item in enumerate(value))


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)[:300]


def _line(number: int | None) -> str:
    return f"ligne {number}" if number else ""


def _take_literals_as_they_are() -> None:
    """Make rdflib keep each literal as it is written.

    It would rewrite ``001`` as 1, expand ``1E+99999999`` to 100 MB, and parse HTML and XML literals for minutes.
    """
    import rdflib
    import rdflib.term

    rdflib.NORMALIZE_LITERALS = False
    rdflib.term._toPythonMapping.clear()


class _Sink:
    """What rdflib takes for a graph: it writes each triple at once, so memory does not grow with the file."""

    context_aware = True

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.line: Callable[[], int | None] = lambda: None

    @property
    def default_context(self) -> _Sink:
        return self

    def get_context(self, name: object) -> NoReturn:
        raise Refused("un graphe nommé n'est pas accepté", "", str(name), "un « @graph » sans « @id » à côté de lui")

    def bind(self, *_: object, **__: object) -> None:
        """Prefixes are of no use here, and rdflib takes time squared to keep them."""

    def add(self, triple: tuple[Any, Any, Any]) -> None:
        text = f"{self._term(triple[0])} {self._term(triple[1])} {self._term(triple[2])} .\n"
        try:
            self._out.write(text.encode())
        except UnicodeEncodeError as error:
            raise Refused("un caractère n'existe pas (surrogate isolé)", _line(self.line()), ascii(text)) from error

    def _term(self, term: Any) -> str:
        from rdflib.term import BNode, Literal, URIRef

        if isinstance(term, URIRef):
            if _UNSAFE_IN_IRI.search(term):
                raise Refused("ce n'est pas une adresse (IRI) bien formée", _line(self.line()), str(term))
            return f"<{term}>"
        if isinstance(term, BNode):
            return f"_:x{term.encode('utf-8', 'surrogatepass').hex()}"
        if not isinstance(term, Literal):
            raise Refused("ce n'est pas un terme RDF", _line(self.line()), str(term))
        text = f'"{term.translate(_ESCAPES)}"'
        if term.language:
            return f"{text}@{term.language}"
        return f"{text}^^{self._term(term.datatype)}" if term.datatype else text


def main() -> NoReturn:
    """Read one file as the arguments say; see the module's docstring for what goes in and out."""
    format, memory, cpu_seconds, parent = sys.argv[1], *map(int, sys.argv[2:5])
    confine(memory, cpu_seconds, parent)
    # A message or a warning would make Python open source files for its context, and fill standard error.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    read = reader(format)
    if format in _SAMPLE:
        read(io.BytesIO(_SAMPLE[format]), io.BytesIO())
    out = sys.stdout.buffer
    close_doors()
    os._exit(_read_reporting(read, out))


def _read_reporting(read: Reader, out: BinaryIO) -> int:
    try:
        read(sys.stdin.buffer, out)
        out.flush()
    except Refused as refused:
        report = refused.report
    except MemoryError:
        report = {"message": "le fichier demande trop de mémoire"}
    except RecursionError:
        report = {"message": "la structure du fichier est trop imbriquée"}
    except DoorClosed:
        report = {"message": "le fichier demande d'ouvrir autre chose que lui-même"}
    except BaseException:
        # A fault in a library, its panics included, is the file's refusal; the details would mean nothing to anyone.
        report = {"message": "le fichier n'a pas pu être lu"}
    else:
        return 0
    with suppress(OSError):
        os.write(2, b"\n" + json.dumps(report).encode() + b"\n")
    return _REFUSED


if __name__ == "__main__":
    main()
