"""Loading: where values come from, that all problems are told at once, and what is only warned about."""

from pathlib import Path

import pytest

from novitai.config import Settings, SettingsError, describe, load

KEY = {"NOVITA_API_KEY": "sk_a_real_looking_key"}


def problems(environ: dict[str, str], cwd: Path) -> dict[str, str]:
    """The messages of a start that must fail, by variable."""
    with pytest.raises(SettingsError) as error:
        load(environ, cwd)
    return {problem.name: problem.message for problem in error.value.problems}


def test_with_nothing_but_the_key_everything_has_its_documented_default(tmp_path: Path) -> None:
    """One variable is enough to start."""
    settings = load(KEY, tmp_path)

    assert settings.novita.api_base_url == "https://api.novita.ai/gpu-instance/openapi"
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 3000)
    assert settings.store.database == tmp_path / "novitai-data" / "novitai.db"
    assert settings.webhooks.retry_schedule[:4] == (1, 2, 4, 30)
    assert settings.health.max_wait_time == 300
    assert settings.warnings == ()


def test_without_the_key_of_novita_the_start_stops_unless_it_is_not_needed(tmp_path: Path) -> None:
    """`novitai config` works before there is a key; `serve` does not."""
    assert "NOVITA_API_KEY is not set" in problems({}, tmp_path)["NOVITA_API_KEY"]
    assert load({}, tmp_path, require_novita=False).novita.api_key is None


def test_every_wrong_variable_is_told_in_one_go_with_what_is_allowed(tmp_path: Path) -> None:
    """Nobody wants to fix a file error by error."""
    told = problems({**KEY, "PORT": "http", "REQUEST_TIMEOUT": "30000", "NOVITAI_MODE": "watch"}, tmp_path)

    assert told["PORT"] == "PORT=http is not a whole number. Allowed: a whole number from 0 to 65535."
    assert told["REQUEST_TIMEOUT"].startswith("REQUEST_TIMEOUT=30000 is 8 hours; did you mean 30s? Allowed: ")
    assert told["NOVITAI_MODE"] == "NOVITAI_MODE=watch is not one of them. Allowed: control or observe."
    assert len(told) == 3


def test_the_environment_wins_over_the_file_and_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    """`docker compose` passes empty variables for what nobody set."""
    (tmp_path / ".env").write_text(
        "PORT=4000\nexport HOST='::1' # comment\nDEFAULT_REGION=$HOME\n".replace("$HOME", "EU-01")
    )

    settings = load({**KEY, "PORT": "5000", "HOST": ""}, tmp_path)

    assert (settings.server.port, settings.server.host) == (5000, "::1")
    sources = {row.name: row.source for row in describe(settings)}
    assert (sources["PORT"], sources["HOST"], sources["LOG_LEVEL"]) == ("environment", ".env", "default")


def test_a_dollar_in_the_file_is_a_dollar(tmp_path: Path) -> None:
    """Secrets are made of all characters; nothing is expanded in them."""
    (tmp_path / ".env").write_text("WEBHOOK_SECRET=pa$HOME${PATH}word\n")

    secret = load(KEY, tmp_path).webhooks.secret

    assert secret is not None
    assert secret.get_secret_value() == "pa$HOME${PATH}word"


def test_a_line_that_is_no_assignment_is_told_with_its_number(tmp_path: Path) -> None:
    """A half-deleted line must not silently lose a setting."""
    (tmp_path / ".env").write_text("PORT=4000\n'oops\n")

    assert "line 2, is not NAME=value" in problems(KEY, tmp_path)[".env"]


def test_a_secret_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    """Container platforms mount secrets as files; the line end at the end is not part of them."""
    (tmp_path / "key").write_text("sk_from_a_file\n")

    settings = load({"NOVITA_API_KEY_FILE": "key"}, tmp_path)

    assert settings.novita.api_key is not None
    assert settings.novita.api_key.get_secret_value() == "sk_from_a_file"
    assert next(row.source for row in describe(settings) if row.name == "NOVITA_API_KEY") == "file key"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_used_is_told_once(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty and binary files are three ways to mount the wrong thing."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)

    told = problems({"NOVITA_API_KEY_FILE": "key"}, tmp_path)

    assert list(told) == ["NOVITA_API_KEY"]
    assert told["NOVITA_API_KEY"].startswith("NOVITA_API_KEY_FILE=key ")


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two is old is not for us to guess."""
    told = problems({**KEY, "NOVITA_API_KEY_FILE": "key"}, tmp_path)

    assert told["NOVITA_API_KEY"] == "NOVITA_API_KEY and NOVITA_API_KEY_FILE are both set. Set one of them."


def test_a_misspelled_name_is_warned_about_with_the_nearest_one(tmp_path: Path) -> None:
    """A variable that does nothing says so."""
    warnings = load({**KEY, "NOVITAI_STOER": "memory", "NOVITAI_URL": "http://x", "HOME": "/"}, tmp_path).warnings

    assert warnings == ("NOVITAI_STOER is not a setting and does nothing; did you mean NOVITAI_STORE?",)


def test_a_variable_of_a_part_that_is_not_there_yet_is_warned_about(tmp_path: Path) -> None:
    """Nobody believes that spot machines are brought back, or that the store is on Redis, when it is not so."""
    given = {
        **KEY,
        "UPSTASH_REDIS_REST_URL": "https://r.example.com",
        "REDIS_URL": "redis://r/0",
        "MIGRATION_ENABLED": "",
    }

    warnings = load(given, tmp_path).warnings

    assert warnings == (
        "REDIS_URL does nothing: this version does not offer that",
        "UPSTASH_REDIS_REST_URL does nothing: this version does not offer that",
    )


def test_no_message_row_or_printed_form_shows_a_secret(tmp_path: Path) -> None:
    """Settings are printed and logged on every start."""
    secrets = {
        "NOVITA_API_KEY": "sk_first_secret",
        "WEBHOOK_SECRET": "second_secret",
        "NOVITAI_API_KEY": "nvk_a_third_secret",
    }
    settings = load({**secrets, "UPSTREAM_PROXY": "http://me:fourth%20secret@proxy:8080"}, tmp_path)

    shown = f"{settings!r}".replace("http://me:fourth%20secret@proxy:8080", "")
    rows = " ".join(f"{row.value} {row.source} {row.meaning}" for row in describe(settings))
    assert "secret" not in rows.replace("webhook secrets", "").replace("no secret of", "").replace("secrets rotate", "")
    assert all(value not in shown + rows for value in secrets.values())
    assert settings.secret_values() == frozenset({*secrets.values(), "fourth%20secret", "fourth secret"})


def test_paths_and_the_store_follow_the_working_and_the_data_directory(tmp_path: Path) -> None:
    """Where the program was started decides, once, at the start."""
    moved = load({**KEY, "NOVITAI_DATA_DIR": "data"}, tmp_path).store
    chosen = load({**KEY, "NOVITAI_STORE": "sqlite:///a/b.db"}, tmp_path).store
    absolute = load({**KEY, "NOVITAI_STORE": "sqlite:////var/b.db"}, tmp_path).store

    assert (moved.data_dir, moved.database) == (tmp_path / "data", tmp_path / "data" / "novitai.db")
    assert (chosen.database, absolute.database) == (tmp_path / "a/b.db", Path("/var/b.db"))


def test_a_store_in_memory_is_taken_with_a_warning(tmp_path: Path) -> None:
    """Forgetting machines that bill deserves a word."""
    settings = load({**KEY, "NOVITAI_STORE": "memory"}, tmp_path)

    assert settings.store.database is None
    assert settings.warnings[0].startswith("NOVITAI_STORE=memory forgets")
    assert next(row.value for row in describe(settings) if row.name == "NOVITAI_STORE") == "memory"


def test_the_key_for_data_at_rest_is_32_bytes(tmp_path: Path) -> None:
    """AES-256 takes exactly this much."""
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

    assert load({**KEY, "NOVITAI_SECRETS_KEY": key}, tmp_path).store.sealing_keys() == (bytes(range(32)),)
    assert (
        "NOVITAI_SECRETS_KEY=***"
        in problems({**KEY, "NOVITAI_SECRETS_KEY": "AAECAwQ="}, tmp_path)["NOVITAI_SECRETS_KEY"]
    )


def test_settings_made_without_arguments_hold_the_defaults() -> None:
    """Parts can be built in tests with a group of defaults, and nothing is read for it."""
    assert Settings().upstream.request_timeout == 30
    assert Settings().store.database == Path("novitai-data/novitai.db")
