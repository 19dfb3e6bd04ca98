"""The API's documentation: one accessible page made from the OpenAPI description, without any outside asset."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template
from flask_smorest import Api


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
