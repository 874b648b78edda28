"""`novitai explain`: a story for a person, the server's own JSON for a program."""

import json

from novitai_client.cli.explain import folded
from unit.client.stand_in import Reply, StandIn

ANSWER = {
    "instanceId": "inst_1",
    "name": "trainer",
    "at": "2027-01-15T08:00:00.000Z",
    "summary": "trainer is stopped since 07:00:00 UTC (1 h ago). It is to be stopped: the idle stop said so.",
    "state": "stopped",
    "desired": {"state": "stopped", "by": "idle", "reason": "", "at": "2027-01-15T07:00:00.000Z", "until": None},
    "signals": [
        {"name": "gpu", "value": 0.5, "at": "2027-01-15T07:58:00.000Z", "ageSeconds": 120.0, "idle": True},
        {"name": "last-used", "value": None, "at": None, "ageSeconds": None, "idle": None},
    ],
    "policies": [{"name": "autoStop", "value": {}, "source": "default", "verdict": "Does nothing: it is stopped."}],
    "nextAction": None,
    "decisions": [
        {
            "at": "2027-01-15T07:00:00.000Z",
            "by": "idle",
            "action": "instance.stop",
            "because": "no use is known since 06:40",
            "facts": {},
        }
    ],
    "nextCursor": "more",
}


def test_the_story_comes_first_and_every_reason_after(server: StandIn, novitai) -> None:
    """Signals with their age, rules with their source, decisions with who and why, and how to see older ones."""
    server.on("GET", "/api/instances/trainer/explain", Reply(200, ANSWER))

    done = novitai("explain", "trainer")

    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0] == ANSWER["summary"]
    assert "  GPU: 0.5 %, 2027-01-15 07:58:00Z (2 min ago), speaks for idle" in lines
    assert "  last use told: never told to be used" in lines
    assert "  autoStop (from the server's settings): Does nothing: it is stopped." in lines
    assert "  2027-01-15 07:00:00Z  instance.stop by idle: no use is known since 06:40" in lines
    assert "--limit" in lines[-1]
    assert server.asked[0].query == [("limit", "10")]


def test_a_program_gets_the_servers_own_json(server: StandIn, novitai) -> None:
    """Nothing is left out."""
    server.on("GET", "/api/instances/trainer/explain", Reply(200, ANSWER))

    done = novitai("explain", "trainer", "--json")

    assert json.loads(done.stdout) == ANSWER


def test_what_others_wrote_cannot_steer_the_terminal(server: StandIn, novitai) -> None:
    """Names and Novita's own words are shown, and never obeyed."""
    server.on("GET", "/api/instances/trainer/explain", Reply(200, ANSWER | {"summary": "\x1b[2Jgone"}))

    assert "\x1b" not in novitai("explain", "trainer").stdout


def test_long_lines_are_broken_between_words() -> None:
    """And what belongs to a line is set in below it."""
    lines = folded(
        "  autoStop (from the server's settings): Does nothing: it is stopped, and so on.", width=50
    ).splitlines()

    assert [line.strip() for line in lines] == [
        "autoStop (from the server's settings): Does",
        "nothing: it is stopped, and so on.",
    ]
    assert lines[1].startswith("      ")
