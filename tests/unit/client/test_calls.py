"""How arguments become paths, queries and bodies."""

from datetime import UTC, datetime

import pytest

from novitai_client import Port
from novitai_client._calls import duration, hold, moment, params, path, port_list


def test_an_id_can_never_become_another_path() -> None:
    assert path("instances", "../keys?x=1#y", "stop") == "/api/instances/..%2Fkeys%3Fx%3D1%23y/stop"


def test_a_query_leaves_out_what_was_not_given() -> None:
    """Lists are repeated, pairs become `k=v`, whole floats lose their point."""
    query = params({"a": None, "b": ["x", "y"], "label": {"k": "v"}, "dry": True, "timeout": 60.0, "n": 0})

    assert query == (("b", "x"), ("b", "y"), ("label", "k=v"), ("dry", "true"), ("timeout", "60"), ("n", "0"))


def test_ports_are_understood_as_people_write_them() -> None:
    wanted = port_list([8080, "22/tcp", "9000", Port(port=1, type="tcp")])

    assert wanted == [
        {"port": 8080, "type": "http"},
        {"port": 22, "type": "tcp"},
        {"port": 9000, "type": "http"},
        {"port": 1, "type": "tcp"},
    ]


@pytest.mark.parametrize("wrong", ["http", "8080/udp", "/http", "-1", "٨"])
def test_a_wrong_port_says_how_one_looks(wrong: str) -> None:
    with pytest.raises(ValueError, match="8080/http"):
        port_list([wrong])


def test_durations_are_text_or_seconds() -> None:
    assert [duration(one) for one in (None, "30m", 90, 0.5)] == [None, "30m", "90s", "0.5s"]


def test_a_time_without_a_zone_is_refused() -> None:
    """It could mean two moments."""
    assert moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"
    with pytest.raises(ValueError, match="time zone"):
        moment(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_the_server_is_never_asked_to_hold_longer_than_it_may() -> None:
    assert [hold(one) for one in (None, 0.2, 5, 600)] == [0, 1, 5, 60]
