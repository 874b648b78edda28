"""The receiver of the crash ledger, a process of its own: writes every arrival down, then answers it or misbehaves.

    python -m proofs.ledger.receiver LEDGER SECRET FAILING SEED

Prints the address to send to. Of the arrivals the share FAILING goes wrong, each in one of these manners: a status that asks to come again;
`reset`, the connection torn down; `lost`, taken in like any other but the acknowledgement never gets back. Signatures are checked with the
reference library of Standard Webhooks, which shares nothing with the server.
"""

import asyncio
import hashlib
import json
import random
import socket
import struct
import sys
import time
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from proofs.ledger.journal import Journal

UNLUCKY = ("500", "502", "503", "429", "reset", "lost")


class Receiver:
    """Answers on raw connections, one request on each."""

    def __init__(self, ledger: Journal, secret: str, *, failing: float, seed: int) -> None:
        self._ledger = ledger
        self._key = Webhook(secret)
        self._failing = failing
        self._chance = random.Random(seed)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            headers, body = await _request(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # whoever sent it was killed in the middle
            return
        at = time.time()
        manner = self._chance.choice(UNLUCKY) if self._chance.random() < self._failing else "ok"
        self._note(headers, body, manner=manner, at=at)
        if manner in {"reset", "lost"}:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(manner == "reset"), 0))
            writer.transport.abort()
            return
        status = manner if manner.isdigit() else "204"
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    def _note(self, headers: dict[str, str], body: bytes, *, manner: str, at: float) -> None:
        event = json.loads(body)
        self._ledger.add(
            id=headers.get("webhook-id", ""),
            manner=manner,
            at=at,
            digest=hashlib.sha256(body).hexdigest(),
            signed=self._signed(headers, body),
            body_id=event["id"],
            type=event["type"],
            instance=event["instanceId"],
            sequence=event["sequence"],
            timestamp=event["timestamp"],
        )

    def _signed(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            self._key.verify(body, headers)
        except (WebhookVerificationError, ValueError):
            return False
        return True


async def _request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    pairs = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return headers, await reader.readexactly(int(headers["content-length"]))


async def main(ledger: str, secret: str, failing: str, seed: str) -> None:
    receiver = Receiver(Journal(Path(ledger)), secret, failing=float(failing), seed=int(seed))
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
