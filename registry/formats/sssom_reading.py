"""Reading SSSOM/TSV strictly: the rows that are as the standard says, and each fault of the others with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import yaml

from registry.crosswalks import is_day, is_share
from registry.errors import Invalid, Problem
from registry.formats.sssom_slots import (
    BUILT_IN,
    DAYS,
    ONE_OF,
    PROPAGATED,
    REFERENCES,
    REQUIRED,
    REQUIRED_OF_SET,
    ROW_SLOTS,
    RULE,
    SET_SLOTS,
    SEVERAL,
    SHARES,
    Extension,
    MappingSet,
    Value,
)
from registry.formats.tabular import records, split_cell
from registry.rules import LISTED

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
    missing = [name for name in REQUIRED if name not in cells]
    if missing:
        where, named = f"ligne {line}", ", ".join(cells)
        raise _invalid(*[(where, f"colonne {name} absente", named, ", ".join(REQUIRED)) for name in missing])
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
        for name in REQUIRED_OF_SET:
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
        if not all(isinstance(item, yaml.ScalarNode) for item in items) or (several and slot not in SEVERAL):
            self._refuse(node, f"{slot} n'est pas une valeur simple", accepted="un texte, ou une liste de textes")
            return {}
        values = tuple(item.value for item in items if item.value)
        return ({slot: values if slot in SEVERAL else values[0]}) if values else {}

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
                value: Value = tuple(filter(None, split_cell(cell))) if slot in SEVERAL else cell
                if value:
                    found[slot] = value
                self.slot(line, slot, value)
        for slot in REQUIRED:
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
        if slot in REFERENCES:
            match = _CURIE.fullmatch(text)
            if match is None:
                return "ce n'est pas un CURIE", "préfixe:référence, le préfixe déclaré dans curie_map"
            if match[1] not in BUILT_IN and match[1] not in self._prefixes:
                return f"préfixe {match[1]} non déclaré", ", ".join(sorted({*BUILT_IN, *self._prefixes}))
        elif slot in DAYS and not is_day(text):
            return "date mal écrite", "AAAA-MM-JJ"
        elif slot in SHARES and not is_share(text):
            return "nombre attendu", "un nombre de 0 à 1, avec un point"
        elif slot in ONE_OF and text not in ONE_OF[slot]:
            return "valeur inconnue", ", ".join(ONE_OF[slot])
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
