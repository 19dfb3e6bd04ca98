"""genericode 1.0 out and in: the table of a release in the XML of OASIS, for invoicing and procurement software.

The columns are those of the CSV, and hold the same cells, so nothing of a release is lost but the labels of groups. A
file of others needs a key of one column; beside it, what is read is the first column that is called by a name, and one
that is called description or definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from registry.errors import Invalid, Problem
from registry.formats import tabular
from registry.formats.markup import HEADING, RULE, Element, escaped, quoted, root
from registry.formats.tabular import Table
from registry.model import Content, Nomenclature, Release
from registry.sandbox import REQUEST_LIMITS, Limits

NAMESPACE = "http://docs.oasis-open.org/codelist/ns/genericode/1.0/"

_DATES = ("date_debut", "date_fin")
_LABELS = ("libelle", "libellé", "label", "name", "nom", "title", "intitule")
_DEFINITIONS = ("definition", "définition", "description")
_KEY = "cle"
_AT_ONCE = 200


def write(release: Release) -> Iterator[bytes]:
    """The release as a genericode code list, one row a concept, by code; an empty cell is left out."""
    names = tabular.header(release)
    yield (HEADING + f'<gc:CodeList xmlns:gc="{NAMESPACE}">\n' + _identification(release) + _columns(names)).encode()
    yield b"  <SimpleCodeList>\n"
    opening = [f"      <Value ColumnRef={quoted(_id(name))}><SimpleValue>" for name in names]
    rows = (
        "    <Row>\n"
        + "".join(
            f"{start}{escaped(cell)}</SimpleValue></Value>\n" for start, cell in zip(opening, row, strict=True) if cell
        )
        + "    </Row>\n"
        for row in tabular.table_rows(release)
    )
    while some := "".join(islice(rows, _AT_ONCE)):
        yield some.encode()
    yield b"  </SimpleCodeList>\n</gc:CodeList>\n"


def _identification(release: Release) -> str:
    found = release.nomenclature
    titles = "".join(
        f"    <LongName xml:lang={quoted(language)}>{escaped(title)}</LongName>\n" for language, title in found.title
    )
    agency = f"    <Agency>\n      <Identifier>{escaped(found.publisher)}</Identifier>\n    </Agency>\n"
    return (
        f"  <Identification>\n    <ShortName>{escaped(found.slug)}</ShortName>\n{titles}"
        f"    <Version>{escaped(release.version or 'projet')}</Version>\n"
        f"    <CanonicalUri>{escaped(found.iri)}</CanonicalUri>\n"
        f"    <CanonicalVersionUri>{escaped(f'{found.iri}@{release.version}')}</CanonicalVersionUri>\n"
        f"{agency if found.publisher else ''}  </Identification>\n"
    )


def _columns(names: list[str]) -> str:
    columns = "".join(
        f'    <Column Id={quoted(_id(name))} Use="{"required" if name in ("code", "statut") else "optional"}">\n'
        f"      <ShortName>{escaped(name)}</ShortName>\n"
        f'      <Data Type="{"date" if name in _DATES else "string"}"/>\n    </Column>\n'
        for name in names
    )
    key = f'    <Key Id="{_KEY}">\n      <ShortName>{_KEY}</ShortName>\n      <ColumnRef Ref="code"/>\n    </Key>\n'
    return f"  <ColumnSet>\n{columns}{key}  </ColumnSet>\n"


def _id(name: str) -> str:
    """The name of a column as an XML identifier, in which no ``@`` may stand."""
    return name.replace("@", ".")


def read(data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS) -> Content:
    """A state from a genericode code list, as ``write`` gives it or as others do.

    :raises Invalid: with the line, the column, the value and what is accepted, for the first hundred problems.
    :raises TooLarge: beyond the limits.
    """
    found = root(data, limits)
    if (found.namespace, found.name) != (NAMESPACE, "CodeList"):
        accepted = f"gc:CodeList, dans l'espace de noms {NAMESPACE}"
        raise _refused("l'élément racine n'est pas une liste de codes genericode", found, found.name, accepted)
    # A column may also be named by reference to another file (ColumnRef): it has its place, but no name here.
    columns = {}
    for column in (child for table in found.each("ColumnSet") for child in table.children):
        name = column.attributes.get("Id", "")
        if column.name in ("Column", "ColumnRef"):
            columns[name] = (column.text_of("ShortName") or name) if column.name == "Column" else ""
    if not {"code", "libelle"} <= {*columns.values()}:
        columns = _columns_of_others(found, columns)
    table = next(found.each("ColumnSet"), found)
    return tabular.content(Table(table.place, _rows(found, columns)))


def _columns_of_others(found: Element, columns: dict[str, str]) -> dict[str, str]:
    """The name that each column which is read has in our tables: code, label and definition."""
    keys = [[ref.attributes.get("Ref", "") for ref in key.each("ColumnRef")] for key in found.each("ColumnSet", "Key")]
    key = next((refs[0] for refs in keys if len(refs) == 1 and refs[0] in columns), "")
    if not key:
        accepted = "un Key d'une seule colonne du ColumnSet"
        raise _refused("aucune clé ne désigne la colonne des codes", found, ", ".join(columns.values()), accepted)
    if not columns[key]:
        raise _refused("la clé désigne une colonne décrite dans un autre fichier", found, key, "un Column du ColumnSet")
    chosen = {key: "code"}
    for name, known in (("libelle", _LABELS), ("definition", _DEFINITIONS)):
        for column, short in columns.items():
            words = {column.lower(), short.strip().lower()}
            if short and column not in chosen and name not in chosen.values() and words & {*known}:
                chosen[column] = name
    # Columns that stay as they are were named: what is not chosen is not read.
    return {column: chosen.get(column, "") for column in columns}


def _rows(found: Element, columns: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    order = [*columns]
    for row in found.each("SimpleCodeList", "Row"):
        cells = dict.fromkeys(filter(None, columns.values()), "")
        place = -1
        for value in row.each("Value"):
            # A value without ColumnRef is of the column after the one before.
            named = value.attributes.get("ColumnRef", order[place + 1] if place + 1 < len(order) else "")
            if named not in columns:
                raise _refused("valeur d'une colonne inconnue", value, named, ", ".join(order))
            place = order.index(named)
            if columns[named]:
                cells[columns[named]] = value.text_of("SimpleValue")
        yield row.place, cells


def _refused(message: str, element: Element, value: str, accepted: str) -> Invalid:
    return Invalid([Problem(RULE, message, (), element.place, value[:300], accepted)])
