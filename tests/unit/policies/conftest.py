"""The tests of `policies` run without sockets and without waiting."""

from support.purity import neither_sockets_nor_waiting

__all__ = ["neither_sockets_nor_waiting"]
