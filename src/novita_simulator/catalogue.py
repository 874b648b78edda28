"""What can be bought: clusters and products with their prices.

Names, ids and units have Novita's real forms (novita-wire.md 1.3, 1.4): prices are integers of 1/100000 USD per GPU and hour, a
product lists cluster *names* while every parameter wants cluster *ids*, and an empty list means every cluster. One GPU may
cost differently in different places; then it is sold as distinct products. The figures are of the right size, not Novita's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

BILLING_MODES = ("onDemand", "spot", "monthly")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    id: str
    name: str
    network_storage: bool = True
    instance_network: bool = True


@dataclass(frozen=True, kw_only=True)
class Product:
    """One kind of machine. `cpu`, `memory` and `disk` (GB) are per GPU for `gpu` products, in all for `cpu` ones."""

    id: str
    name: str
    kind: str = "gpu"
    cpu: int
    memory: int
    disk: int = 6144
    cluster_ids: tuple[str, ...] = ()  # none = sold everywhere
    price: int
    spot_price: int = 0  # 0 = not sold as spot
    monthly_price: int = 0  # for one month; 0 = not sold by the month
    stock: int = 0  # GPUs per cluster and billing mode when the world begins

    @property
    def billing_modes(self) -> tuple[str, ...]:
        prices = {"onDemand": self.price, "spot": self.spot_price, "monthly": self.monthly_price}
        return tuple(mode for mode in BILLING_MODES if prices[mode])

    def price_for(self, billing_mode: str) -> int:
        """Per GPU and hour, in 1/100000 USD; nothing runs by the hour on a monthly machine, which is paid ahead."""
        return {"onDemand": self.price, "spot": self.spot_price, "monthly": 0}[billing_mode]

    def sold_in(self, cluster_id: str) -> bool:
        return not self.cluster_ids or cluster_id in self.cluster_ids


class Catalogue:
    """The products and clusters on sale now. Only prices change, by `reprice`."""

    def __init__(self, *, clusters: Iterable[Cluster], products: Iterable[Product]) -> None:
        self.clusters = {cluster.id: cluster for cluster in clusters}
        self.products = {product.id: product for product in products}

    def clusters_of(self, product: Product) -> list[Cluster]:
        return [cluster for cluster in self.clusters.values() if product.sold_in(cluster.id)]

    def gpu_names_in(self, cluster_id: str) -> list[str]:
        names = (p.name for p in self.products.values() if p.kind == "gpu" and p.sold_in(cluster_id))
        return sorted(set(names))

    def reprice(self, product_id: str, *, price: int, spot_price: int) -> None:
        self.products[product_id] = replace(self.products[product_id], price=price, spot_price=spot_price)


CLUSTERS = (
    Cluster(id="us-ca-6", name="US-CA-06 (California)"),
    Cluster(id="us-ca-nas-2", name="US-CA-NAS-02 (California)"),
    Cluster(id="us-dallas-1", name="US-01 (Dallas)", network_storage=False),
    Cluster(id="cn-hongkong-1", name="CN-HK-01 (Hong Kong)"),
    Cluster(id="as-sgp-2", name="AS-SGP-02 (Singapore)"),
    Cluster(id="as-in-1", name="AS-IN-01 (India)"),
    Cluster(id="oc-au-1", name="OC-AU-01 (Australia)", network_storage=False),
    Cluster(id="eu-gb-1", name="EU-GB-01 (United Kingdom)", instance_network=False),
)

_MONTH_HOURS = 730


def _gpu(
    product_id: str,
    name: str,
    *,
    cpu: int,
    memory: int,
    clusters: tuple[str, ...],
    price: int,
    spot: float = 0.5,
    stock: int = 16,
) -> Product:
    """A GPU product whose spot price is a share of the hourly one and whose month costs 70 % of its hours."""
    return Product(
        id=product_id,
        name=name,
        cpu=cpu,
        memory=memory,
        cluster_ids=clusters,
        price=price,
        spot_price=int(price * spot),
        monthly_price=price * _MONTH_HOURS * 7 // 10,
        stock=stock,
    )


_PACIFIC = ("cn-hongkong-1", "as-sgp-2", "oc-au-1")

PRODUCTS = (
    _gpu("3090.16c92g", "RTX 3090 24GB", cpu=16, memory=92, clusters=(), price=21_000, stock=12),
    _gpu("4090.16c62g", "RTX 4090 24GB", cpu=16, memory=62, clusters=("us-ca-6", "as-in-1"), price=35_000, stock=32),
    _gpu("4090.16c96g.v2", "RTX 4090 24GB", cpu=16, memory=96, clusters=_PACIFIC, price=39_000, stock=24),
    _gpu(
        "4090.16c62g.os", "RTX 4090 24GB", cpu=16, memory=62, clusters=("eu-gb-1", "us-dallas-1"), price=37_000, spot=0
    ),
    _gpu("5090.24c96g", "RTX 5090 32GB", cpu=24, memory=96, clusters=("us-ca-6", "as-sgp-2"), price=50_000, stock=16),
    _gpu("5090.24c96g.hk", "RTX 5090 32GB", cpu=24, memory=96, clusters=("cn-hongkong-1",), price=53_000, stock=8),
    _gpu("26", "RTX A6000 48GB", cpu=12, memory=60, clusters=("us-ca-nas-2",), price=49_000, spot=0, stock=8),
    _gpu("L40S.24c120g", "L40S 48GB", cpu=24, memory=120, clusters=("us-ca-6", "eu-gb-1"), price=55_000),
    _gpu("6000Ada.16c120g", "RTX 6000 Ada 48GB", cpu=16, memory=120, clusters=("us-ca-6", "oc-au-1"), price=70_000),
    _gpu("A100-80GB.14c240g", "A100 SXM 80GB", cpu=14, memory=240, clusters=("us-ca-6", "as-sgp-2"), price=160_000),
    _gpu("H100-80GB.20c240g", "H100 SXM 80GB", cpu=20, memory=240, clusters=("us-ca-6", "as-in-1"), price=256_000),
    _gpu("H100-80GB.20c240g.v2", "H100 SXM 80GB", cpu=20, memory=240, clusters=("eu-gb-1",), price=269_000, stock=8),
    _gpu("H200-141GB.24c240g", "H200 SXM 141GB", cpu=24, memory=240, clusters=("us-dallas-1",), price=350_000, stock=8),
    Product(id="cpu.8c16g", name="8 vCPU 16GB", kind="cpu", cpu=8, memory=16, disk=60, price=4_000, stock=256),
    Product(id="cpu.16c64g", name="16 vCPU 64GB", kind="cpu", cpu=16, memory=64, disk=60, price=11_000, stock=256),
)


def default_catalogue() -> Catalogue:
    return Catalogue(clusters=CLUSTERS, products=PRODUCTS)
