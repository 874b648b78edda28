"""How `{instance_id}` is told apart from the words of the API's own paths: an instance cannot have one of those as its name."""

import re

from starlette.convertors import Convertor, register_url_convertor

from novitai.operations.reads import RESERVED_NAMES


class Reference(Convertor[str]):
    """Our id, Novita's id, or a name; never a reserved word, so that a wrong method on such a path is 405 and not a search."""

    regex = f"(?!(?:{'|'.join(map(re.escape, sorted(RESERVED_NAMES)))})(?:/|$))[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def register() -> None:
    """Make `{…:reference}` known to the router."""
    register_url_convertor("reference", Reference())
