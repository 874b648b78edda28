"""What a request may name as its endpoint is said at once (promise W7)."""

import pytest

from novitai.egress.addresses import Guard
from novitai.webhooks.destinations import barred


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/hook",
        "http://127.1:8080/",
        "http://[::1]/",
        "https://localhost/hook",
        "http://[::ffff:192.168.0.1]/",
        "http://①②⑦.⓪.⓪.①/",
    ],
)
def test_a_private_address_is_barred_and_the_setting_named(url):
    """Whoever typed it can go to the operator with the answer."""
    assert "WEBHOOK_ALLOW_CIDRS" in barred(Guard(), url)


def test_a_metadata_service_is_barred_without_a_way_out():
    """No setting opens it, so none is named."""
    why = barred(Guard(["0.0.0.0/0"]), "http://169.254.169.254/latest/meta-data/")

    assert why == "169.254.169.254 is a metadata service, which is never called"


@pytest.mark.parametrize("url", ["https://hook.example/a", "http://8.8.8.8/", "http://10.1.2.3:8080/"])
def test_names_public_addresses_and_listed_ones_are_not(url):
    """What a name leads to is judged when it is dialled."""
    assert barred(Guard(["10.1.0.0/16"]), url) is None


@pytest.mark.parametrize("url", ["ftp://hook.example/", "http://user@hook.example/", "http://hook.example:0/"])
def test_what_is_never_sent_is_barred_with_the_reason(url):
    """The same words as at the attempt."""
    assert barred(Guard(), url)
