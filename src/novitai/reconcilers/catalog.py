"""Keeps offers and prices known, so that readers never wait for Novita: a reading now and then, sooner when somebody
looks at old ones.
"""

from collections.abc import Callable

import structlog

from novitai.domain.errors import ProviderFailure
from novitai.operations.catalogue import CatalogueBook
from novitai.ports.coordination import Share
from novitai.ports.store import Lease

log = structlog.get_logger("novitai.catalog")

REFRESH_SECONDS = 300.0
FIRST_TRIES_SECONDS = 5.0
AGAIN_SECONDS = 60.0


class CatalogRefresh:
    """Work of the loop `catalog`. `hushed`: Novita refuses our key, and the observer asks often enough whether that has ended."""

    def __init__(self, book: CatalogueBook, *, hushed: Callable[[], bool]) -> None:
        self._book = book
        self._hushed = hushed

    async def run(self, _lease: Lease) -> float | None:
        """Read the catalogue unless it is fresh."""
        if self._hushed():
            return AGAIN_SECONDS
        try:
            await self._book.fresh(max_age=REFRESH_SECONDS / 2, share=Share.BULK, longest_wait=30.0)
        except ProviderFailure as failure:
            log.warning("catalogue_not_read", error=failure.message)
            return FIRST_TRIES_SECONDS if self._book.known is None else AGAIN_SECONDS
        return None
