"""`novitai explain`: why an instance is as it is, in sentences that need no documentation."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from novitai_client.cli import inputs
from novitai_client.cli.session import console, print_json, session

if TYPE_CHECKING:
    from novitai_client.models import Decision, Explanation, PolicyVerdict, Sign

_SOURCES = {"request": "from the request", "default": "from the server's settings"}
_SIGNS = {
    "last-used": "last use told",
    "gpu": "GPU",
    "cpu": "CPU",
    "machine": "machine, says Novita",
    "spot": "spot, says Novita",
    "health": "health check",
}
_UNREAD = {"last-used": "never told to be used", "gpu": "not read", "cpu": "not read"}
_TITLE, _REST = "What was done by itself", "older ones: novitai explain NAME --limit N"


def explain(
    ctx: typer.Context,
    name: inputs.Name,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=200, help="At most so many past decisions.")
    ] = 10,
    as_json: inputs.AsJson = False,
) -> None:
    """Explain one instance: why it is as it is, what comes next and what would change that, and why everything was done."""
    with session(ctx, as_json=as_json).client() as client:
        found = client.explain(name, limit=limit)
    if as_json:
        print_json(client.last_body)
        return
    screen = console()
    for line in story(found):
        typer.echo(folded(line, width=screen.width) if screen.is_terminal else line)


def story(found: "Explanation") -> Iterator[str]:
    """The whole explanation, line by line."""
    from novitai_client.cli.tables import shown

    yield shown(found.summary)
    yield from _part("What is known", [_sign(one) for one in found.signals])
    yield from _part("What each rule says", [_policy(one) for one in found.policies])
    decisions = [_decision(one) for one in found.decisions]
    if found.next_cursor:
        decisions.append(_REST)
    yield from _part(_TITLE, decisions or ["nothing so far"])


def folded(line: str, *, width: int) -> str:
    """A line broken between words, so that it can be read on a narrow terminal."""
    indent = "      " if line.startswith("  ") else ""
    return textwrap.fill(line, width=max(40, width), subsequent_indent=indent, break_on_hyphens=False)


def _part(title: str, lines: list[str]) -> Iterator[str]:
    from novitai_client.cli.tables import shown

    yield ""
    yield f"{title}:"
    for line in lines:
        yield f"  {shown(line)}"


def _sign(sign: "Sign") -> str:
    from novitai_client.cli.tables import when

    name = _SIGNS.get(sign.name, sign.name)
    value = f"{sign.value:g} %" if isinstance(sign.value, float | int) else (sign.value or "")
    if sign.at is None:
        return f"{name}: {value or _UNREAD.get(sign.name, 'not known')}"
    says = {True: ", speaks for idle", False: ", speaks for use", None: ""}[sign.idle]
    known = f"{value}, " if value else ""
    return f"{name}: {known}{when(sign.at)} ({_span(sign.age_seconds or 0.0)} ago){says}"


def _policy(policy: "PolicyVerdict") -> str:
    source = _SOURCES.get(policy.source or "", policy.source or "")
    return f"{policy.name} ({source}): {policy.verdict or ''}"


def _decision(decision: "Decision") -> str:
    from novitai_client.cli.tables import when

    return f"{when(decision.at)}  {decision.action} by {decision.by or '?'}: {decision.because}"


def _span(seconds: float) -> str:
    """How long, in the largest unit that fits."""
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
