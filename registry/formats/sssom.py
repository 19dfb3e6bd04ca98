"""SSSOM/TSV, the standard for mappings: read strictly, each fault with its line; written in the canonical form.

The metadata stand above the table, as YAML behind ``#``. A slot that all rows share stands there too (the standard says
"condensed"): reading gives it back to the rows. Written are only the slots that have a value, in the order of the
standard, rows and prefixes sorted: so writing what was read from a canonical file gives the same bytes.

Of a crosswalk go out its mappings; a local code that nobody has reviewed has no row. ``noMatch`` is a row to
``sssom:NoTermFound``. What the standard has no slot for travels in slots of our own, declared in the file: ``covers``,
``weight`` and ``status``. Local codes hold any character, so they are percent-encoded in their CURIEs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from urllib.parse import quote

import yaml

from registry.crosswalks import Crosswalk, is_day, is_share
from registry.errors import Invalid, Problem
from registry.formats.tabular import join_cell, records, split_cell
from registry.rules import LISTED

RULE = "sssom_is_well_formed"
NO_TERM_FOUND = "sssom:NoTermFound"

SET_SLOTS = (
    "sssom_version",
    "mapping_set_id",
    "mapping_set_version",
    "mapping_set_source",
    "mapping_set_title",
    "mapping_set_description",
    "mapping_set_confidence",
    "creator_id",
    "creator_label",
    "license",
    "subject_type",
    "subject_source",
    "subject_source_version",
    "object_type",
    "object_source",
    "object_source_version",
    "predicate_type",
    "mapping_provider",
    "cardinality_scope",
    "mapping_tool",
    "mapping_tool_id",
    "mapping_tool_version",
    "mapping_date",
    "publication_date",
    "subject_match_field",
    "object_match_field",
    "subject_preprocessing",
    "object_preprocessing",
    "similarity_measure",
    "curation_rule",
    "curation_rule_text",
    "see_also",
    "issue_tracker",
    "other",
    "comment",
)
"""The slots of a mapping set, in the order of the standard (version 1.1)."""

ROW_SLOTS = (
    "record_id",
    "subject_id",
    "subject_label",
    "subject_category",
    "predicate_id",
    "predicate_label",
    "predicate_modifier",
    "object_id",
    "object_label",
    "object_category",
    "mapping_justification",
    "author_id",
    "author_label",
    "reviewer_id",
    "reviewer_label",
    "creator_id",
    "creator_label",
    "license",
    "subject_type",
    "subject_source",
    "subject_source_version",
    "object_type",
    "object_source",
    "object_source_version",
    "predicate_type",
    "mapping_provider",
    "mapping_source",
    "mapping_cardinality",
    "cardinality_scope",
    "mapping_tool",
    "mapping_tool_id",
    "mapping_tool_version",
    "mapping_date",
    "publication_date",
    "review_date",
    "confidence",
    "curation_rule",
    "curation_rule_text",
    "subject_match_field",
    "object_match_field",
    "match_string",
    "subject_preprocessing",
    "object_preprocessing",
    "similarity_score",
    "similarity_measure",
    "see_also",
    "issue_tracker_item",
    "other",
    "comment",
)
"""The slots of a row, in the order of the standard."""

PROPAGATED = frozenset(
    {
        "subject_type",
        "subject_source",
        "subject_source_version",
        "object_type",
        "object_source",
        "object_source_version",
        "predicate_type",
        "mapping_provider",
        "cardinality_scope",
        "mapping_tool",
        "mapping_tool_id",
        "mapping_tool_version",
        "mapping_date",
        "subject_match_field",
        "object_match_field",
        "subject_preprocessing",
        "object_preprocessing",
        "similarity_measure",
        "curation_rule",
        "curation_rule_text",
    }
)
"""The slots that stand in the metadata where all rows share their value."""

_SEVERAL = frozenset(
    {
        "mapping_set_source",
        "author_id",
        "author_label",
        "reviewer_id",
        "reviewer_label",
        "creator_id",
        "creator_label",
        "cardinality_scope",
        "subject_match_field",
        "object_match_field",
        "match_string",
        "subject_preprocessing",
        "object_preprocessing",
        "curation_rule",
        "curation_rule_text",
        "see_also",
    }
)
_REFERENCES = frozenset(
    {
        "record_id",
        "subject_id",
        "predicate_id",
        "object_id",
        "mapping_justification",
        "author_id",
        "reviewer_id",
        "creator_id",
        "subject_source",
        "object_source",
        "mapping_source",
        "mapping_tool_id",
        "curation_rule",
        "subject_match_field",
        "object_match_field",
        "subject_preprocessing",
        "object_preprocessing",
        "issue_tracker_item",
    }
)
_DAYS = frozenset({"mapping_date", "publication_date", "review_date"})
_SHARES = frozenset({"confidence", "similarity_score", "mapping_set_confidence"})
_ENTITY_TYPES = (
    "owl class",
    "owl object property",
    "owl data property",
    "owl annotation property",
    "owl named individual",
    "skos concept",
    "rdfs resource",
    "rdfs class",
    "rdfs literal",
    "rdfs datatype",
    "rdf property",
    "composed entity expression",
)
_ONE_OF: dict[str, tuple[str, ...]] = {
    "sssom_version": ("1.0", "1.1"),
    "subject_type": _ENTITY_TYPES,
    "object_type": _ENTITY_TYPES,
    "predicate_type": _ENTITY_TYPES,
    "predicate_modifier": ("Not",),
    "mapping_cardinality": ("1:1", "1:n", "n:1", "n:n", "1:0", "0:1", "0:0"),
}
_REQUIRED = ("subject_id", "predicate_id", "object_id", "mapping_justification")
_REQUIRED_OF_SET = ("mapping_set_id", "license")
_UNSPECIFIED_LICENSE = "https://w3id.org/sssom/license/unspecified"

BUILT_IN = {
    "linkml": "https://w3id.org/linkml/",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "semapv": "https://w3id.org/semapv/vocab/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "sssom": "https://w3id.org/sssom/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
"""The prefixes that need not be declared, and may not be declared otherwise."""

_MOST_METADATA = 1 << 16
_DEEPEST = 8
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_NOT_TAKEN = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken, yaml.DirectiveToken)
_NOT_YAML = "les métadonnées ne sont pas du YAML"
_PREFIX = r"[A-Za-z_][A-Za-z0-9_.-]*"
_NCNAME = re.compile(_PREFIX)
_CURIE = re.compile(rf"({_PREFIX}):(?!//)(\S+)")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_SPACES = re.compile("#( *)")
_NOT_PLAIN = re.compile(r"""[,\[\]{}#&*!|>'"%@`\s]|[-?:](?:\s|$)|.*(?::(?:\s|$)|\s#)|.*\s$""", re.DOTALL)
_A_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.?[0-9_]*)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9A-Fa-f]+")
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_RESOLVER = yaml.resolver.Resolver()

Value = str | tuple[str, ...]
"""A slot's value: a text, or several where the standard allows several."""


class Extension(NamedTuple):
    """A slot that is not of the standard: its name, the property that it stands for, the type of its values."""

    slot_name: str
    property: str = ""
    type_hint: str = ""


@dataclass(frozen=True, slots=True)
class MappingSet:
    """A mapping set: its prefixes, its slots, the slots that are not of the standard, and its rows, slot by slot."""

    prefixes: Mapping[str, str]
    slots: Mapping[str, Value]
    rows: Sequence[Mapping[str, Value]]
    extensions: Sequence[Extension] = ()

    def iri(self, curie: str) -> str:
        """The IRI that a CURIE stands for; its prefix is declared, or built in."""
        prefix, _, reference = curie.partition(":")
        return (BUILT_IN.get(prefix) or self.prefixes[prefix]) + reference


class Fault(NamedTuple):
    """A cell that is not as the standard says: where it stands, what stands there, why not, and what would be."""

    line: int
    slot: str
    value: str
    message: str
    accepted: str


class Reading(NamedTuple):
    """A file as it was read: the rows without fault, each with its line; the faults; the columns left out."""

    mapping_set: MappingSet
    lines: Sequence[int]
    faults: Sequence[Fault]
    columns: Sequence[str]
    unused: Sequence[str]
    body: int


def looks_like(text: str) -> bool:
    """Whether a text is meant as SSSOM/TSV: metadata behind ``#``, or a header that says so."""
    if text.removeprefix("\ufeff").startswith("#"):
        return re.search(r"^#\s*(curie_map|mapping_set_id|sssom_version)\s*:", text[:_MOST_METADATA], re.M) is not None
    return {"subject_id", "predicate_id", "object_id"} <= set(text.partition("\n")[0].strip("\ufeff\r").split("\t"))


def read(data: bytes) -> MappingSet:
    """A mapping set from SSSOM/TSV.

    :raises Invalid: with the line, the slot and the value of each fault.
    """
    reading = parse(data)
    if reading.faults:
        found = [
            Problem(RULE, fault.message, (), f"ligne {fault.line}, colonne {fault.slot}", fault.value, fault.accepted)
            for fault in reading.faults
        ]
        raise Invalid(found[:LISTED], len(found))
    return reading.mapping_set


def parse(data: bytes) -> Reading:
    """Read SSSOM/TSV, its faulty rows aside.

    :raises Invalid: if the metadata or the header are not as the standard says: then nothing of it can be read.
    """
    text = _decoded(data)
    metadata, body, count = _parts(text)
    problems: list[Problem] = []
    slots, prefixes, extensions, others = _Metadata(problems).read(metadata)
    if problems:
        raise Invalid(problems[:LISTED], len(problems))
    known = {extension.slot_name: extension for extension in extensions}
    lines = records(body, "\t")
    header = next(((number + count, cells) for number, cells in lines), (count + 1, []))
    columns = _header(*header)
    checks = _Checks(prefixes)
    for slot, value in slots.items():
        checks.slot(0, slot, value)
    if checks.faults:
        raise _invalid(*[(fault.slot, fault.message, fault.value, fault.accepted) for fault in checks.faults])
    rows: list[dict[str, Value]] = []
    places: list[int] = []
    for number, cells in lines:
        before = len(checks.faults)
        row = checks.row(number + count, columns, cells, known)
        if len(checks.faults) == before:
            rows.append(row)
            places.append(number + count)
    _propagate(slots, rows)
    slots |= {name: value for name, value in others.items() if name in known}
    mapping_set = MappingSet(prefixes, slots, rows, extensions)
    unused = [name for name in columns if name not in ROW_SLOTS and name not in known]
    return Reading(mapping_set, places, checks.faults, columns, unused, header[0])


def _decoded(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid((f"ligne {line}", "ce n'est pas de l'UTF-8", f"octet 0x{data[error.start]:02X}", "UTF-8")) from (
            error
        )
    if text.startswith("\ufeff"):
        raise _invalid(("ligne 1", "le fichier commence par une marque d'ordre (BOM)", "", "UTF-8 sans BOM"))
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise _invalid((f"ligne {line}", "caractère nul", "", "du texte"))
    return text


def _invalid(*found: tuple[str, str, str, str]) -> Invalid:
    problems = [Problem(RULE, message, (), where, value[:300], accepted) for where, message, value, accepted in found]
    return Invalid(problems[:LISTED], len(problems))


def _parts(text: str) -> tuple[str, str, int]:
    """The metadata without their marks, the table, and how many lines the metadata take."""
    lines: list[str] = []
    place = 0
    while text.startswith("#", place):
        end = text.find("\n", place)
        end = len(text) if end < 0 else end + 1
        lines.append(text[place:end])
        place = end
        if place > _MOST_METADATA:
            raise _invalid(("ligne 1", "trop de métadonnées", "", f"{_MOST_METADATA >> 10} Kio au plus"))
    indent = min((len(_SPACES.match(line)[1]) for line in lines), default=0)  # type: ignore[index]  # Each has a mark.
    return "".join(line[1 + indent :] for line in lines).replace("\r\n", "\n"), text[place:], len(lines)


def _header(line: int, cells: list[str]) -> list[str]:
    missing = [name for name in _REQUIRED if name not in cells]
    if missing:
        where, named = f"ligne {line}", ", ".join(cells)
        raise _invalid(*[(where, f"colonne {name} absente", named, ", ".join(_REQUIRED)) for name in missing])
    repeated = sorted({name for name in cells if cells.count(name) > 1})
    if repeated:
        raise _invalid((f"ligne {line}", "colonne répétée", ", ".join(repeated), "des noms de colonnes distincts"))
    return cells


class _Metadata:
    """Reads the YAML of a file: what is no mapping set is told to ``problems``."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def _refuse(self, node: yaml.Node | None, message: str, value: str = "", accepted: str = "") -> None:
        where = f"ligne {node.start_mark.line + 1}" if node else "ligne 1"
        self._problems.append(Problem(RULE, message, (), where, value[:300], accepted))

    def read(self, text: str) -> tuple[dict[str, Value], dict[str, str], list[Extension], dict[str, Value]]:
        """The slots of the set, its prefixes, its extensions, and whatever else is said."""
        slots: dict[str, Value] = {}
        others: dict[str, Value] = {}
        prefixes: dict[str, str] = {}
        extensions: list[Extension] = []
        for key, node in self._pairs(self._tree(text)):
            if key == "curie_map":
                prefixes = self._prefixes(node)
            elif key == "extension_definitions":
                extensions = self._extensions(node)
            elif key in SET_SLOTS:
                slots |= self._value(key, node)
            elif isinstance(node, yaml.ScalarNode):
                others[key] = node.value
        for name in _REQUIRED_OF_SET:
            if not slots.get(name):
                self._refuse(None, f"{name} absent des métadonnées", accepted=f"#{name}: …")
        return slots, prefixes, self._declared(extensions, prefixes), others

    def _tree(self, text: str) -> yaml.Node | None:
        try:
            depth = 0
            for token in yaml.scan(text, Loader=yaml.BaseLoader):
                depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
                # Its scanner takes a time that grows with the square of the depth: nothing here is nested so.
                if isinstance(token, _NOT_TAKEN) or depth > _DEEPEST:
                    where = f"ligne {token.start_mark.line + 1}"
                    message = "ancre, alias, étiquette ou directive YAML, ou trop de niveaux"
                    raise _invalid((where, message, "", "du YAML simple"))
            return yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise _invalid(
                (f"ligne {line}", "les métadonnées ne sont pas du YAML", "", "du YAML derrière #")
            ) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise _invalid(("ligne 1", _NOT_YAML, "", "du YAML derrière #")) from error

    def _pairs(self, node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, "ce ne sont pas des paires « nom: valeur »", accepted="#nom: valeur")
            return
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                self._refuse(key, "nom répété ou qui n'en est pas un", name, "chaque nom une fois")
                continue
            seen.add(key.value)
            yield key.value, value

    def _value(self, slot: str, node: yaml.Node) -> dict[str, Value]:
        several = isinstance(node, yaml.SequenceNode)
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) for item in items) or (several and slot not in _SEVERAL):
            self._refuse(node, f"{slot} n'est pas une valeur simple", accepted="un texte, ou une liste de textes")
            return {}
        values = tuple(item.value for item in items if item.value)
        return ({slot: values if slot in _SEVERAL else values[0]}) if values else {}

    def _prefixes(self, node: yaml.Node) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in self._pairs(node):
            iri = value.value if isinstance(value, yaml.ScalarNode) else ""
            if not _NCNAME.fullmatch(name) or not _IRI.fullmatch(iri):
                self._refuse(value, "préfixe mal déclaré", f"{name}: {iri}", "un nom, et le début d'une adresse (IRI)")
            elif BUILT_IN.get(name, iri) != iri:
                self._refuse(value, f"le préfixe {name} a un sens fixé par la norme", iri, BUILT_IN[name])
            elif name not in BUILT_IN:
                found[name] = iri
        return found

    def _extensions(self, node: yaml.Node) -> list[Extension]:
        found = []
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            values = {key: value.value for key, value in self._pairs(item) if isinstance(value, yaml.ScalarNode)}
            # The standard has readers pass over a definition with other keys.
            if set(values) <= set(Extension._fields) and _NCNAME.fullmatch(values.get("slot_name", "")):
                found.append(Extension(**values))
        return found

    @staticmethod
    def _declared(extensions: list[Extension], prefixes: Mapping[str, str]) -> list[Extension]:
        """The definitions whose properties can be resolved, each slot once; the standard has the others passed over."""
        found: dict[str, Extension] = {}
        for extension in extensions:
            curies = [curie for curie in extension[1:] if curie]
            resolved = all(
                (match := _CURIE.fullmatch(curie)) and (match[1] in BUILT_IN or match[1] in prefixes)
                for curie in curies
            )
            if resolved and extension.slot_name not in (*SET_SLOTS, *ROW_SLOTS):
                found.setdefault(extension.slot_name, extension)
        return list(found.values())


class _Checks:
    """Looks at the cells of a table, and keeps what is wrong with them."""

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        self._prefixes = prefixes
        self.faults: list[Fault] = []

    def row(
        self, line: int, columns: Sequence[str], cells: Sequence[str], known: Mapping[str, Extension]
    ) -> dict[str, Value]:
        """A row's slots that have a value."""
        if len(cells) != len(columns):
            message = f"{len(cells)} cellules pour {len(columns)} colonnes"
            self.faults.append(Fault(line, columns[0], cells[0], message, "autant de cellules que l'en-tête"))
            return {}
        found: dict[str, Value] = {}
        for slot, cell in zip(columns, cells, strict=True):
            if cell and (slot in ROW_SLOTS or slot in known):
                value: Value = tuple(filter(None, split_cell(cell))) if slot in _SEVERAL else cell
                if value:
                    found[slot] = value
                self.slot(line, slot, value)
        for slot in _REQUIRED:
            if slot not in found:
                self.faults.append(Fault(line, slot, "", f"{slot} est vide", "une valeur sur chaque ligne"))
        if found.get("review_date") and not (found.get("reviewer_id") or found.get("reviewer_label")):
            accepted = "reviewer_id ou reviewer_label avec review_date"
            self.faults.append(Fault(line, "review_date", str(found["review_date"]), "relu sans relecteur", accepted))
        return found

    def slot(self, line: int, slot: str, value: Value) -> None:
        """See that a value is what its slot takes."""
        for text in (value,) if isinstance(value, str) else value:
            if wrong := self._wrong(slot, text):
                self.faults.append(Fault(line, slot, text[:300], *wrong))

    def _wrong(self, slot: str, text: str) -> tuple[str, str] | None:
        if slot in _REFERENCES:
            match = _CURIE.fullmatch(text)
            if match is None:
                return "ce n'est pas un CURIE", "préfixe:référence, le préfixe déclaré dans curie_map"
            if match[1] not in BUILT_IN and match[1] not in self._prefixes:
                return f"préfixe {match[1]} non déclaré", ", ".join(sorted({*BUILT_IN, *self._prefixes}))
        elif slot in _DAYS and not is_day(text):
            return "date mal écrite", "AAAA-MM-JJ"
        elif slot in _SHARES and not is_share(text):
            return "nombre attendu", "un nombre de 0 à 1, avec un point"
        elif slot in _ONE_OF and text not in _ONE_OF[slot]:
            return "valeur inconnue", ", ".join(_ONE_OF[slot])
        return None


def _propagate(slots: dict[str, Value], rows: Sequence[dict[str, Value]]) -> None:
    """Give the rows what the metadata say for all of them: where no row says it itself."""
    if not rows:
        return
    for slot in PROPAGATED & set(slots):
        if not any(slot in row for row in rows):
            value = slots.pop(slot)
            for row in rows:
                row[slot] = value


def write(mapping_set: MappingSet) -> Iterator[bytes]:
    """A mapping set as canonical SSSOM/TSV."""
    rows = [{slot: _rounded(slot, value) for slot, value in row.items()} for row in mapping_set.rows]
    slots = {slot: _rounded(slot, value) for slot, value in mapping_set.slots.items()}
    for slot in PROPAGATED if rows else ():
        common = rows[0].get(slot)
        if common and slots.get(slot, common) == common and all(row.get(slot) == common for row in rows):
            slots[slot] = common
            for row in rows:
                del row[slot]
    used = {slot for row in rows for slot in row} | set(slots)
    extensions = sorted(
        (extension for extension in mapping_set.extensions if extension.slot_name in used),
        key=lambda extension: (extension.property, extension.slot_name),
    )
    columns = [slot for slot in ROW_SLOTS if slot in _REQUIRED or any(slot in row for row in rows)]
    columns += [item.slot_name for item in extensions if any(item.slot_name in row for row in rows)]
    yield _metadata(mapping_set.prefixes, slots, rows, extensions).encode()
    yield _line(columns)
    cells = sorted([[_cell(slot, row.get(slot, "")) for slot in columns] for row in rows])
    for start in range(0, len(cells), 500):
        yield b"".join(map(_line, cells[start : start + 500]))


def _rounded(slot: str, value: Value) -> Value:
    if slot not in _SHARES or not isinstance(value, str):
        return value
    rounded = Decimal(value).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return f"{rounded:f}".rstrip("0").rstrip(".")


def _cell(slot: str, value: Value) -> str:
    return join_cell((value,) if isinstance(value, str) else value) if slot in _SEVERAL else str(value)


def _line(cells: Sequence[str]) -> bytes:
    shown = ['"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in '"\t\r\n') else cell for cell in cells]
    return ("\t".join(shown) + "\n").encode()


def _metadata(
    prefixes: Mapping[str, str],
    slots: Mapping[str, Value],
    rows: Sequence[Mapping[str, Value]],
    extensions: Sequence[Extension],
) -> str:
    curies = [curie for extension in extensions for curie in extension[1:]]
    for row in (slots, *rows):
        for slot in _REFERENCES & set(row):
            value = row[slot]
            curies += [value] if isinstance(value, str) else value
    used = {curie.partition(":")[0] for curie in curies}
    lines = []
    if named := sorted(name for name in used if name in prefixes and name not in BUILT_IN):
        lines += ["curie_map:", *(f"  {_scalar(name)}: {_scalar(prefixes[name])}" for name in named)]
    own = [extension.slot_name for extension in extensions if extension.slot_name in slots]
    for slot in SET_SLOTS:
        if slot in slots:
            lines += _said(slot, slots[slot])
    if extensions:
        lines.append("extension_definitions:")
        for extension in extensions:
            pairs = [f"{key}: {_scalar(text)}" for key, text in extension._asdict().items() if text]
            lines += [("  - " if place == 0 else "    ") + pair for place, pair in enumerate(pairs)]
    for slot in own:
        lines += _said(slot, slots[slot])
    return "".join(f"#{line}\n" for line in lines)


def _said(slot: str, value: Value) -> list[str]:
    if slot in _SEVERAL:
        return [f"{slot}:", *(f"  - {_scalar(text)}" for text in ((value,) if isinstance(value, str) else value))]
    return [f"{slot}: {_scalar(str(value), plain=slot in _DAYS or slot in _SHARES)}"]


def _scalar(text: str, *, plain: bool = False) -> str:
    """A text in YAML: plain where it is read back as the text that it is, else in double quotes."""
    if plain:
        return text
    read_as = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # Untyped there.
    ordinary = text.isprintable() and not _NOT_PLAIN.match(text) and not _A_NUMBER.fullmatch(text)
    if text and ordinary and read_as == "tag:yaml.org,2002:str":
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04X}", quoted)


def write_crosswalk(crosswalk: Crosswalk) -> Iterator[bytes]:
    """A crosswalk as canonical SSSOM/TSV: the codes that were reviewed."""
    return write(mapping_set(crosswalk))


def mapping_set(crosswalk: Crosswalk) -> MappingSet:
    """A crosswalk as a mapping set."""
    labels = {item.code: item.label for item in crosswalk.codes}
    shared: dict[str, Value] = {
        "subject_source": f"socle:{crosswalk.list_iri.removeprefix(crosswalk.registry)}",
        "object_source": f"socle:{crosswalk.nomenclature.slug}",
        "object_source_version": crosswalk.release,
    }
    if crosswalk.list_edition:
        shared["subject_source_version"] = str(crosswalk.list_edition)
    rows = []
    for item in crosswalk.mappings:
        found = item.relation != "noMatch"
        given: dict[str, str] = {
            "subject_id": f"local:{quote(item.local_code, safe='')}",
            "subject_label": labels.get(item.local_code, ""),
            "predicate_id": f"skos:{item.relation}" if found else "skos:mappingRelation",
            "object_id": f"concept:{item.target_code}" if found else NO_TERM_FOUND,
            "object_label": crosswalk.labels.get(item.target_code, ""),
            "mapping_justification": item.justification,
            "mapping_cardinality": "" if found else "1:0",
            "mapping_date": item.date,
            "confidence": item.confidence,
            "comment": item.comment,
            "covers": "true" if item.covers else "",
            "weight": item.weight,
            "status": "mapped" if found else "noMatch",
        }
        row: dict[str, Value] = {slot: text for slot, text in given.items() if text}
        row |= {
            slot: (name,) for slot, name in (("author_label", item.author), ("reviewer_label", item.reviewer)) if name
        }
        rows.append(shared | row)
    return MappingSet(
        {
            "socle": crosswalk.registry,
            "local": f"{crosswalk.list_iri}/",
            "concept": f"{crosswalk.nomenclature.iri}/",
        },
        _heading(crosswalk),
        rows,
        [
            Extension("covers", "socle:-/sssom/covers", "xsd:boolean"),
            Extension("status", "socle:-/sssom/status", "xsd:string"),
            Extension("weight", "socle:-/sssom/weight", "xsd:decimal"),
        ],
    )


def _heading(crosswalk: Crosswalk) -> dict[str, Value]:
    edition = str(crosswalk.edition) if crosswalk.edition else ""
    given: dict[str, str] = {
        "sssom_version": "1.1",
        "mapping_set_id": crosswalk.iri + (f"@{edition}" if edition else ""),
        "mapping_set_version": edition,
        "mapping_set_title": crosswalk.title,
        "license": crosswalk.license or _UNSPECIFIED_LICENSE,
        "publication_date": crosswalk.issued.date().isoformat() if crosswalk.issued else "",
    }
    found: dict[str, Value] = {slot: text for slot, text in given.items() if text}
    return found | ({"creator_label": (crosswalk.author,)} if crosswalk.author else {})
