"""Errors as pages in French, each with a way on. What went wrong is decided in ``api.errors``; this only tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from flask import Response, g, render_template, request, url_for

from api.pages.wording import day
from api.sessions import NotMeant
from registry.errors import Invalid, NotFound

_TEXTS = {
    400: ("Adresse mal formée", "Le service n’a pas compris cette adresse."),
    401: ("Connexion nécessaire", "Cette page montre ce qui n’est pas public : connectez-vous d’abord."),
    403: ("Accès réservé", "Cette page demande des droits que vous n’avez pas, ou une connexion."),
    404: ("Page introuvable", "Cette adresse ne mène à rien, ou plus à rien."),
    405: ("Action impossible ici", "Cette adresse n’admet pas cette action."),
    406: ("Format non proposé", "Cette page n’existe qu’en HTML ; les données sont servies par l’API."),
    414: ("Adresse trop longue", "L’adresse demandée dépasse ce que le service accepte."),
    422: ("Demande refusée", "Un élément de la demande n’est pas acceptable."),
    500: ("Le service a rencontré une erreur", "Ce n’est pas de votre fait. L’erreur est enregistrée."),
    503: ("Service momentanément indisponible", "Réessayez dans quelques instants."),
}
_NOT_MEANT = (
    "Formulaire périmé",
    "Ce formulaire n’est plus valable, ou ne vient pas de ce site. Revenez à la page précédente et rechargez-la.",
)
_NOT_FOUND = {
    "nomenclature": ("Nomenclature introuvable", "Aucune nomenclature ne porte ce nom."),
    "release": ("Version introuvable", "Cette nomenclature n’a pas la version demandée."),
    "concept": ("Concept introuvable", "La version lue n’a pas de concept de ce code."),
    "crosswalk": ("Table introuvable", "Aucune table de correspondance publiée ne répond à cette adresse."),
    "draft edition": (
        "Aucun projet",
        "Il n’y a pas, ou plus, de projet pour cette table : il a pu être publié ou abandonné.",
    ),
}
_CROSSWALKS = "/correspondances"


def page(error: Exception, problem: Response) -> Response:
    """The page that tells a problem: its status and headers, French words, the ways on that the error hints at."""
    status = problem.status_code
    title, text = _TEXTS.get(status, _TEXTS[500] if status >= 500 else _TEXTS[400])
    detail, ways = "", []
    if isinstance(error, NotMeant):
        title, text = _NOT_MEANT
    if status == 401:
        suite = "correspondances" if request.path.startswith(_CROSSWALKS) else None
        ways = [(url_for("pages.sign_in", suite=suite), "Se connecter")]
    elif request.path.startswith(f"{_CROSSWALKS}/"):
        ways = [(url_for("pages.crosswalks"), "Les tables de correspondance")]
    if isinstance(error, NotFound):
        title, text = _NOT_FOUND.get(error.kind, (title, text))
        ways += _ways(error)
        if first := error.hints.get("inForceFrom"):
            title = "Aucune version à cette date"
            text = "Aucune version de cette nomenclature n’était en vigueur le jour demandé."
            detail = f"La première s’applique depuis le {day(date.fromisoformat(str(first)))}."
    elif isinstance(error, Invalid):
        detail = " ".join(str(item) for item in error.problems[:5])
    body = render_template(
        "error.html",
        status=status,
        title=title,
        text=text,
        detail=detail,
        ways=ways,
        request_id=g.get("request_id", "") if status >= 500 else "",
    )
    response = Response(body, status, mimetype="text/html")
    for name in ("Cache-Control", "Retry-After", "Allow"):
        if name in problem.headers:
            response.headers[name] = problem.headers[name]
    return response


def _ways(error: NotFound) -> Iterator[tuple[str, str]]:
    """Addresses of what the error says exists: other releases, successors."""
    known: dict[str, Any] = request.view_args or {}
    slug, code = known.get("slug"), known.get("code")
    if slug is None or error.kind == "nomenclature":
        return
    for version in _listed(error, "releases"):
        if error.kind == "concept" and code:
            yield url_for("pages.concept", slug=slug, code=code, release=version), f"{code} dans la version {version}"
        else:
            yield url_for("pages.nomenclature", slug=slug, release=version), f"Version {version}"
    for successor in _listed(error, "successors"):
        yield url_for("pages.concept", slug=slug, code=successor), f"{successor}, qui le remplace"
    yield url_for("pages.nomenclature", slug=slug), "La nomenclature, dans sa version en vigueur"


def _listed(error: NotFound, name: str) -> list[str]:
    found = error.hints.get(name)
    return [str(item) for item in found[:20]] if isinstance(found, list) else []
