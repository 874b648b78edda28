"""The checker of the crash ledger, a process of its own: reads the two ledgers, never the server or its database.

    python -m proofs.ledger.checker DRIVER_LEDGER RECEIVER_LEDGER STATE_URL

Prints a line of JSON whenever something has changed: `{"events", "whole", "quiet"}` (different events so far, whether nothing is missing,
seconds without an arrival). When its standard input is closed it looks at the stand-in's machines and prints its verdict, the last line.
"""

import asyncio
import json
import sys
import time
import urllib.request
from pathlib import Path

from proofs.ledger.journal import Follower
from proofs.ledger.judging import Judge

PAUSE = 0.2


async def main(driver_ledger: str, receiver_ledger: str, state_url: str) -> None:
    asked, arrived = Follower(Path(driver_ledger)), Follower(Path(receiver_ledger))
    judge = Judge()
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    last = time.monotonic()
    while not ending.done():
        judge.asked(asked.news())
        if news := arrived.news():
            judge.arrived(news)
            last = time.monotonic()
        _say({"events": judge.events, "whole": judge.whole, "quiet": time.monotonic() - last})
        await asyncio.wait({ending}, timeout=PAUSE)
    judge.asked(asked.news())
    judge.arrived(arrived.news())
    with urllib.request.urlopen(state_url) as answer:
        machines = json.load(answer)["machines"]
    _say(judge.verdict(machines))


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
