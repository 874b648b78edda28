"""How many GPUs there are: one pool per product, cluster and billing mode.

A machine holds its GPUs from the create (or start) until it is stopped, deleted or reclaimed; a stopped machine holds none
(novita-wire.md 7.1). The pool may be made smaller than what is held: then nothing is free, and nobody loses a machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from novita_simulator.catalogue import Catalogue, Product

Pool = tuple[str, str, str]  # product id, cluster id, billing mode

_LOW, _HIGH = 4, 16


@dataclass(slots=True)
class Shelf:
    total: int
    held: int = 0

    @property
    def free(self) -> int:
        return max(0, self.total - self.held)


class Stock:
    def __init__(self, catalogue: Catalogue) -> None:
        self._shelves: dict[Pool, Shelf] = {
            (product.id, cluster.id, mode): Shelf(total=product.stock)
            for product in catalogue.products.values()
            for cluster in catalogue.clusters_of(product)
            for mode in product.billing_modes
        }

    def free(self, pool: Pool) -> int:
        shelf = self._shelves.get(pool)
        return shelf.free if shelf else 0

    def hold(self, pool: Pool, gpus: int) -> None:
        self._shelves.setdefault(pool, Shelf(total=0)).held += gpus

    def release(self, pool: Pool, gpus: int) -> None:
        self._shelves[pool].held -= gpus

    def pools(
        self, *, product_id: str | None = None, cluster_id: str | None = None, billing_mode: str | None = None
    ) -> Iterator[tuple[Pool, Shelf]]:
        """The pools that fit; what is not given fits all."""
        wanted = (product_id, cluster_id, billing_mode)
        for pool, shelf in self._shelves.items():
            if all(want is None or want == have for want, have in zip(wanted, pool, strict=True)):
                yield pool, shelf

    def most_free(self, product: Product, cluster_ids: list[str], billing_mode: str) -> int:
        return max((self.free((product.id, cluster_id, billing_mode)) for cluster_id in cluster_ids), default=0)


def inventory_state(free: int) -> str:
    """Novita's word for how much is left (novita-wire.md 3.2); where its limits lie is not known."""
    if free == 0:
        return "none"
    if free < _LOW:
        return "low"
    return "normal" if free < _HIGH else "high"
