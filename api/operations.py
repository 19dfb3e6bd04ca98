"""Whether the service lives, and whether it can answer."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from api import current
from registry.errors import SocleError

blueprint = Blueprint("operations", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    """Say that the process answers."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether the registry can be read and searched, and what is not ready."""
    checks = {}
    for name, check in (("database", current.store().check_schema), ("search", current.index)):
        try:
            check()
            checks[name] = "ok"
        except SocleError as error:
            checks[name] = str(error)
    ready = all(state == "ok" for state in checks.values())
    return Response(orjson.dumps(checks), 200 if ready else 503, mimetype="application/json")
