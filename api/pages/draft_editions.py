"""Preparing an edition of a crosswalk: an organisation's own file in, codes decided one by one, then publication."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Blueprint, Response, request, url_for

from api import access, current
from api.pages import uploads
from api.pages.crosswalks import ADDRESS, kept_by, led, to
from api.pages.rendering import form
from api.pages.shown import version_of
from api.pages.wording import ROLES_OF_COLUMNS, TARGETS, sentence
from registry import access as registry_access
from registry import draft_editions, draft_files, editions, finding, importing, staleness
from registry.crosswalks import RELATIONS, CodeList, Crosswalk, LocalCode
from registry.draft_editions import Choice, Said
from registry.errors import Busy, Conflict, Invalid, NotFound, Problem, SocleError, Stale, TooLarge
from registry.formats import crosswalk_workbook, spreadsheet
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.importing import Imported
from registry.model import preferred, today
from registry.rules import LISTED
from registry.search import Index
from registry.store import Store
from registry.store.crosswalks import ListEdition
from registry.store.draft_editions import CrosswalkName, DraftEdition, DraftMapping, DraftRow

if TYPE_CHECKING:
    from registry.candidates import Candidate

PER_PAGE = 20
STATES = ("unreviewed", "mapped", "noMatch")
MOST_ORDERED = 500
"""Up to so many codes to examine are shown by how sure their candidates are; more, by code, since it takes long."""
MOST_OFFERED = 1_000
"""Up to so many concepts are offered while a code is typed."""

IMPORT_FIELDS = (
    ("organisme", "Organisme"),
    ("liste", "Nom court de la liste"),
    ("intitule", "Intitulé de la liste"),
    ("nomenclature", "Nomenclature"),
    ("version", "Version"),
    (uploads.FILE, "Fichier"),
    ("feuille", "Feuille"),
    ("relation", "Relation par défaut"),
    *((f"colonne-{role}", f"Colonne « {told} »") for role, told in ROLES_OF_COLUMNS.items()),
)
"""The fields of the form of importing, as they are called in addresses and on the page."""

PUBLICATION_FIELDS = (
    ("depuis", "Applicable depuis le"),
    ("auteur", "Auteur"),
    ("licence", "Licence"),
    ("intitule", "Intitulé de la liste"),
)

_PROJECT = f"{ADDRESS}/projet"
_LONGEST = 2_000
_NAMING = re.compile(r'--column (\w+)="(.*)"')
_KEEP, _LATER, _NONE, _OTHER = "garder", "tard", "aucun", "autre"


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/correspondances/importer", "crosswalk_import", import_form)
    pages.add_url_rule("/correspondances/importer", "import_crosswalk", import_file, methods=["POST"])
    pages.add_url_rule("/correspondances/modele", "crosswalk_template", template)
    pages.add_url_rule(_PROJECT, "draft_edition", draft)
    pages.add_url_rule(_PROJECT, "decide", decide, methods=["POST"])
    pages.add_url_rule(f"{_PROJECT}/accepter", "accept", accept, methods=["POST"])
    pages.add_url_rule(f"{_PROJECT}/abandonner", "discard_edition", discard, methods=["POST"])
    pages.add_url_rule(f"{_PROJECT}/publication", "edition_publication", publication)
    pages.add_url_rule(f"{_PROJECT}/publication", "publish_edition", publish, methods=["POST"])


# --- Importing -----------------------------------------------------------------------------------------------------


def import_form() -> Response:
    """The form, filled in as far as the address tells; only for whoever keeps the tables of an organisation."""
    if not access.actor().person:
        return led(url_for("pages.sign_in", suite="importer"))
    registry_access.allow(access.actor(), "crosswalk.write")
    return _import_page({name: request.args.get(name, "").strip()[:200] for name, _ in IMPORT_FIELDS})


def import_file() -> Response:
    """Read the file: say what it would do, give its refused rows back, or let the draft hold what it says."""
    store = current.store()
    typed = {name: request.form.get(name, "").strip()[:_LONGEST] for name, _ in IMPORT_FIELDS}
    name = CrosswalkName(typed["organisme"], typed["liste"], typed["nomenclature"])
    with draft_editions.reading(store, name, access.actor()):
        upload, wrong = uploads.sent()
        errors = {} if upload else {uploads.FILE: wrong}
        if not typed["liste"]:
            errors["liste"] = "Donnez un nom court à la liste."
        if typed["nomenclature"] not in {one.slug for one in store.nomenclatures()}:
            errors["nomenclature"] = "Choisissez une nomenclature."
        if upload is None or errors:
            return _import_page(typed, errors=errors, upload=upload, status=422)
        try:
            return _imported(name, typed, upload)
        except (Invalid, NotFound, TooLarge, Busy) as error:
            status = 413 if isinstance(error, TooLarge) else 503 if isinstance(error, Busy) else 422
            return _import_page(typed, errors=_import_errors(error), upload=upload, status=status)


def _imported(name: CrosswalkName, typed: dict[str, str], upload: uploads.Upload) -> Response:
    """What the answer to a file is, once everything that was typed beside it can be followed."""
    store, asked = current.store(), request.form.get("faire")
    said = Said(_asked_release(store, name, typed), title=typed["intitule"] or None)
    imported = draft_files.read(
        store,
        name,
        upload.data,
        said,
        file=upload.name,
        columns=_columns(typed),
        relation=typed["relation"] if typed["relation"] in RELATIONS else "",
        sheet=typed["feuille"],
    )
    if asked == "refus" and imported.refusals:
        return _refused_rows(upload.data, imported)
    given = draft_files.given(imported)
    found = draft_files.change(store, name, given, said)
    result = {"imported": imported, "change": found, "report": draft_files.report_document(store, imported, found)}
    if asked != "enregistrer" or found.problems:
        return _import_page(typed, upload=upload, result=result, status=422 if found.problems else 200)
    drop = request.form.get("abandonner") == "oui"
    try:
        draft_files.put(store, name, given, said, actor=access.actor(), drop=drop, revision=_given_number("revision"))
    except Stale:
        return _import_page(typed, upload=upload, result=result, stale=True, status=412)
    except Conflict:
        return _import_page(typed, upload=upload, result=result, must_say=True, status=409)
    return to("pages.draft_edition", name)


def template() -> Response:
    """An empty workbook to fill in, with the relations and the concepts of a nomenclature to choose from."""
    store, slug = current.store(), request.args.get("nomenclature", "").strip()
    release = store.in_force(slug, today()).version
    made = Crosswalk(
        CodeList("organisme", "liste", "Modèle"),
        store.heading(slug, release),
        release,
        (),
        (),
        editions.choices(store, slug, release, ()),
    )
    response = Response(b"".join(crosswalk_workbook.write(made)), mimetype=spreadsheet.MEDIA_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="modele-{slug}-{release}.xlsx"'
    return response


def _import_page(
    typed: dict[str, str],
    *,
    errors: dict[str, str] | None = None,
    upload: uploads.Upload | None = None,
    result: dict[str, Any] | None = None,
    stale: bool = False,
    must_say: bool = False,
    status: int = 200,
) -> Response:
    store, actor = current.store(), access.actor()
    names = {one.slug: one.name for one in store.organisations()}
    mine = kept_by(actor)
    lists: list[ListEdition | DraftEdition] = []
    for organisation in sorted(mine):
        lists += [*store.list_editions(organisation), *store.draft_editions(organisation)]
    known = {(one.code_list.organisation, one.code_list.slug): one.code_list.title for one in lists}
    return form(
        "crosswalk_import.html",
        status,
        typed={name: typed.get(name, "") for name, _ in IMPORT_FIELDS},
        errors=errors or {},
        fields=IMPORT_FIELDS,
        organisations={slug: names[slug] for slug in sorted(mine) if slug in names},
        known=known,
        nomenclatures=store.nomenclatures(),
        upload=upload,
        said_how=any(typed.get(name) for name, _ in IMPORT_FIELDS if name in ("feuille", "relation") or "-" in name),
        result=result,
        stale=stale,
        must_say=must_say,
        most=LISTED,
    )


def _asked_release(store: Store, name: CrosswalkName, typed: dict[str, str]) -> str | None:
    return store.edition(name.nomenclature, version_of(typed["version"])).version if typed["version"] else None


def _columns(typed: dict[str, str]) -> dict[str, str]:
    """The headers that were named; a dash says that nothing is to be read as this role."""
    given = {role: typed[f"colonne-{role}"] for role in ROLES_OF_COLUMNS}
    return {role: "" if header == "-" else header for role, header in given.items() if header}


def _import_errors(error: SocleError) -> dict[str, str]:
    """What is wrong with the file or what was said of it, by field."""
    if isinstance(error, Invalid):
        found: dict[str, list[str]] = {}
        for problem in error.problems[:10]:
            place, message = _import_error(problem)
            found.setdefault(place, []).append(message)
        return {place: " ".join(dict.fromkeys(messages)) for place, messages in found.items()}
    if isinstance(error, NotFound):
        if error.kind == "release":
            return {"version": "Cette nomenclature n’a pas cette version."}
        return {"organisme": "Le registre ne connaît pas cet organisme."}
    if isinstance(error, TooLarge):
        return {uploads.FILE: f"Trop grand\u00a0: {error}."}
    return {uploads.FILE: "D’autres classeurs sont en cours de lecture. Vérifiez de nouveau dans un instant."}


def _import_error(problem: Problem) -> tuple[str, str]:
    """The field that a problem is about, and what to say there."""
    place = {"slug_is_well_formed": "liste", "version": "version", "draft_is_sound": "intitule"}.get(problem.rule)
    naming = _NAMING.fullmatch(problem.accepted)
    if naming:
        place = f"colonne-{naming[1]}"
        problem = replace(problem, accepted=f"le nom de l’une d’elles, par exemple {naming[2]}")
    value = f" ({problem.value[:100]})" if problem.value else ""
    where = f"{problem.where}\u00a0: " if problem.where and "--" not in problem.where else ""
    return place or uploads.FILE, sentence(replace(problem, message=f"{where}{problem.message}{value}"))


def _refused_rows(data: bytes, imported: Imported) -> Response:
    body, media_type, extension = importing.refused_file(data, imported, whole=True)
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="lignes-refusees.{extension}"'
    response.headers["Cache-Control"] = "no-store"
    return response


# --- Deciding ------------------------------------------------------------------------------------------------------


class Offer(NamedTuple):
    """A concept that may be chosen for a code: in which relation, where it stands, why; ``relation`` may be open."""

    code: str
    label: str
    relation: str
    path: tuple[str, ...]
    why: str
    sure: bool = False

    @property
    def value(self) -> str:
        """What the form sends where it is chosen."""
        return f"vers:{self.relation}:{self.code}"


@dataclass
class Line:
    """A code of a draft on its page: what stands beside it, what may be chosen, what was chosen and what is wrong."""

    row: DraftRow
    state: str
    offers: tuple[Offer, ...] = ()
    chosen: str = _LATER
    relation: str = ""
    other: str = ""
    covers: bool = False
    comment: str = ""
    error: str = ""

    @property
    def code(self) -> LocalCode:
        """The local code."""
        return self.row.code

    @property
    def holding(self) -> list[DraftMapping]:
        """What was decided of it, if anything was."""
        return [item for item in self.row.mappings if not item.stale_from]

    @property
    def before(self) -> list[DraftMapping]:
        """What it was mapped to in the release that the draft was carried from."""
        return [item for item in self.row.mappings if item.stale_from]


@dataclass
class Asked:
    """Which codes of a draft a page shows: those in a state from a place on, or some by their code."""

    state: str = "unreviewed"
    start: int = 0
    codes: tuple[str, ...] = field(default=())


def draft(organisation: str, code_list: str, nomenclature: str) -> Response:
    """The codes of a draft, twenty a page: those to examine first, the surest suggestions last."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    store = current.store()
    found = draft_editions.draft(store, name, actor=access.actor())
    asked = _asked(request.args)
    rows, total = _rows(store, found, asked)
    return _draft_page(found, asked, _lines(store, found, rows), total)


def decide(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Write down what was decided on one page; what is refused, or came too late, stays as it was typed."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    store, actor = current.store(), access.actor()
    found = draft_editions.draft(store, name, actor=actor)
    asked = _asked(request.form)
    codes = _sent_codes()
    known = {row.code.code: row for row in store.draft_rows(found, codes=codes)}
    lines = _lines(store, found, [known[code] for code in codes if code in known])
    for line in lines:
        _typed(line, codes.index(line.code.code))
    choices = [(line, choice) for line in lines if (choice := _choice(line)) is not None]
    total = len(_states(store, found)[asked.state])
    if any(line.error for line in lines):
        return _draft_page(found, asked, lines, total, status=422)
    try:
        if choices:
            revision = _given_number("revision")
            draft_editions.decide(store, name, [one for _, one in choices], actor=actor, revision=revision)
    except Stale:
        return _draft_page(found, asked, lines, total, stale=True, status=412)
    except Invalid as error:
        _tell(error, choices)
        return _draft_page(found, asked, lines, total, status=422)
    after = store.draft_edition(name)
    states = {row.code.code: draft_editions.state(row) for row in store.draft_rows(after, codes=codes)}
    left = asked.start + sum(state == asked.state for state in states.values())
    return to("pages.draft_edition", name, etat=asked.state, debut=left, ecrits=len(choices))


def accept(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Map what nobody needs to look at: codes whose suggestion is sure, or carried codes with one successor."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    store, actor = current.store(), access.actor()
    found = draft_editions.draft(store, name, actor=actor)
    revision = _given_number("revision")
    try:
        if request.form.get("quoi") == "successeurs":
            _, written = staleness.accept_successors(store, name, actor=actor, revision=revision)
        else:
            index = _index(store, found)
            _, written = draft_editions.accept_sure(store, index, name, actor=actor, revision=revision)
    except Stale:
        asked = Asked()
        rows, total = _rows(store, found, asked)
        return _draft_page(found, asked, _lines(store, found, rows), total, stale=True, status=412)
    return to("pages.draft_edition", name, ecrits=len(written))


def discard(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Give a draft up, if whoever asks for it says that they mean it."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    store, actor = current.store(), access.actor()
    found = draft_editions.draft(store, name, actor=actor)
    if request.form.get("certain") != "oui":
        asked = Asked()
        rows, total = _rows(store, found, asked)
        return _draft_page(found, asked, _lines(store, found, rows), total, unsure=True, status=422)
    draft_editions.discard(store, name, actor=actor)
    return led(url_for("pages.crosswalks"))


def _draft_page(
    found: DraftEdition,
    asked: Asked,
    lines: list[Line],
    total: int,
    *,
    stale: bool = False,
    unsure: bool = False,
    status: int = 200,
) -> Response:
    store = current.store()
    found = store.draft_edition(found.name)
    targets = {item.mapping.target_code for line in lines for item in line.row.mappings} - {""}
    before = {item.stale_from for line in lines for item in line.before}
    waiting = staleness.draft_review(store, found)
    return form(
        "draft_edition.html",
        status,
        draft=found,
        name=found.name,
        owner=store.organisation(found.code_list.organisation),
        heading=store.heading(found.nomenclature, found.release),
        coverage=draft_editions.coverage(store, found),
        lines=lines,
        errors={f"code-{place}": line.error for place, line in enumerate(lines) if line.error},
        line_fields=[(f"code-{place}", line.code.code) for place, line in enumerate(lines)],
        total=total,
        asked=asked,
        per_page=PER_PAGE,
        concepts=store.labels(found.nomenclature, found.release, targets),
        old_concepts={release: store.labels(found.nomenclature, release, targets) for release in before},
        offered=_offered(store, found),
        succeeding=sum(item.action == "successor" for one in waiting for item in one.items),
        problems=draft_editions.problems(store, found),
        stale=stale,
        unsure=unsure,
        written=_given_number("ecrits"),
        formats=CROSSWALK_FORMATS,
    )


def _asked(given: Any) -> Asked:
    state = given.get("etat", "")
    text = given.get("debut", "")
    start = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
    codes = tuple(given.getlist("code")[:PER_PAGE])
    return Asked(state if state in STATES else "unreviewed", start, codes)


def _given_number(name: str) -> int | None:
    text = request.values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _sent_codes() -> list[str]:
    """The codes of the page that is sent, in its order."""
    found: list[str] = []
    while (code := request.form.get(f"code-{len(found)}")) is not None and len(found) < PER_PAGE:
        found.append(code)
    return found


def _states(store: Store, found: DraftEdition) -> dict[str, list[DraftRow]]:
    states: dict[str, list[DraftRow]] = {state: [] for state in STATES}
    for row in store.draft_rows(found):
        states[draft_editions.state(row)].append(row)
    return states


def _rows(store: Store, found: DraftEdition, asked: Asked) -> tuple[list[DraftRow], int]:
    """The rows of a page, and how many there are in its state; past the end, the first ones again."""
    if asked.codes:
        return store.draft_rows(found, codes=asked.codes), len(asked.codes)
    rows = store.draft_rows(found, state=asked.state)
    if asked.state == "unreviewed" and len(rows) <= MOST_ORDERED:
        index = _index(store, found)
        rows.sort(key=lambda row: (_surest(_candidates(index, found, row.code.label)), row.code.code))
    if asked.start >= len(rows):
        asked.start = 0
    return rows[asked.start : asked.start + PER_PAGE], len(rows)


def _surest(candidates: tuple[Candidate, ...]) -> tuple[bool, float]:
    return (candidates[0].sure, candidates[0].score) if candidates else (False, 0.0)


def _lines(store: Store, found: DraftEdition, rows: list[DraftRow]) -> list[Line]:
    lines = []
    successors: dict[str, list[Offer]] = {}
    if any(item.stale_from for row in rows for item in row.mappings):
        successors = _successors(store, found)
    index = _index(store, found) if rows else None
    for row in rows:
        state = draft_editions.state(row)
        offers = {offer.code: offer for offer in successors.get(row.code.code, [])}
        if index is not None:
            for one in _candidates(index, found, row.code.label):
                offers.setdefault(one.document.code, _offer(one))
        lines.append(Line(row, state, tuple(offers.values()), _LATER if state == "unreviewed" else _KEEP))
    return lines


def _offer(one: Candidate) -> Offer:
    return Offer(one.document.code, one.document.pref_label, one.relation, one.document.path, _why(one), one.sure)


def _why(one: Candidate) -> str:
    document, why = one.document, one.why
    if one.sure:
        return "même libellé"
    if why.kind == "mapped":
        return f"une autre liste fait ainsi correspondre « {why.text} »"
    if why.kind == "local":
        return f"une autre liste appelle ce concept « {why.text} »"
    told = {"acronym": "le sigle", "everyday": "des mots courants", "definition": "les mots de la définition"}
    if why.kind in told:
        return told[why.kind]
    return "un autre nom du concept" if why.text in document.alt_label else "des mots du libellé"


def _successors(store: Store, found: DraftEdition) -> dict[str, list[Offer]]:
    offers: dict[str, list[Offer]] = {}
    for review in staleness.draft_review(store, found):
        for item in review.items:
            for one in item.proposed:
                if one.concept.status == "active":
                    relation, label = one.relation or "", preferred(one.concept.pref_label) or one.concept.code
                    why = f"successeur de {item.before.code}, d’après la filiation"
                    offers.setdefault(item.code.code, []).append(Offer(one.concept.code, label, relation, (), why))
    return offers


def _typed(line: Line, place: int) -> None:
    """Put what was typed on a line."""
    line.chosen = request.form.get(f"choix-{place}", line.chosen)[:200]
    line.relation = request.form.get(f"relation-{place}", "")
    line.other = request.form.get(f"autre-{place}", "").strip()[:_LONGEST]
    line.comment = request.form.get(f"commentaire-{place}", "").strip()[:_LONGEST]
    line.covers = request.form.get(f"couvre-{place}") == "oui"


def _choice(line: Line) -> Choice | None:
    """What was decided on a line; None where nothing is to be written. What is missing is told on the line."""
    common = {"comment": line.comment, "covers": "true" if line.covers else ""}
    if line.chosen == _LATER:
        return Choice(line.code.code) if line.state != "unreviewed" else None
    if line.chosen == _NONE:
        return Choice(line.code.code, ({"relation": "noMatch", "target_code": "", "comment": line.comment},))
    if line.chosen == _OTHER:
        # The list that is offered while one types gives codes, and people paste « CODE — libellé ».
        codes = [part.split()[0] for part in re.split(r"[,;\n]", line.other) if part.strip()]
        if not codes or line.relation not in RELATIONS:
            line.error = "Écrivez le code d’un concept, et choisissez la relation."
            return None
        return Choice(line.code.code, tuple({**common, "relation": line.relation, "target_code": one} for one in codes))
    _, _, rest = line.chosen.partition(":")
    proposed, _, target = rest.partition(":")
    relation = line.relation if line.relation in RELATIONS else proposed
    if line.chosen.startswith("vers:") and target:
        if relation not in RELATIONS:
            line.error = "Choisissez la relation."
            return None
        return Choice(line.code.code, ({**common, "relation": relation, "target_code": target},))
    if line.relation in RELATIONS and line.relation != "noMatch" and line.holding:
        kept = [item.mapping for item in line.holding if item.mapping.target_code]
        changed = tuple({**common, "relation": line.relation, "target_code": one.target_code} for one in kept)
        return Choice(line.code.code, changed) if changed else None
    return None


def _tell(error: Invalid, choices: list[tuple[Line, Choice]]) -> None:
    """Put what is refused on the lines that it is about."""
    by_code = {line.code.code: line for line, _ in choices}
    for problem in error.problems:
        for code in problem.codes:
            line = by_code.get(code)
            if line is not None and not line.error:
                value = f" ({problem.value[:100]})" if problem.value else ""
                line.error = sentence(replace(problem, message=f"{problem.message}{value}"))
    if not any(line.error for line in by_code.values()) and choices:
        choices[0][0].error = " ".join(sentence(problem) for problem in error.problems[:3])


def _offered(store: Store, found: DraftEdition) -> list[tuple[str, str]]:
    """The active concepts of the draft's release, to be offered while a code is typed; none where they are too many."""
    rows = [row for row in store.tree(found.nomenclature, found.release) if row.status == "active"]
    return [(row.code, preferred(row.pref_label) or row.code) for row in rows] if len(rows) <= MOST_OFFERED else []


_known: dict[str, tuple[Index, dict[str, tuple[Candidate, ...]]]] = {}
"""By release: the index that was asked last, and what it answered."""

_MOST_KNOWN = 20_000


def _candidates(index: Index, found: DraftEdition, label: str) -> tuple[Candidate, ...]:
    """The likeliest concepts for a label, remembered as long as the index is the same: pages ask again and again."""
    from registry.candidates import candidates  # It imports Whoosh, which takes long.

    name = f"{found.nomenclature}@{found.release}"
    asked, known = _known.get(name, (None, {}))
    if asked is not index or len(known) >= _MOST_KNOWN:
        known = {}
        _known[name] = index, known
    if label not in known:
        known[label] = candidates(index, label, nomenclature=found.nomenclature, limit=draft_editions.CANDIDATES)
    return known[label]


def _index(store: Store, found: DraftEdition) -> Index:
    release = store.edition(found.nomenclature, found.release)
    return finding.index_of(store, current.settings().index, [release], today())


# --- Publishing ----------------------------------------------------------------------------------------------------


def publication(organisation: str, code_list: str, nomenclature: str) -> Response:
    """What publishing the draft will do, before it is done."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    found = draft_editions.draft(current.store(), name, actor=access.actor())
    typed = {
        "depuis": (found.valid_from or today()).isoformat(),
        "auteur": found.author,
        "licence": found.license,
        "intitule": found.code_list.title,
    }
    return _publication_page(found, typed)


def publish(organisation: str, code_list: str, nomenclature: str) -> Response:
    """Publish what the page restated, and nothing else: if the draft changed meanwhile, it is restated."""
    name = CrosswalkName(organisation, code_list, nomenclature)
    store, actor = current.store(), access.actor()
    found = draft_editions.draft(store, name, actor=actor)
    typed = {one: request.form.get(one, "").strip()[:_LONGEST] for one, _ in PUBLICATION_FIELDS}
    try:
        said = Said(None, date.fromisoformat(typed["depuis"]), typed["auteur"], typed["licence"], typed["intitule"])
    except ValueError:
        return _publication_page(found, typed, errors={"depuis": "Donnez un jour, tel que 2026-01-31."}, status=422)
    if found.base:
        said = replace(said, title=None)
    try:
        with store.at_once():
            revised = draft_editions.revise(store, name, said, actor=actor, revision=_given_number("revision"))
            edition, _ = draft_editions.publish(store, name, actor=actor, revision=revised.revision)
    except Stale:
        return _publication_page(found, typed, stale=True, status=412)
    except Invalid as error:
        places = {"author": "auteur", "license": "licence", "title": "intitule"}
        errors = {places[one.where]: sentence(one) for one in error.problems if one.where in places}
        return _publication_page(found, typed, errors=errors, refused=() if errors else error.problems, status=422)
    return to("pages.crosswalk", name, edition=edition.edition)


def _publication_page(
    found: DraftEdition,
    typed: dict[str, str],
    *,
    errors: dict[str, str] | None = None,
    refused: Any = (),
    stale: bool = False,
    status: int = 200,
) -> Response:
    store = current.store()
    found = store.draft_edition(found.name)
    last = draft_editions.last_edition(store, found.name)
    problems: list[Problem] = [*refused] or draft_editions.problems(store, found)
    return form(
        "edition_publication.html",
        status,
        draft=found,
        name=found.name,
        owner=store.organisation(found.code_list.organisation),
        heading=store.heading(found.nomenclature, found.release),
        coverage=draft_editions.coverage(store, found),
        number=last.edition + 1 if last else 1,
        last=last,
        difference=draft_editions.difference(store, found),
        errors=errors or {},
        fields=PUBLICATION_FIELDS,
        typed=typed,
        blocking=[one for one in problems if one.severity == "error"],
        warnings=[one for one in problems if one.severity == "warning"],
        stale=stale,
        relations=TARGETS,
    )
