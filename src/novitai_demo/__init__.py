"""The command `novitai demo`: one instance from request to signed webhook, on this machine, without an account.

It is a visitor: it starts the simulator and the server as processes of their own, talks to them over HTTP alone (to the
server through `novitai_client`), and takes them down with itself. Nothing of the caller's settings reaches them, so a
real Novita key can never be used here by mistake.
"""

from novitai_demo.command import main

__all__ = ["main"]
