"""A catalogue that does not remember which offers just had no capacity: the next request pays for the same refusal again."""

from novitai.domain.offers import OfferKey
from novitai.operations.catalogue import CatalogueBook


def refused(_book: CatalogueBook, _key: OfferKey) -> None:
    """In place of CatalogueBook.refused."""
