"""Planted: the guard sits in the resolver alone, which the library does not ask about an address that is written out."""

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.dialling import Dialler
from support.peers import ToldResolver


class _Unguarded(Dialler):
    def open_socket(self, info):
        guard, self._guard = self._guard, Guard(["0.0.0.0/0", "::/0"])
        try:
            return super().open_socket(info)
        finally:
            self._guard = guard


class GuardInTheResolver(EgressClient):
    """Looks at names only."""

    def __init__(self, guard: Guard, resolver: ToldResolver | None) -> None:
        super().__init__(guard, connect_timeout=1.0, resolver=resolver)
        self._dialler.__class__ = _Unguarded
