"""Recoding a file on a page: choose the column, see ten rows, take the file and the report. The server keeps none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, Response, request

from api import current
from api.pages import uploads
from api.pages.rendering import form
from api.pages.uploads import Upload
from api.pages.wording import sentence
from registry.errors import Busy, Invalid, NotFound, TooLarge
from registry.model import Nomenclature, today
from registry.recoding import Plan, files, memory
from registry.recoding.memory import RecodedFile, Table
from registry.recoding.rule import STATUSES
from registry.store import Store

SHOWN = 10
"""How many rows of the file, and of what it becomes, are shown."""

FIELDS = (
    (uploads.FILE, "Fichier"),
    ("colonne", "Colonne des codes"),
    ("de", "Vos codes sont ceux de"),
    ("vers", "Les recoder vers"),
    ("niveau", "Niveau"),
    ("plusieurs", "Quand plusieurs concepts répondent à un code"),
    ("poids", "Poids"),
    ("dates", "Colonne de dates"),
    ("selon", "Ce que la date décide"),
    ("le", "Lire au"),
    ("masque", "Masquer les petits effectifs"),
)
"""The fields of the form, as they are called in it and on the page."""

ON_MANY = {"empty": "laisser la case vide", "rows": "écrire une ligne par concept", "error": "refuser le fichier"}
WEIGHTS = {"published": "ceux qui sont publiés", "equal": "parts égales"}
BY = {"release": "la version en vigueur ce jour-là", "law": "jusqu’où suivre la filiation"}

_LONGEST = 300
_DEEPEST, _LARGEST_MASK = 50, 1_000_000


@dataclass(frozen=True)
class Ends:
    """What can be recoded, and to what: local lists with a published table, nomenclatures with their releases."""

    lists: list[tuple[str, str]]
    nomenclatures: list[tuple[Nomenclature, list[str]]]


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/recodage", "recoding", choose)
    pages.add_url_rule("/recodage", "recode", recode, methods=["POST"])


def choose() -> Response:
    """The first step: which file."""
    return form("recoding.html", **_shown({}, {}))


def recode() -> Response:
    """The next step: the columns of the file, what it becomes, the recoded file, or the report."""
    typed = {name: request.form.get(name, "").strip()[:_LONGEST] for name, _ in FIELDS}
    # The name of a column is what stands in the file, blanks and all.
    typed |= {name: request.form.get(name, "")[:_LONGEST] for name in ("colonne", "dates")}
    upload, wrong = uploads.sent()
    if upload is None:
        return form("recoding.html", 422, **_shown(typed, {uploads.FILE: wrong}))
    try:
        table = memory.table(upload.data)
    except (Invalid, TooLarge, Busy) as error:
        status = 413 if isinstance(error, TooLarge) else 503 if isinstance(error, Busy) else 422
        return form("recoding.html", status, **_shown(typed, {uploads.FILE: _told(error)}))
    if request.form.get("faire") == "lire":
        typed["colonne"] = typed["colonne"] or _likely(table)
        return form("recoding.html", **_shown(typed, {}, upload, table))
    plan, errors = _plan(typed, table)
    if plan is None:
        return form("recoding.html", 422, **_shown(typed, errors, upload, table))
    try:
        found = memory.recode(current.store(), plan, upload.data)
    except (Invalid, NotFound, TooLarge, Busy) as error:
        place = _place(error)
        return form("recoding.html", 422, **_shown(typed, {place: _told(error)}, upload, table))
    if request.form.get("faire") == "fichier":
        return _file(found.data, found.media_type, f"recodage.{found.extension}")
    if request.form.get("faire") == "rapport":
        return _file(found.report.page().encode(), "text/html; charset=utf-8", "recodage-rapport.html")
    return form("recoding.html", **_shown(typed, {}, upload, table, found))


def _shown(
    typed: dict[str, str],
    errors: dict[str, str],
    upload: Upload | None = None,
    table: Table | None = None,
    found: RecodedFile | None = None,
) -> dict[str, Any]:
    return {
        "typed": {name: typed.get(name, "") for name, _ in FIELDS},
        "errors": errors,
        "fields": FIELDS,
        "upload": upload,
        "table": table,
        "columns": [(name, name) for name in table.header if name] if table else [],
        "found": found,
        "report": found.report.document() if found else {},
        "ends": _ends(current.store()) if table else None,
        "most": SHOWN,
        "statuses": STATUSES,
        "on_many": ON_MANY,
        "weights": WEIGHTS,
        "by": BY,
        "today": today(),
    }


def _ends(store: Store) -> Ends:
    titles = {(one.code_list.organisation, one.code_list.slug): one.code_list.title for one in store.list_editions()}
    names = {one.slug: one.name for one in store.organisations()}
    lists = {
        f"{one.organisation}/{one.code_list}": f"{names[one.organisation]} – {titles[one.organisation, one.code_list]}"
        for one in store.crosswalk_editions()
    }
    nomenclatures = [(one, [each.version for each in store.editions(one.slug)]) for one in store.nomenclatures()]
    return Ends(sorted(lists.items(), key=lambda pair: pair[1]), [pair for pair in nomenclatures if pair[1]])


def _plan(typed: dict[str, str], table: Table) -> tuple[Plan | None, dict[str, str]]:
    """What is asked for; or, by field, why it can't be."""
    errors: dict[str, str] = {}
    if typed["colonne"] not in table.header:
        errors["colonne"] = "Choisissez la colonne des codes."
    if typed["dates"] and typed["dates"] not in table.header:
        errors["dates"] = "Choisissez une colonne du fichier."
    for end in ("de", "vers"):
        if not typed[end]:
            errors[end] = "Choisissez une liste ou une nomenclature."
    level, mask = _whole(typed, "niveau", _DEEPEST, errors), _whole(typed, "masque", _LARGEST_MASK, errors)
    at = today()
    if typed["le"]:
        try:
            at = date.fromisoformat(typed["le"])
        except ValueError:
            errors["le"] = "Donnez un jour, tel que 2026-01-31."
    if errors:
        return None, errors
    plan = Plan(
        typed["colonne"],
        typed["de"],
        typed["vers"],
        level=level or None,
        date_column=typed["dates"],
        by="law" if typed["dates"] and typed["selon"] == "law" else "release",
        on_many="rows" if typed["plusieurs"] == "rows" else "error" if typed["plusieurs"] == "error" else "empty",
        weights="equal" if typed["poids"] == "equal" else "published",
        mask_under=mask,
        at=at,
    )
    return plan, {}


def _whole(typed: dict[str, str], name: str, most: int, errors: dict[str, str]) -> int:
    text = typed[name]
    if text and not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= most):
        errors[name] = f"Un nombre entier, {most} au plus."
        return 0
    return int(text or 0)


def _likely(table: Table) -> str:
    """The first column that is called a code, to begin with."""
    return next((name for name in table.header if "code" in name.casefold()), "")


def _place(error: Exception) -> str:
    """The field that an error is about."""
    if isinstance(error, Invalid):
        rules = {problem.rule for problem in error.problems}
        if files.COLUMNS_RULE in rules:
            return "colonne"
        if "recoding_has_one_target" in rules:
            return "plusieurs"
        if "data_file_is_readable" in rules:
            return uploads.FILE
    return uploads.FILE if isinstance(error, TooLarge | Busy) else "vers"


def _told(error: Exception) -> str:
    """What is wrong, in French; codes are told, since whoever mends the file needs them, and nothing else of it."""
    if isinstance(error, Invalid):
        told = []
        for problem in error.problems[:10]:
            where = ", ".join(filter(None, (problem.where, *problem.codes)))
            told.append((f"{where}\u00a0: " if where else "") + sentence(problem))
        return " ".join(told)
    if isinstance(error, NotFound):
        return "Rien ne mène de l’un à l’autre ce jour-là\u00a0: aucune table ou version publiée n’y répond."
    if isinstance(error, Busy):
        return "D’autres classeurs sont en cours de lecture. Réessayez dans un instant."
    return f"Trop grand\u00a0: {error}."


def _file(body: bytes, media_type: str, name: str) -> Response:
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response
