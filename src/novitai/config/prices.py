"""Settings of the price history: at which prices somebody wants to be told."""

import re
from dataclasses import dataclass

from novitai.config.kinds import Kind, RefusedError, money, usd
from novitai.config.variables import group, setting

_ALERT = re.compile(r"(?P<name>[^<:,]*\w[^<:,]*)(?::(?P<mode>[^<:,]*))?<(?P<price>[^<,]+)")
_MODES = {"spot": "spot", "ondemand": "onDemand"}
_PRICE = money(least="0.00001")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Tell when this product can be had below this price per GPU and hour (in 1/100000 USD); `mode` None: however billed."""

    product_name: str
    mode: str | None
    below: int

    def __str__(self) -> str:
        mode = f":{self.mode}" if self.mode else ""
        return f"{self.product_name}{mode}<{usd(self.below)}"


def price_alerts() -> Kind[tuple[Alert, ...]]:
    """Alerts such as `RTX 4090 24GB<0.30` and `H100 80GB:spot<1.80`, separated by commas."""

    def read(given: str) -> tuple[Alert, ...]:
        return tuple(dict.fromkeys(_alert(part.strip()) for part in given.split(",") if part.strip()))

    return Kind(
        allowed="alerts such as `RTX 4090 24GB<0.30` or `H100 80GB:spot<1.80`, separated by commas; USD per GPU and hour",
        read=read,
        show=lambda alerts: ",".join(map(str, alerts)),
    )


def _alert(part: str) -> Alert:
    found = _ALERT.fullmatch(part)
    if found is None:
        raise RefusedError(f"has {part!r}, which is not a product and a price with `<` between them")
    mode = None if found["mode"] is None else _MODES.get(found["mode"].strip().lower().replace("-", ""))
    if mode is None and found["mode"] is not None:
        raise RefusedError(f"has {part!r}, whose billing mode is neither spot nor onDemand")
    try:
        below = _PRICE.read(found["price"].strip().removeprefix("$"))
    except RefusedError as wrong:
        raise RefusedError(f"has {part!r}, whose price {wrong}") from None
    return Alert(product_name=" ".join(found["name"].split()), mode=mode, below=below)


@group
class Prices:
    """Whom prices interest. The history itself needs no setting."""

    alerts: tuple[Alert, ...] = setting(
        "PRICE_ALERTS",
        price_alerts(),
        default="",
        meaning=(
            "Products and prices: `price.below` is told when one can be had for less per GPU and hour, once until it has "
            "been dearer."
        ),
        reason="Which price is low is for you to say.",
        shown_default="none",
    )
