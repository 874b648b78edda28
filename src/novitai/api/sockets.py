"""The listening socket: made, and closed without breaking anybody off.

The kernel shakes hands with callers on its own and keeps them in a queue until they are accepted; whoever is in it when the socket
closes is reset, although they may have sent a request. So before that the kernel is told to begin no further handshake, and the queue
runs empty.
"""

import contextlib
import ctypes
import socket
import struct
import sys

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux
_INSTRUCTION = struct.Struct("HBBI")
# Classic BPF over the TCP header: drop what has the flag SYN, keep the rest, among it the end of handshakes that have begun.
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 1, 0, 0x02),  # SYN? then over the next one
    (0x06, 0, 0, 0xFFFF_FFFF),  # keep all of it
    (0x06, 0, 0, 0),  # keep nothing
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def bind(host: str, port: int) -> socket.socket:
    """A socket at this address, not listening yet. Raises OSError when the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.set_inheritable(False)
    except OSError:
        listening.close()
        raise
    return listening


def begin_no_more(listening: socket.socket) -> None:
    """Let no further connection begin; those that have begun are still accepted. Newcomers try again after a second and are refused by
    then. Where the system cannot do this nothing happens, and whoever comes in the last instant is reset.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in _NO_SYN))
    program = _Program(len(_NO_SYN), ctypes.addressof(code))
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, bytes(program))
