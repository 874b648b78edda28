"""What we agree to send: URLs without tricks, headers that stay on their line."""

import re
from collections.abc import Mapping

from yarl import URL

from novitai.egress.errors import InvalidUrl

MAX_URL = 2_048
# Spaces and control characters, and the backslash, which some parsers take for a slash.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
# Judged on the text: a parser may drop an empty user name.
_USERINFO = re.compile(r"[^/]*//[^/?#]*@")
# A URL of these characters is sent as it is: quoting it anew could break signatures and tokens that it carries.
_QUOTED = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def checked_url(url: str) -> URL:
    """The URL, parsed once for everybody. Raises InvalidUrl unless it is http or https, with a host, and without
    userinfo.
    """
    if len(url) > MAX_URL or _FORBIDDEN.search(url):
        raise InvalidUrl(f"a URL has at most {MAX_URL} characters and no spaces, control characters or backslashes")
    try:
        parsed = URL(url, encoded=_QUOTED.fullmatch(url) is not None)
        port = parsed.port
    except (ValueError, UnicodeError) as error:
        raise InvalidUrl(f"not a URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidUrl("only http and https URLs with a host are called")
    if _USERINFO.match(url):
        raise InvalidUrl("a URL with a user name or password is not called")
    if not port:
        raise InvalidUrl("a port is between 1 and 65535")
    return parsed


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers as given. Raises InvalidUrl for one that could be read as more than one line."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidUrl(f"the header {name!r} has a name or value that cannot be sent")
    return headers
