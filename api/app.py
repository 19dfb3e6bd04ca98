"""Wiring: the application, its blueprints, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType

from flask import Flask
from jinja2 import BytecodeCache, StrictUndefined
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from api import (
    caching,
    candidates,
    changes,
    committee,
    concepts,
    consumption,
    crosswalks,
    current,
    documentation,
    draft_editions,
    drafts,
    endings,
    errors,
    log,
    nomenclatures,
    operations,
    organisations,
    pages,
    people,
    proposals,
    recode,
    releases,
    search,
    security,
    sessions,
    translate,
    webhooks,
)
from api.doors import fhir, linked_data, reconciliation, sdmx, skosmos
from registry import opening
from registry import settings as settings_
from registry.settings import Settings

PREFIX = "/api/v1"

OPENAPI = {
    "API_TITLE": "Socle",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": PREFIX,
    "OPENAPI_JSON_PATH": "openapi.json",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "The shared registry of nomenclatures for French social services: versioned SKOS concepts, "
            "and crosswalks from local codes to them.",
            "license": {
                "name": "Licence Ouverte 2.0",
                "url": "https://www.etalab.gouv.fr/licence-ouverte-open-licence",
            },
        },
        "servers": [{"url": "/"}],
    },
}


class _Compiled(BytecodeCache):
    """Templates compiled once a process, however many applications there are in it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template's code, if it is of the same source."""
        checksum, code = self._known.get(bucket.key, ("", None))
        bucket.code = code if checksum == bucket.checksum else None

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template's code."""
        if bucket.code is not None:
            self._known[bucket.key] = bucket.checksum, bucket.code


class _Route(Rule):
    """A route that learns to build its address when one is first asked for.

    Werkzeug compiles two functions for each route when it is added: three quarters of the time that the application
    took to be made, for functions most of which no process ever calls.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(route: _Route, /, **values: object) -> tuple[str, str]:
            compiled = super(_Route, route)._compile_builder(append_unknown)
            setattr(route, "_build_unknown" if append_unknown else "_build", compiled.__get__(route))
            return compiled(route, **values)

        return build


TEMPLATES = {
    "autoescape": True,
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "bytecode_cache": _Compiled(),
}
"""Everything is escaped, whatever the template is called, and a name that nobody gave is an error."""


DOORS = {"/fhir/": fhir.error, "/rest/": skosmos.error, "/sdmx/": sdmx.error}
"""How errors are told at addresses that begin so."""


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application over the registry that the settings name (those of the environment by default).

    :raises WrongSetting: if a setting is not acceptable.
    :raises Damaged: if there is no database, or it lacks the schema that this code needs.
    """
    settings = settings or settings_.read()
    app = Flask("api", static_folder=None)
    app.url_rule_class = _Route
    app.jinja_options = TEMPLATES
    app.config.update(OPENAPI)
    app.json = security.StrictJSON(app)
    current.bind(app, opening.opened(settings), settings)
    security.protect(app, settings)
    sessions.install(app, settings)
    errors.handle(app, pages.errors.page, doors=DOORS)
    caching.install(app)
    consumption.install(app)
    endings.install(app)
    api = documentation.DescribedApi(app, spec_kwargs={"extra_plugins": [documentation.Answers()]})
    for blueprint in (
        nomenclatures.blueprint,
        releases.blueprint,
        concepts.blueprint,
        search.blueprint,
        candidates.blueprint,
        changes.blueprint,
        log.blueprint,
        translate.blueprint,
        recode.blueprint,
        crosswalks.blueprint,
        draft_editions.blueprint,
        drafts.blueprint,
        committee.blueprint,
        organisations.blueprint,
        people.blueprint,
        proposals.blueprint,
        webhooks.blueprint,
    ):
        api.register_blueprint(blueprint, url_prefix=PREFIX)
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(reconciliation.blueprint)
    app.register_blueprint(linked_data.blueprint)
    app.register_blueprint(fhir.blueprint)
    app.register_blueprint(skosmos.blueprint)
    app.register_blueprint(sdmx.blueprint)
    app.register_blueprint(search.opensearch)
    app.register_blueprint(documentation.blueprint(api))
    app.register_blueprint(pages.blueprint(settings))
    return app
