"""Options that several verbs share, and how their words become values. A wrong one ends with exit code 2."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the instance.", show_default=False)]
Product = Annotated[str | None, typer.Option("--product", metavar="NAME", help='GPU, such as "RTX 4090 24GB".')]
Gpus = Annotated[int | None, typer.Option("--gpus", metavar="N", help="Number of GPUs, 1 to 8.")]
Disk = Annotated[int | None, typer.Option("--disk", metavar="GB", help="Size of the system disk.")]
Regions = Annotated[
    list[str] | None, typer.Option("--region", metavar="R", help="Region: id, code or name; may be given again.")
]
Billing = Annotated[str | None, typer.Option("--billing", metavar="MODE", help="spot, onDemand or auto.")]
MaxPrice = Annotated[
    float | None, typer.Option("--max-price", metavar="USD", help="Most to pay per hour, for all GPUs together.")
]
Ttl = Annotated[str | None, typer.Option("--ttl", metavar="4h", help="Stop it this long after the create, for good.")]
ScheduleStart = Annotated[
    str | None, typer.Option("--schedule-start", metavar="CRON", help='When to start it, such as "0 8 * * 1-5".')
]
ScheduleStop = Annotated[str | None, typer.Option("--schedule-stop", metavar="CRON", help="When to stop it.")]
Timezone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="Whose clock the schedule means; default UTC.")
]


def schedule(start: str | None, stop: str | None, timezone: str | None) -> dict[str, str] | None:
    """The schedule in a create's words; None when nothing was said."""
    said = {"start": start, "stop": stop, "timezone": timezone}
    found = {name: word for name, word in said.items() if word is not None}
    if found and start is None and stop is None:
        raise typer.BadParameter("a time zone needs --schedule-start or --schedule-stop", param_hint="--timezone")
    return found or None


def pairs(words: list[str] | None, option: str) -> dict[str, str] | None:
    """`K=V` words as a mapping."""
    if not words:
        return None
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{word!r} is not K=V", param_hint=option)
        found[name] = value
    return found


def ports(words: list[str] | None) -> list[str] | None:
    """`8080/http` words, checked."""
    from novitai_client._calls import port_list

    try:
        port_list(words)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--port") from error
    return words or None
