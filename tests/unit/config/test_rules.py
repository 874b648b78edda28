"""Rules between settings: what follows, what cannot be together, what production refuses."""

from pathlib import Path

import pytest

from novitai.config import SettingsError, describe, load

KEY = {"NOVITA_API_KEY": "sk_a_real_looking_key"}


def test_the_fast_poll_is_taken_down_to_the_quiet_one(tmp_path: Path) -> None:
    """Something in motion is never looked at less often than something at rest."""
    settings = load({**KEY, "INSTANCE_POLL_INTERVAL": "2s", "INSTANCE_FAST_POLL_INTERVAL": "5s"}, tmp_path)

    assert settings.lifecycle.fast_poll_interval == 2
    row = next(row for row in describe(settings) if row.name == "INSTANCE_FAST_POLL_INTERVAL")
    assert (row.value, row.source) == ("2s", "taken down to INSTANCE_POLL_INTERVAL (2s)")


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    """Serving plain HTTP instead would be the worst way to go on."""
    (tmp_path / "cert.pem").touch()

    with pytest.raises(SettingsError, match="TLS_KEY_FILE is not set, but its other half is"):
        load({**KEY, "TLS_CERT_FILE": "cert.pem"}, tmp_path)


def test_a_file_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    """Not at the first call to Novita, an hour later."""
    with pytest.raises(SettingsError, match=r"UPSTREAM_CA_FILE=.*ca.pem is not a readable file"):
        load({**KEY, "UPSTREAM_CA_FILE": "ca.pem"}, tmp_path)


def test_pauses_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """A first pause longer than the longest one is a mix-up."""
    with pytest.raises(SettingsError, match="RETRY_BASE_DELAY=20s is longer than RETRY_MAX_DELAY=10s"):
        load({**KEY, "RETRY_BASE_DELAY": "20s", "RETRY_MAX_DELAY": "10s"}, tmp_path)


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        ({"HOST": "0.0.0.0"}, "plain HTTP beyond this machine"),
        ({"WEBHOOK_URL": "https://hooks.example.com/x"}, "go out unsigned"),
        ({"NOVITA_API_BASE_URL": "http://novita.example.com/openapi"}, "sends the key in clear text"),
        ({"NOVITA_API_BASE_URL": "https://api.novita.ai"}, "usually ends in /gpu-instance/openapi"),
        ({"INSTANCE_POLL_INTERVAL": "1s"}, "INSTANCE_POLL_INTERVAL=1s is unusual"),
    ],
)
def test_what_is_legal_and_looks_like_a_mistake_is_warned_about(
    tmp_path: Path, environ: dict[str, str], warning: str
) -> None:
    """One line each, and the start goes on."""
    warnings = load({**KEY, **environ}, tmp_path).warnings

    assert len(warnings) == 1
    assert warning in warnings[0]


@pytest.mark.parametrize(
    "environ",
    [{"HOST": "localhost"}, {"HOST": "::1"}, {"NOVITA_API_BASE_URL": "http://127.0.0.1:8088/gpu-instance/openapi"}],
)
def test_what_stays_on_this_machine_needs_no_warning(tmp_path: Path, environ: dict[str, str]) -> None:
    """A warning that always comes is not read."""
    assert load({**KEY, **environ}, tmp_path).warnings == ()


@pytest.mark.parametrize(
    "key",
    [
        "your-novita-api-key",
        "sk_your_key_here",
        "changeme",
        "xxxxxxxxxx",
        "nvk_example_key",
        "change-me-please",
        "demo-key-123",
    ],
)
def test_production_refuses_a_key_that_is_an_example(tmp_path: Path, key: str) -> None:
    """Everybody who has read the documentation knows it."""
    with pytest.raises(SettingsError, match="is an example, and NOVITAI_ENV is production"):
        load({"NOVITA_API_KEY": key, "NOVITAI_ENV": "production"}, tmp_path)


def test_production_takes_keys_that_were_made(tmp_path: Path) -> None:
    """Random keys are not mistaken for examples."""
    made = {
        "NOVITAI_API_KEY": "nvk_k3m9qz_TbYOURx8examplePq2",
        "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }

    assert load({**KEY, **made, "NOVITAI_ENV": "production"}, tmp_path).server.production


def test_production_refuses_a_data_directory_that_others_can_read(tmp_path: Path) -> None:
    """Environment values and keys of instances lie in it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    environ = {**KEY, "NOVITAI_DATA_DIR": "data", "NOVITAI_ENV": "production"}

    with pytest.raises(SettingsError, match=r"can be read by everybody.*chmod 700"):
        load(environ, tmp_path)
    data.chmod(0o700)
    assert load(environ, tmp_path).store.data_dir == data


@pytest.mark.parametrize(
    ("environ", "terminal", "as_json"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"NODE_ENV": "production"}, True, True),
        ({"NODE_ENV": "production", "LOG_FORMAT": "console"}, False, False),
        ({"NODE_ENV": "production", "NOVITAI_ENV": "development"}, True, False),
        ({"NODE_ENV": "test", "LOG_FORMAT": "json"}, True, True),
    ],
)
def test_logs_are_json_where_no_person_reads_along(
    tmp_path: Path, environ: dict[str, str], terminal: bool, as_json: bool
) -> None:
    """In production and in pipes; `LOG_FORMAT` decides when it is set, and `NOVITAI_ENV` wins over `NODE_ENV`."""
    assert load({**KEY, **environ}, tmp_path).logging.as_json(terminal=terminal) is as_json


@pytest.mark.parametrize(("given", "warned"), [("10.0.0.0/8", False), ("0.0.0.0/0", True), ("fd00::/8,::/0", True)])
def test_trusting_every_proxy_is_worth_a_warning(tmp_path: Path, given: str, warned: bool) -> None:
    """Then anybody can choose the address that failed logins are counted by."""
    warnings = load({**KEY, "TRUSTED_PROXIES": given}, tmp_path).warnings

    assert any("TRUSTED_PROXIES" in one for one in warnings) is warned
