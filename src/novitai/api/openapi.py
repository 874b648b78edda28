"""The OpenAPI document, and the page that shows it to people."""

from typing import Any

from fastapi import FastAPI

METHODS = ("get", "post", "put", "patch", "delete")


def document(app: FastAPI) -> dict[str, Any]:
    """What FastAPI knows of the routes, with the key that they need. Made once."""
    made: dict[str, Any] = app.openapi()
    schemes = made.setdefault("components", {}).setdefault("securitySchemes", {})
    if "key" not in schemes:
        schemes["key"] = {"type": "http", "scheme": "bearer", "description": "A key `nvk_<id>_<secret>`."}
        made["security"] = [{"key": []}]
        for operations in made["paths"].values():
            for method, operation in operations.items():
                if method in METHODS:
                    _tidy(operation, changes=method != "get")
    return made


def _tidy(operation: dict[str, Any], *, changes: bool) -> None:
    """The header that every change understands."""
    if changes and "security" not in operation:
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and body get the stored answer for 24 hours.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
