"""Pages in French for people: server-rendered, usable without JavaScript. They call the registry, never our own API.

``blueprint()`` gathers them; ``errors.page`` turns a problem into a page with a way on.
"""

from __future__ import annotations

from flask import Blueprint

from api.pages import (
    assets,
    concept,
    crosswalks,
    draft_editions,
    errors,
    home,
    information,
    nomenclature,
    proposals,
    recoding,
    results,
    sign_in,
    wording,
)
from registry.settings import Settings


def blueprint(settings: Settings) -> Blueprint:
    """Every page, with the words and addresses that templates ask for."""
    pages = Blueprint("pages", __name__, template_folder="../templates")
    for module in (
        assets,
        home,
        results,
        nomenclature,
        concept,
        crosswalks,
        draft_editions,
        recoding,
        proposals,
        sign_in,
        information,
    ):
        module.add_to(pages)
    # Globals, since what is imported into a template, such as the macros, sees nothing else.
    names = {
        "static": assets.address,
        "state_theme": settings.state_theme,
        "words": wording,
        "marked": results.marked,
        "excerpt": results.excerpt,
    }
    pages.record(lambda state: state.app.jinja_env.globals.update(names))
    for name, function in wording.FILTERS.items():
        pages.add_app_template_filter(function, name)
    return pages


__all__ = ["blueprint", "errors"]
