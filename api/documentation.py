"""The API's documentation: one accessible page made from the OpenAPI description, without any outside asset."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

from apispec import APISpec, BasePlugin
from flask import Blueprint, Response, render_template
from flask_smorest import Api

from api import access
from api.errors import WORDS
from api.reading import Routes
from api.schemas import ProblemSchema
from registry.archive import ARCHIVE
from registry.feed import FEED_FORMATS
from registry.formats import FORMATS
from registry.formats.crosswalks import CROSSWALK_FORMATS

_TEXT = {"type": "string"}
_HEADERS = {
    "ETag": {"description": "Strong, of exactly these bytes", "schema": _TEXT},
    "Cache-Control": {"description": "`immutable` where the address names a release, else `no-cache`", "schema": _TEXT},
    "Vary": {"schema": _TEXT},
    "Last-Modified": {"schema": _TEXT},
    "Link": {"description": "`next`, `license`, `latest-version`, …", "schema": _TEXT},
    "Content-Location": {"description": "Where what was read is pinned", "schema": _TEXT},
    "X-Request-Id": {"description": "What the log calls this request", "schema": _TEXT},
}
_ALWAYS = (400, 404, 406, 414, 422, 500, 503)
_WITH_BODY = (411, 413, 415)
_METHODS = ("get", "post", "put", "patch", "delete")
_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": _TEXT,
    "description": "The entity tag of what is changed, as it was read",
}
_IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string", "enum": ["*"]},
    "description": "Instead of If-Match: what is sent is new",
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    "description": "Repeated within 24 hours with the same request, it gets the same answer and does nothing twice",
}
_OTHER_FORMATS = {
    "opensearch": "application/x-suggestions+json",
    "archive": ARCHIVE.media_type,
    **{format.name: format.media_type for format in CROSSWALK_FORMATS.values()},
    **{name: one.media_type for name, one in FEED_FORMATS.items()},
}


class Answers(BasePlugin):
    """What every operation may answer, beside what its view says: problems, 304, headers, the other formats."""

    def init_spec(self, spec: APISpec) -> None:
        """Keep the description at hand, and describe the problem once."""
        self.spec = spec
        spec.components.schema("Problem", schema=ProblemSchema)
        spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "reg_…"})

    def operation_helper(self, path: str | None = None, operations: Any = None, **_: Any) -> None:
        """Complete the operations of one address."""
        for method, operation in (operations or {}).items():
            if method not in _METHODS:
                continue
            responses = operation.setdefault("responses", {})
            responses.pop("default", None)
            good = responses[next(status for status in responses if str(status).startswith("2"))]
            good["headers"] = _HEADERS
            statuses = [*_ALWAYS, *_conditions(method, operation)]
            named = [item for item in operation.get("parameters", ()) if item.get("name") == "format"]
            for name in named[0]["schema"]["enum"] if named else ():
                kind = FORMATS[name].media_type if name in FORMATS else _OTHER_FORMATS[name]
                schema: dict[str, Any] = {} if kind.partition(";")[0].endswith("json") else {"type": "string"}
                good["content"].setdefault(kind, {"schema": schema})
            if method == "get":
                responses["304"] = {"description": "What the client has is still right"}
            for status in sorted(statuses):
                responses[str(status)] = {
                    "description": WORDS[status][0],
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }


def _conditions(method: str, operation: dict[str, Any]) -> Iterator[int]:
    """What else may be answered, by what the view declares to need; headers that it reads join the parameters."""
    parameters = operation.setdefault("parameters", [])
    if method in ("post", "put", "patch"):
        yield from _WITH_BODY
    elif method == "delete":
        yield from (413, 415)
    if operation.get(access.OPERATION, access.OPEN) != access.OPEN:
        yield from (401, 403)
        if method != "get":
            yield 409
    if condition := operation.pop(access.IF_MATCH, ""):
        parameters.append({**_IF_MATCH, "required": condition == "always"})
        if condition == "or new":
            parameters.append(_IF_NONE_MATCH)
        yield from (412, 428)
    if operation.pop(access.IDEMPOTENT, False):
        parameters.append(_IDEMPOTENCY_KEY)


class DescribedApi(Api):
    """flask-smorest without its error handlers, which would turn every 404 of the application into JSON of their own.

    The description is made when it is first asked for: that takes as long as most of the rest of a start.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        self._waiting: list[Routes] = []
        self._describing = Lock()
        super().__init__(*given, **options)

    def register_blueprint(self, blp: Routes, **options: Any) -> None:
        """Serve a blueprint; its views are described later."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp, **options)
        self._waiting.append(blp)

    def described(self) -> dict[str, Any]:
        """The OpenAPI description of all that is served."""
        with self._describing:
            while self._waiting:
                blp = self._waiting.pop(0)
                blp.register_views_in_doc(self, self._app, self.spec, name=blp.name, parameters=None)
                self.spec.tag({"name": blp.name, "description": blp.description})
            found: dict[str, Any] = self.spec.to_dict()
            return found

    def _openapi_json(self) -> Response:
        self.described()
        answer: Response = super()._openapi_json()
        return answer

    def _register_error_handlers(self) -> None:
        """Leave errors to ``api.errors``."""


def blueprint(api: DescribedApi) -> Blueprint:
    """The page at ``/api/docs`` over this API's description."""
    pages = Blueprint("documentation", __name__, template_folder="templates")

    @pages.get("/api/docs")
    def documentation() -> str:
        """Show every operation: address, summary, parameters."""
        described = api.described()
        groups: dict[str, list[dict[str, Any]]] = {}
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if method in _METHODS:
                    shared = operations.get("parameters", [])
                    known = {(item["in"], item["name"]): item for item in [*shared, *operation.get("parameters", [])]}
                    groups.setdefault(operation["tags"][0], []).append(
                        {**operation, "path": path, "method": method.upper(), "parameters": list(known.values())}
                    )
        return render_template("documentation.html", info=described["info"], groups=groups, tags=described["tags"])

    return pages
