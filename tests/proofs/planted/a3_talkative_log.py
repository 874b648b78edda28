"""A log that tells everything: what is to be written down is written as it is.

Most programs log so. It stands in for `Redactor.text`, so that names still hide their values and texts hide nothing. Run as a program it
forks servers with the bug.
"""

from novitai.telemetry.redaction import Redactor
from support import forking

BUG = "texts in the log as they are"


def _text(_self: Redactor, text: str) -> str:
    return text


if __name__ == "__main__":
    Redactor.text = _text  # type: ignore[method-assign]
    forking.main()
