"""Values other than durations: what is taken, what is refused, and what is shown of it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.config import kinds
from novitai.config.kinds import Kind, RefusedError


@given(st.integers(min_value=0, max_value=10**6 * kinds.USD))
def test_money_reads_back_exactly(units: int) -> None:
    """No amount passes through a float."""
    assert kinds.money(least="0").read(kinds.usd(units)) == units


@pytest.mark.parametrize("written", ["0.000001", "NaN", "Infinity", "-1", "1000001", "a lot", "1,5"])
def test_an_amount_that_is_not_exact_or_out_of_range_is_refused(written: str) -> None:
    """A cap must mean what it says."""
    with pytest.raises(RefusedError):
        kinds.money(least="0").read(written)


def test_networks_are_read_in_both_families() -> None:
    """A single address is a network of one."""
    found = kinds.networks().read("10.0.0.0/8, fd00::/8,192.0.2.7")

    assert found == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
        ipaddress.ip_network("192.0.2.7/32"),
    )


def test_a_network_with_host_bits_is_asked_about() -> None:
    """10.0.0.1/8 is either a typo or a misunderstanding; both open more than was meant."""
    with pytest.raises(RefusedError, match=r"did you mean 10.0.0.0/8"):
        kinds.networks().read("10.0.0.1/8")


def test_classes_of_statuses_are_expanded_and_shown_short() -> None:
    """`5xx` is a hundred statuses inside and three characters outside."""
    found = kinds.statuses().read("5xx,408")

    assert {500, 503, 599, 408} <= found
    assert 429 not in found
    assert kinds.statuses().show(found) == "5xx,408"


@pytest.mark.parametrize("written", ["200", "2xx", "6xx", "50", "soon"])
def test_a_status_that_is_a_success_or_none_is_refused(written: str) -> None:
    """A delivered webhook is never sent again."""
    with pytest.raises(RefusedError):
        kinds.statuses().read(written)


@pytest.mark.parametrize(
    "written",
    ["ftp://example.com", "example.com", "https://", "http://h:99999/", "http://[::1", "https://a b", "http://x\x00y"],
)
def test_what_is_no_web_address_is_refused(written: str) -> None:
    """Nonsense is found at the start, not at the first call."""
    with pytest.raises(RefusedError):
        kinds.url().read(written)


def test_a_password_in_an_address_is_not_shown() -> None:
    """Addresses are printed and logged; what stands before the @ is not."""
    assert kinds.url().show("http://me:secret@proxy.example.com:8080/") == "http://***@proxy.example.com:8080/"


def test_a_base_address_loses_its_slash_and_may_not_bring_the_version() -> None:
    """Paths bring their own /v1; twice would be 404 on every call."""
    base = kinds.base_url()

    assert base.read("https://api.novita.ai/gpu-instance/openapi/") == "https://api.novita.ai/gpu-instance/openapi"
    with pytest.raises(RefusedError, match=r"did you mean https://api.novita.ai/gpu-instance/openapi\?"):
        base.read("https://api.novita.ai/gpu-instance/openapi/v1")


@pytest.mark.parametrize(
    "kind",
    [
        kinds.key(least=16),
        kinds.secret(allowed="", check=kinds.are_aes_keys),
        kinds.secret(allowed="", check=kinds.is_webhook_secret),
    ],
)
def test_a_refused_secret_is_not_quoted(kind: Kind[object]) -> None:
    """The message goes to a terminal and to logs."""
    with pytest.raises(RefusedError) as refusal:
        kind.read("hunter2")

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "fine"),
    [
        ("longenough", True),
        ("short", False),
        ("whsec_bm92aXRhaQ==", True),
        ("whsec_not base64!", False),
        ("whsec_", False),
    ],
)
def test_a_webhook_secret_must_be_one_that_receivers_can_verify_with(written: str, fine: bool) -> None:
    """Standard libraries decode what follows `whsec_`; if they cannot, no receiver could check a signature."""
    assert kinds.is_webhook_secret(written) is fine


@pytest.mark.parametrize("written", ["postgresql://db/x", "redis://r", "rediss://r", "upstash"])
def test_an_engine_of_a_later_release_is_told_apart_from_nonsense(written: str) -> None:
    """It is planned, and it is not there yet."""
    with pytest.raises(RefusedError, match="later release"):
        kinds.database().read(written)


@pytest.mark.parametrize(("written", "value"), [("YES", True), ("0", False), ("off", False), ("true", True)])
def test_a_flag_is_read_in_the_usual_spellings(written: str, value: bool) -> None:
    """Compose files, shells and people write it differently."""
    assert kinds.flag().read(written) is value


@pytest.mark.parametrize("written", ["maybe", "2"])
def test_a_flag_that_is_neither_is_refused(written: str) -> None:
    """An unknown word is not taken for no."""
    with pytest.raises(RefusedError):
        kinds.flag().read(written)


@pytest.mark.parametrize("written", ["3.5", "1e3", "70000", "-1", "", "٣"])
def test_a_number_out_of_form_or_range_is_refused(written: str) -> None:
    """A port is a port."""
    with pytest.raises(RefusedError):
        kinds.integer(0, 65535).read(written)
