"""Redaction: a secret is kept out by the name of its field and by its value, wherever it stands."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.telemetry.redaction import REDACTED, TOO_DEEP, Redactor, is_secret_name

SECRET = 'pa/ss wo&rd"ü'


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "X-API-Key",
        "api_key",
        "Authorization",
        "Set-Cookie",
        "webhookSecret",
        "accessToken",
        "imageAuth",
        "envs",
        "signature",
    ],
)
def test_a_field_whose_name_promises_a_secret_is_replaced(name: str) -> None:
    """In any spelling, and even when nobody knew the value."""
    assert is_secret_name(name)
    assert Redactor()(None, "info", {"body": [{name: "whatever"}]}) == {"body": [{name: REDACTED}]}


@pytest.mark.parametrize(
    "name", ["key", "instanceId", "imageAuthId", "environment", "jobKey", "path", "passed", "keyspace"]
)
def test_a_field_with_an_ordinary_name_is_kept(name: str) -> None:
    """A log that hides everything tells nothing."""
    assert Redactor()(None, "info", {name: "instance:i_1"}) == {name: "instance:i_1"}


@pytest.mark.parametrize(
    "carrier",
    [
        "the value is {}",
        "https://example.com/{}/x",
        ["deep", {"er": ("and", {"deeper": "{}"})}],
        {"{}": "as a name"},
    ],
)
def test_a_known_secret_is_replaced_wherever_it_stands(carrier: object) -> None:
    """Inside texts, lists, values and names."""
    holding = json.loads(json.dumps(carrier).replace("{}", json.dumps(SECRET)[1:-1]))

    assert SECRET not in str(Redactor([SECRET]).value(holding))


@pytest.mark.parametrize(
    "spelling", ["pa%2Fss%20wo%26rd%22%C3%BC", "pa%2fss+wo%26rd%22%c3%bc", 'pa/ss wo&rd\\"\\u00fc', 'pa/ss wo&rd\\"ü']
)
def test_a_known_secret_is_recognised_in_the_spellings_of_addresses_and_json(spelling: str) -> None:
    """Encoding a secret does not make it less of one."""
    assert Redactor([SECRET]).text(f"<{spelling}>") == f"<{REDACTED}>"


def test_of_two_secrets_the_longer_one_is_replaced_whole() -> None:
    """A secret that begins with another one must not leave its tail behind."""
    assert Redactor(["abcdef", "abcdefghij"]).text("abcdefghij abcdef") == f"{REDACTED} {REDACTED}"


def test_a_secret_that_is_made_later_is_replaced_from_then_on() -> None:
    """Endpoints get their secrets while the process runs."""
    redactor = Redactor()
    redactor.add("made-later")

    assert redactor.text("made-later") == REDACTED


def test_a_secret_shorter_than_a_word_does_not_blank_out_the_log() -> None:
    """It is still hidden by the name of its field."""
    assert Redactor(["a", ""]).text("a day") == "a day"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("http://me:hidden1@host/x", "hidden1"),
        ("GET /x?api_key=hidden1&y=1", "hidden1"),
        ("https://hooks.example/run?code=hidden7 failed", "hidden7"),
        ("Authorization: Bearer hidden1.abc", "hidden1"),
        ("nvk_k3m9qz_hidden1abc", "hidden1"),
        ("whsec_hidden1abc", "hidden1"),
    ],
)
def test_what_looks_like_a_credential_is_replaced_although_nobody_knew_it(text: str, left: str) -> None:
    """Keys of callers are stored hashed; their form gives them away."""
    assert left not in Redactor().text(text)


def test_the_public_part_of_a_callers_key_stays_readable() -> None:
    """It tells which key it was."""
    assert Redactor().text("nvk_k3m9qz_hidden1abc") == f"nvk_k3m9qz_{REDACTED}"


def test_headers_are_redacted_as_mappings_and_as_pairs() -> None:
    """Libraries hand them over in both forms, as text and as bytes."""
    pairs = [("Accept", "*/*"), (b"authorization", b"Bearer x")]

    assert Redactor().value({"headers": pairs}) == {"headers": [["Accept", "*/*"], ["authorization", REDACTED]]}


def test_an_entry_that_names_a_secret_loses_its_value() -> None:
    """Environment entries and some APIs write name and value side by side."""
    entries = [{"key": "HF_TOKEN", "value": "hf_1"}, {"name": "MODE", "value": "fast"}]

    assert Redactor().value(entries) == [{"key": "HF_TOKEN", "value": REDACTED}, {"name": "MODE", "value": "fast"}]


def test_objects_are_looked_into_and_bytes_are_only_counted() -> None:
    """A record that is logged whole hides the same fields."""

    @dataclass
    class Login:
        user: str
        password: str

    assert Redactor().value([Login("me", "x"), b"abc", float("nan")]) == [
        {"user": "me", "password": REDACTED},
        "<3 bytes>",
        "nan",
    ]


def test_something_endless_ends() -> None:
    """A structure that contains itself must not stop the work that is logged."""
    endless: list[object] = []
    endless.append(endless)

    assert TOO_DEEP in str(Redactor().value(endless))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_whatever_is_logged_can_be_written_as_strict_json(value: object) -> None:
    """A line that a collector cannot parse is lost."""
    json.dumps(Redactor(["secret"]).value(value), allow_nan=False)
