"""Where a request may ask us to send webhooks, judged by the URL alone: what would be refused at every attempt is better
said at once, to whoever typed it.

Names are not looked up here: what they lead to is judged when an attempt dials it, since it may change.
"""

from novitai.egress.addresses import Guard
from novitai.egress.errors import InvalidUrl
from novitai.egress.outgoing import checked_url

_SETTING = "WEBHOOK_ALLOW_CIDRS"


def barred(guard: Guard, url: str) -> str | None:
    """Why webhooks cannot go to this URL, and what would change that; None when nothing speaks against it yet."""
    try:
        host = checked_url(url).raw_host or ""
    except InvalidUrl as error:
        return str(error)
    reason = guard.refusal_of_host(host)
    if reason is None:
        return None
    if reason == "metadata":
        return f"{host} is a metadata service, which is never called"
    return f"{host} is not called: {reason}; an operator can allow its network in {_SETTING}"
