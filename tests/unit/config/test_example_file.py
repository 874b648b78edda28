"""The example file: what people copy first must be true."""

import re
from pathlib import Path

from novitai.config import load
from novitai.config.loading import known_names
from novitai.config.spelling import READ_ELSEWHERE

EXAMPLE = Path(__file__).parents[3] / ".env.example"


def test_every_variable_of_the_example_file_exists() -> None:
    """Also those that are commented out."""
    named = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(named) > 5
    assert set(named) <= known_names() | READ_ELSEWHERE


def test_the_example_file_with_two_keys_filled_in_starts_without_a_warning(tmp_path: Path) -> None:
    """Copy, fill in, start."""
    text = EXAMPLE.read_text(encoding="utf-8")
    filled = text.replace("NOVITA_API_KEY=\n", "NOVITA_API_KEY=sk_a_real_key\n").replace(
        "NOVITAI_API_KEY=\n", "NOVITAI_API_KEY=nvk_abcd_efghijkl\n"
    )
    (tmp_path / ".env").write_text(filled, encoding="utf-8")

    settings = load({}, tmp_path)

    assert settings.server.api_key is not None
    assert settings.warnings == ()


def test_every_value_suggested_in_the_example_file_is_allowed(tmp_path: Path) -> None:
    """Taking a comment away must not stop the start."""
    uncommented = re.sub(r"^#(?=[A-Z][A-Z0-9_]+=)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(uncommented, encoding="utf-8")

    assert load({"NOVITA_API_KEY": "sk_a_real_key"}, tmp_path).server.port == 3000
