"""Bodies that other JSON readers let through are refused with a reason; what is left can be stored and told anywhere."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.api.bodies import MOST_DEPTH, is_json, read_json
from novitai.domain.errors import Refusal

NESTED_TOO_DEEP = b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1)

NOT_JSON = [
    b"{",
    b"nope",
    b"{'a': 1}",
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 1} trailing',
    b'{"a": "\x01"}',
    b"\xff\xfe{}",
    b'{"a": "\xc3\x28"}',
    b"\xef\xbb\xbf{}",
]
BREAKS_A_LIMIT = {
    "depth": NESTED_TOO_DEEP,
    "depth far beyond the stack": b"[" * 100_000,
    "an integer of 65 bits": b'{"a": 9223372036854775808}',
    "a large negative integer": b'{"a": -9223372036854775809}',
    "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a float that is infinite": b'{"a": 1e999}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "a surrogate pair the wrong way round": b'{"a": "\\udc00\\ud800"}',
    "NUL": b'{"a": {"b": ["x", "\\u0000"]}}',
    "NUL in a name": b'{"\\u0000": 1}',
    "a field given twice": b'{"a": 1, "a": 2}',
    "a strange field given twice": b'{"\\ud800": 1, "\\ud800": 2}',
}


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_is_a_400(body):
    """A body that cannot be read is told apart from one that breaks a rule."""
    with pytest.raises(Refusal) as refused:
        read_json(body)

    assert type(refused.value).__name__ == "Malformed"


@pytest.mark.parametrize("body", BREAKS_A_LIMIT.values(), ids=BREAKS_A_LIMIT)
def test_json_beyond_the_limits_is_a_422(body):
    """These made other services fail later, in the store or at a receiver."""
    with pytest.raises(Refusal) as refused:
        read_json(body)

    assert type(refused.value) is Refusal
    assert refused.value.message.encode("utf-8")


def test_a_wrong_text_is_named_by_its_place():
    """The caller sees which field it is."""
    with pytest.raises(Refusal) as refused:
        read_json(b'{"a": {"b": ["x", "\\u0000"]}}')

    assert refused.value.fields[0].field == "a.b[1]"


def test_depth_counts_brackets_outside_of_texts_only():
    """A text full of brackets is a text."""
    body = json.dumps({"a": "[{" * 1000, "b": '"[' * 1000}).encode()

    assert read_json(body)["a"].startswith("[{")


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_the_whole_range_of_64_bits_is_taken(number):
    """The limit is exact."""
    assert read_json(json.dumps([number]).encode()) == [number]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
        max_leaves=20,
    )
)
def test_everything_within_the_limits_is_read_as_it_was_written(value):
    """Refusing too much would be a fault as well."""
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail_otherwise(body):
    """Whatever comes, the outcome is a value or a refusal."""
    with contextlib.suppress(Refusal):
        read_json(body)


@pytest.mark.parametrize(
    ("content_type", "promised"),
    [
        ("", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
    ],
)
def test_only_json_and_silence_promise_json(content_type, promised):
    """A form is no JSON even when its bytes happen to be."""
    assert is_json(content_type) is promised


MANY_NAMES = ",".join(f'"k{number}":1' for number in range(90_000))
HOSTILE = {
    "a name given twice at the end of many": f'{{{MANY_NAMES},"k89999":2}}'.encode(),
    "a long name over many values": f'{{"{"x" * 500_000}":[{",".join("1" * 250_000)}]}}'.encode(),
    "many texts": b"[" + b",".join([b'""'] * 340_000) + b"]",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_body_made_to_be_slow_is_read_as_quickly_as_any(body):
    """Reading holds up everybody else, so its time grows with the body's size and with nothing else."""
    began = time.process_time()

    with contextlib.suppress(Refusal):
        read_json(body)

    assert time.process_time() - began < 1.5
