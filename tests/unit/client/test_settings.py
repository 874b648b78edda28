"""Where the server is and which key is shown."""

from pathlib import Path

import pytest

from novitai_client import SettingsError
from novitai_client._settings import target


def test_without_anything_it_is_the_server_on_this_machine() -> None:
    assert target(None, None, {}).url == "http://127.0.0.1:3000"
    assert target(None, None, {}).api_key is None


def test_the_environment_says_where_and_who() -> None:
    found = target(None, None, {"NOVITAI_URL": "https://gpu.example/", "NOVITAI_API_KEY": "nvk_a_b"})

    assert (found.url, found.api_key) == ("https://gpu.example", "nvk_a_b")


def test_arguments_win_over_the_environment() -> None:
    found = target("http://one", "nvk_1", {"NOVITAI_URL": "http://two", "NOVITAI_API_KEY": "nvk_2"})

    assert (found.url, found.api_key) == ("http://one", "nvk_1")


def test_a_key_can_come_from_a_file(tmp_path: Path) -> None:
    """A secret mounted as a file works, the line end that editors leave included."""
    path = tmp_path / "key"
    path.write_text("nvk_a_b\n", encoding="utf-8")

    assert target(None, None, {"NOVITAI_API_KEY_FILE": str(path)}).api_key == "nvk_a_b"


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="NOVITAI_API_KEY_FILE"):
        target(None, None, {"NOVITAI_API_KEY_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("url", ["ftp://x", "localhost:3000", "http://", "http://x:port", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="not the address"):
        target(url, None, {})


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb", "\x00", "  "])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """It is refused here, without being shown."""
    with pytest.raises(SettingsError) as refused:
        target(None, key, {})

    assert key.strip() == "" or key not in str(refused.value)


def test_printing_a_target_does_not_show_the_key() -> None:
    assert "secret" not in repr(target("http://x", "nvk_secret", {}))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [("http://127.0.0.1:1", True), ("http://[::1]:1", True), ("http://localhost", True), ("http://gpu.example", False)],
)
def test_a_server_on_this_machine_is_recognised(url: str, loopback: bool) -> None:
    """Proxies of the environment are not for it."""
    assert target(url, None, {}).loopback is loopback
