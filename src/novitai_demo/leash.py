"""Run a `novitai` command that ends when the demo ends, however that ends.

Standard input is a pipe whose other end only the demo holds. When the demo dies, kill -9 included, the system closes
it; that is seen here, and the command is asked to stop like by anybody else.
"""

import os
import signal
import sys
import threading
import time

import novitai_main

GRACE_SECONDS = 5.0


def main() -> int:
    """Run the command line of this process as `novitai` would; the exit code."""
    threading.Thread(target=_end_with_the_demo, name="leash", daemon=True).start()
    return novitai_main.main()


def _end_with_the_demo() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
