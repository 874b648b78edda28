"""All settings of one run: the groups, where each value came from, and what is worth a warning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from novitai.config.account import Breaker, Novita, Upstream
from novitai.config.costs import Costs
from novitai.config.idle import AutoStop
from novitai.config.instances import Ceilings, Health, Lifecycle, Placement
from novitai.config.kinds import are_aes_keys, key_texts, masked
from novitai.config.migration import Migration
from novitai.config.prices import Prices
from novitai.config.service import Inbound, Logging, Server, Store
from novitai.config.variables import Variable, declared
from novitai.config.webhooks import Webhooks


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked of this run. Only the composition root holds it whole; without arguments it holds the defaults.

    `origins`: by variable name, where a value came from when it is not the default. `warnings`: one readable line each.
    """

    novita: Novita = field(default_factory=Novita)
    server: Server = field(default_factory=Server)
    store: Store = field(default_factory=Store)
    webhooks: Webhooks = field(default_factory=Webhooks)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    health: Health = field(default_factory=Health)
    placement: Placement = field(default_factory=Placement)
    ceilings: Ceilings = field(default_factory=Ceilings)
    prices: Prices = field(default_factory=Prices)
    costs: Costs = field(default_factory=Costs)
    auto_stop: AutoStop = field(default_factory=AutoStop)
    migration: Migration = field(default_factory=Migration)
    upstream: Upstream = field(default_factory=Upstream)
    breaker: Breaker = field(default_factory=Breaker)
    inbound: Inbound = field(default_factory=Inbound)
    logging: Logging = field(default_factory=Logging)
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def secret_values(self) -> frozenset[str]:
        """Every secret in plain text, so that logs can leave them out wherever they turn up; passwords inside addresses
        too.
        """
        return frozenset(value for _, _, held in self.each() for value in _secrets_in(held))

    def each(self) -> Iterator[tuple[str, Variable, Any]]:
        """Every variable with the name of its group and its value."""
        for name, group in GROUPS.items():
            for attribute, variable in declared(group):
                yield name, variable, getattr(getattr(self, name), attribute)


GROUPS: dict[str, type] = {
    "novita": Novita,
    "server": Server,
    "store": Store,
    "webhooks": Webhooks,
    "lifecycle": Lifecycle,
    "health": Health,
    "placement": Placement,
    "ceilings": Ceilings,
    "prices": Prices,
    "costs": Costs,
    "auto_stop": AutoStop,
    "migration": Migration,
    "upstream": Upstream,
    "breaker": Breaker,
    "inbound": Inbound,
    "logging": Logging,
}
"""The groups by the name of their field, in the order in which people read them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of `novitai config`. Values are as they would be written; secrets and passwords are `***`."""

    group: str
    name: str
    value: str
    source: str
    meaning: str


def describe(settings: Settings) -> list[Row]:
    """Every variable with its value, where that came from and what it means."""
    return [
        Row(
            group=group,
            name=variable.name,
            value=shown(variable, value),
            source=settings.origins.get(variable.name, "default"),
            meaning=variable.meaning,
        )
        for group, variable, value in settings.each()
    ]


def shown(variable: Variable, value: Any) -> str:
    """A value fit for eyes: `none` for what is not set, `all` and the like where that is what it means."""
    if value is None and variable.name != "NOVITAI_STORE":  # whose None is memory
        return "none"
    return masked(variable.kind.show(value)) or variable.default_text


def _secrets_in(held: object) -> Iterator[str]:
    if isinstance(held, SecretStr):
        text = held.get_secret_value()
        yield text
        if are_aes_keys(text):
            yield from key_texts(text)  # each of several is a secret by itself
    elif isinstance(held, str) and "://" in held and (password := urlsplit(held).password):
        yield from {password, unquote(password)}
