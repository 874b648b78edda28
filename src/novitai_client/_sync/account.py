# Generated from src/novitai_client/_async/account.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about what can be had from Novita: offers, templates, regions, registry credentials."""

from collections.abc import Sequence

from novitai_client._calls import path
from novitai_client._sync.connection import Connection
from novitai_client.models import OfferList, Region, RegistryAuth, Shape, Template


class _Templates(Shape, frozen=True, kw_only=True):
    templates: tuple[Template, ...]


class _Regions(Shape, frozen=True, kw_only=True):
    regions: tuple[Region, ...]


class _RegistryAuths(Shape, frozen=True, kw_only=True):
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

    def templates(self) -> tuple[Template, ...]:
        """The templates of the account."""
        return (self._get(_Templates, path("templates"))).templates

    def template(self, template_id: str | int) -> Template:
        """One template. Raises NotFound."""
        return self._get(Template, path("templates", str(template_id)))

    def regions(self) -> tuple[Region, ...]:
        """The regions in which machines can be had."""
        return (self._get(_Regions, path("regions"))).regions

    def registry_auths(self) -> tuple[RegistryAuth, ...]:
        """The account's registry credentials, by id; never a password."""
        return (self._get(_RegistryAuths, path("registry-auths"))).registry_auths
