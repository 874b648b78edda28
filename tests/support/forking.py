"""A process that has imported our programs and forks one of them for each request: a real process in 30 ms instead of a second.

Run as a program with the number of a Unix socket. A request is one message `{"program", "argv", "environment", "folder"}` with two file
descriptors, for standard output and standard error; the answer is the pid. A request `{"wait": pid}` is answered with the exit code, the
negative signal number when a signal ended it. What is imported here must start no thread and no event loop: forks inherit neither.
"""

import json
import os
import signal
import socket
import sys
from importlib import import_module

PROGRAMS = (
    "novitai_main",
    "novitai.cli",
    "novitai.app.serve",
    "novitai.doctor.command",
    "uvloop",
    "novitai_client.cli.program",
    "novitai_client",
)
CLIENT = ("_sync.client", "_async.client", "models", "errors", "cli.tables", "cli.failures")
LARGEST_MESSAGE = 65_536


def main() -> None:
    """Serve requests until the other end goes away."""
    for name in (*PROGRAMS, *(f"novitai_client.{part}" for part in CLIENT)):
        import_module(name)
    wire = socket.socket(fileno=int(sys.argv[1]))
    wire.send(b'"ready"')
    while True:
        message, descriptors, _, _ = socket.recv_fds(wire, LARGEST_MESSAGE, 2)
        if not message:
            return
        request = json.loads(message)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            wire.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            wire.close()
            _become(request, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        wire.send(json.dumps(pid).encode())


def _become(request: dict, output: int, errors: int) -> None:
    """Be the program that was asked for; never returns."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv = ["novitai", *request["argv"]]
        code = import_module("novitai_main").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
