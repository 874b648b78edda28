# Generated from src/novitai_client/_async/account.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about what can be had from Novita: offers, prices, templates, regions, registry credentials."""

from collections.abc import Sequence

from novitai_client._answers import Paged
from novitai_client._calls import path
from novitai_client._sync.connection import Connection
from novitai_client.models import OfferList, PricePage, Region, RegistryAuth, Template


class _Templates(Paged, frozen=True, kw_only=True):
    templates: tuple[Template, ...]


class _Regions(Paged, frozen=True, kw_only=True):
    regions: tuple[Region, ...]


class _RegistryAuths(Paged, frozen=True, kw_only=True):
    registry_auths: tuple[RegistryAuth, ...]


class AccountCalls(Connection):
    """Calls about offers, templates, regions and registry credentials."""

    def offers(
        self,
        product: str | None = None,
        *,
        product_id: str | None = None,
        gpus: int | None = None,
        disk: int | None = None,
        region: str | Sequence[str] | None = None,
        billing: str | None = None,
        placement: str | None = None,
        max_price: float | None = None,
    ) -> OfferList:
        """What could be bought now, best first, each with the reason for its place. Arguments as in `create`."""
        query = {
            "productName": product,
            "productId": product_id,
            "gpuNum": gpus,
            "rootfsSize": disk,
            "region": region,
            "billingMode": billing,
            "placement": placement,
            "maxPricePerHour": max_price,
        }
        return self._get(OfferList, path("offers"), query)

    def prices(
        self,
        product: str | None = None,
        *,
        product_id: str | None = None,
        region: str | None = None,
        billing: str | None = None,
        days: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> PricePage:
        """What products cost over the last `days` (30), and when they could be had. `billing` is `spot` or `onDemand`, both when left out.

        One page; `cursor` is `next_cursor` of the page before. Raises NotFound for a product or region that has no history.
        """
        query = {
            "productName": product,
            "productId": product_id,
            "region": region,
            "billingMode": billing,
            "days": days,
            "limit": limit,
            "cursor": cursor,
        }
        return self._get(PricePage, path("prices"), query)

    def templates(self) -> tuple[Template, ...]:
        """The templates of the account."""
        pages = self._pages(_Templates, path("templates"))
        return tuple([one for page in pages for one in page.templates])

    def template(self, template_id: str | int) -> Template:
        """One template. Raises NotFound."""
        return self._get(Template, path("templates", str(template_id)))

    def regions(self) -> tuple[Region, ...]:
        """The regions in which machines can be had."""
        pages = self._pages(_Regions, path("regions"))
        return tuple([one for page in pages for one in page.regions])

    def registry_auths(self) -> tuple[RegistryAuth, ...]:
        """The account's registry credentials, by id; never a password."""
        pages = self._pages(_RegistryAuths, path("registry-auths"))
        return tuple([one for page in pages for one in page.registry_auths])
