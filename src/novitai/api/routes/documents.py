"""The API's description: for programs at `/openapi.json`, for people at `/docs`. Open outside of production."""

import base64
import hashlib
import json
from html import escape
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.openapi import METHODS, document
from novitai.api.routing import Routes
from novitai.domain.keys import Scope

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff; }
h2 { margin-top: 2.5rem; text-transform: capitalize; border-bottom: 1px solid #d0d7de; }
details { border: 1px solid #d0d7de; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; background: #f6f8fa; padding: .6rem; border-radius: 6px; }
b { display: inline-block; min-width: 4.5rem; }
small { color: #57606a; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; } pre { background: #161b22; }
  details, h2 { border-color: #30363d; } small { color: #8b949e; } a { color: #79c0ff; }
}
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def documents(*, production: bool) -> Routes:
    """`/openapi.json` and `/docs`; in production they need a key."""
    needs = Scope.READ if production else None
    routes = Routes("system")
    routes.add("GET", "/openapi.json", needs=needs)(openapi_document)
    routes.add("GET", "/docs", needs=needs, media="text/html")(documentation)
    return routes


async def openapi_document(request: Request) -> Response:
    """This document."""
    return Response(msgspec.json.encode(document(request.app)), media_type="application/json")


async def documentation(request: Request) -> Response:
    """The same for people: a page without scripts and without anything from elsewhere."""
    page = render(document(request.app))
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})


def render(openapi: dict[str, Any]) -> str:
    """The page: every operation by subject, with its parameters, body and answers."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(entries)}" for tag, entries in by_tag.items())
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"
        for name, schema in sorted(openapi["components"]["schemas"].items())
    )
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body><h1>{title}</h1>"
        "<p>Send your key as <code>Authorization: Bearer nvk_…</code>. "
        "The machine-readable form is at <a href='/openapi.json'>/openapi.json</a>.</p>"
        f"{sections}<h2>Bodies</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    needs = f"<small>{escape(operation['x-scope'])}</small>"
    text = escape(operation.get("description", "")).replace("\n\n", "</p><p>")
    parts = [f"<p>{text}</p>"]
    for parameter in operation.get("parameters", ()):
        described = escape(parameter.get("description", ""))
        parts.append(
            f"<div><code>{escape(parameter['name'])}</code> <small>in {parameter['in']}</small> {described}</div>"
        )
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_reference(operation['requestBody'])}</p>")
    for status, answer in operation.get("responses", {}).items():
        parts.append(
            f"<div><code>{escape(status)}</code> {escape(answer.get('description', ''))} {_reference(answer)}</div>"
        )
    return f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {needs}</summary>{''.join(parts)}</details>"


def _reference(holder: dict[str, Any]) -> str:
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    references = [schema, *schema.get("anyOf", ())]
    names = [one["$ref"].rpartition("/")[2] for one in references if "$ref" in one]
    return " ".join(f"<a href='#{escape(name)}'>{escape(name)}</a>" for name in names)


def _json(schema: dict[str, Any]) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>"
