"""The client as the command line uses it: it also keeps the last answer, so that `--json` prints the server's own words,
fields that this client does not know among them.
"""

from typing import Any

import msgspec

from novitai_client._answers import Answer
from novitai_client._calls import Call
from novitai_client._sync.client import Client


class Recorder(Client):
    """A client that remembers its last answer."""

    last_body: bytes = b"{}"

    def _send(self, call: Call) -> Answer:
        answer = super()._send(call)
        self.last_body = answer.body
        return answer

    def last_json(self) -> dict[str, Any]:
        """The last answer, read."""
        return msgspec.json.decode(self.last_body, type=dict[str, Any])
