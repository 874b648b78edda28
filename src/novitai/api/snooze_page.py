"""The page behind a link that postpones an idle stop: plain HTML for people who come from a message, without script or style of others.

The form posts to the address of the page itself, so the token stays where it was.
"""

from html import escape

from starlette.responses import Response

from novitai.domain.idle import Warned
from novitai.domain.times import iso
from novitai.operations.snooze import LinkRefused

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:4em auto;padding:0 1em}}button{{font:inherit}}</style>
</head>
<body><h1>{title}</h1>{body}</body>
</html>
"""
_DONE = {"stop": "stopped", "delete": "deleted"}


def offered(warned: Warned, *, name: str) -> Response:
    """What was announced, and the button that postpones it."""
    deed = _DONE[str(warned.deed)]
    said = f"<p><b>{escape(name)}</b> will be {deed} at {iso(warned.acts_at)}: no use is known since {iso(warned.idle_since)}.</p>"
    form = '<form method="post"><button type="submit">Not yet: I still need it</button></form>'
    return _page("Postpone", said + form, status=200)


def postponed(until: float, *, name: str) -> Response:
    """It was postponed."""
    return _page("Postponed", f"<p><b>{escape(name)}</b> is left alone until {iso(until)} at least.</p>", status=200)


def refused(why: LinkRefused) -> Response:
    """The link does nothing."""
    return _page("Nothing was postponed", f"<p>{escape(why.why)}</p>", status=410 if why.spent else 403)


def _page(title: str, body: str, *, status: int) -> Response:
    text = _PAGE.format(title=title, body=body)
    return Response(text, status_code=status, media_type="text/html", headers={"Content-Security-Policy": _POLICY})
