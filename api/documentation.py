"""The API's documentation: one accessible page made from the OpenAPI description, without any outside asset."""

from __future__ import annotations

from typing import Any

from apispec import APISpec, BasePlugin
from flask import Blueprint, render_template
from flask_smorest import Api

from api.errors import WORDS
from api.schemas import ProblemSchema
from registry.formats import FORMATS

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
_PROBLEMS = {
    "get": (400, 404, 406, 414, 422, 500, 503),
    "post": (400, 404, 406, 411, 413, 414, 415, 422, 500, 503),
}
_OPENSEARCH = "application/x-suggestions+json"


class Answers(BasePlugin):
    """What every operation may answer, beside what its view says: problems, 304, headers, the other formats."""

    def init_spec(self, spec: APISpec) -> None:
        """Keep the description at hand, and describe the problem once."""
        self.spec = spec
        spec.components.schema("Problem", schema=ProblemSchema)

    def operation_helper(self, path: str | None = None, operations: Any = None, **_: Any) -> None:
        """Complete the operations of one address."""
        for method, operation in (operations or {}).items():
            if method not in _PROBLEMS:
                continue
            responses = operation.setdefault("responses", {})
            responses.pop("default", None)
            good = responses[next(status for status in responses if str(status) == "200")]
            good["headers"] = _HEADERS
            named = [item for item in operation.get("parameters", ()) if item.get("name") == "format"]
            for name in named[0]["schema"]["enum"] if named else ():
                kind = FORMATS[name].media_type if name in FORMATS else _OPENSEARCH
                schema: dict[str, Any] = {} if kind.endswith("json") else {"type": "string"}
                good["content"].setdefault(kind, {"schema": schema})
            if method == "get":
                responses["304"] = {"description": "What the client has is still right"}
            for status in _PROBLEMS[method]:
                responses[str(status)] = {
                    "description": WORDS[status][0],
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }


def blueprint(api: Api) -> Blueprint:
    """The page at ``/api/docs`` over this API's description."""
    pages = Blueprint("documentation", __name__, template_folder="templates")

    @pages.get("/api/docs")
    def documentation() -> str:
        """Show every operation: address, summary, parameters."""
        described: dict[str, Any] = api.spec.to_dict()
        groups: dict[str, list[dict[str, Any]]] = {}
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if method in ("get", "post", "put", "patch", "delete"):
                    shared = operations.get("parameters", [])
                    known = {(item["in"], item["name"]): item for item in [*shared, *operation.get("parameters", [])]}
                    groups.setdefault(operation["tags"][0], []).append(
                        {**operation, "path": path, "method": method.upper(), "parameters": list(known.values())}
                    )
        return render_template("documentation.html", info=described["info"], groups=groups, tags=described["tags"])

    return pages
