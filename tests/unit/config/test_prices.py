"""`PRICE_ALERTS`: what is taken, what is refused, and how it is shown again."""

import pytest

from novitai.config.kinds import RefusedError
from novitai.config.prices import Alert, price_alerts


def test_alerts_read_back_as_they_are_shown() -> None:
    """With or without a billing mode; spaces and a dollar sign do not matter."""
    found = price_alerts().read(" RTX  4090 24GB < $0.30, H100 80GB:on-demand<1.8,RTX 4090 24GB<0.3 ")

    assert found == (
        Alert(product_name="RTX 4090 24GB", mode=None, below=30_000),
        Alert(product_name="H100 80GB", mode="onDemand", below=180_000),
    )
    assert price_alerts().read(price_alerts().show(found)) == found


@pytest.mark.parametrize(
    "written",
    [
        "RTX 4090",
        "<0.30",
        "RTX 4090<",
        "RTX 4090<cheap",
        "RTX 4090<0",
        "RTX 4090<-1",
        "RTX 4090:monthly<1",
        ":spot<1",
        "a<1<2",
    ],
)
def test_an_alert_that_could_never_be_meant_is_refused(written: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(RefusedError, match="has '"):
        price_alerts().read(written)
