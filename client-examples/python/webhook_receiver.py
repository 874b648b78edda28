"""Receive webhooks: verify each one, tell it once, answer at once.

    WEBHOOK_SECRET=whsec_… python webhook_receiver.py --port 8090

Give the server the same secret and `WEBHOOK_URL=http://127.0.0.1:8090` (and, for a receiver on the same machine,
`WEBHOOK_ALLOW_CIDRS=127.0.0.0/8`).
"""

import argparse
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from novitai_client.webhooks import Event, WebhookVerificationError, verify


class Receiver(BaseHTTPRequestHandler):
    secret = ""
    seen: ClassVar[set[str]] = set()  # a real receiver keeps these for a few days

    def do_POST(self) -> None:
        # The bytes as they came: parsing and printing JSON again would change them, and the signature with them.
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            event = verify(body, dict(self.headers), self.secret)
        except WebhookVerificationError as error:
            print(f"refused: {error}", file=sys.stderr, flush=True)
            self.send_response(401)
        else:
            self.handle_once(event)
            self.send_response(204)
        self.end_headers()

    def handle_once(self, event: Event) -> None:
        """An event may come twice, and in another order than it happened: the id and the sequence tell."""
        if event.id not in self.seen:
            self.seen.add(event.id)
            line = f"{event.sequence:>4}  {event.type:<30} {event.status or '':<16} {event.reason or ''}"
            print(f"{line.rstrip()}\n", end="", flush=True)  # in one piece: attempts come at the same moment

    def log_message(self, *_: object) -> None:
        """One line per event is enough."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8090)
    port = parser.parse_args().port
    Receiver.secret = os.environ.get("WEBHOOK_SECRET", "")
    if not Receiver.secret:
        print("set WEBHOOK_SECRET to what the server signs with", file=sys.stderr)
        return 2
    with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
