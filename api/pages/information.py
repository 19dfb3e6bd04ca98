"""The pages that the law asks for: accessibility, site map, legal notice."""

from __future__ import annotations

from flask import Blueprint, Response

from api import current
from api.pages.rendering import page


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/accessibilite", "accessibility", accessibility)
    pages.add_url_rule("/plan-du-site", "site_map", site_map)
    pages.add_url_rule("/mentions-legales", "legal_notice", legal_notice)


def accessibility() -> Response:
    """The accessibility statement, honest: not compliant until an audit."""
    return page("accessibility.html")


def site_map() -> Response:
    """Every page, by hand and from the registry."""
    return page("site_map.html", nomenclatures=current.store().nomenclatures())


def legal_notice() -> Response:
    """Who publishes, under which licences, what is kept of visitors."""
    return page("legal_notice.html")
