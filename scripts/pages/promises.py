"""What Novitai promises: the sentence that people read, and the limits that its figures may not be weaker than.

The single source: `make prove` compares what was measured with it, docs/reference/proof.md is written from it, and tests/docs compares
the committed page with it again. A limit names a figure by words of its line.
"""

from dataclasses import dataclass
from typing import Literal

Sign = Literal["=", "≤", "≥"]


@dataclass(frozen=True)
class Limit:
    """A figure that has to be among those of a promise: words of its line, and the weakest threshold that it may be judged by."""

    words: str
    sign: Sign
    value: float

    def __str__(self) -> str:
        return f"{self.words} {self.sign} {self.value:g}"


@dataclass(frozen=True)
class Promise:
    """One promise. `planted`: a bug put in on purpose has to turn its check red, in every run."""

    key: str
    title: str
    says: str
    limits: tuple[Limit, ...] = ()
    planted: bool = False


NOT_SHOWN_YET: dict[str, str] = {}
"""Promises that the committed page does not show to hold, and why. A release has none."""

PROMISES: tuple[Promise, ...] = (
    Promise(
        "M1",
        "One create, one machine",
        "However Novita answers a create (taken, refused, timed out, 500, reset, reply lost, shown late) and wherever the "
        "process is killed on the way: exactly one machine for each accepted request, none for a refused one, and nothing is "
        "sent again blindly.",
        (
            Limit("machines per accepted create, most", "=", 1),
            Limit("machines per accepted create, fewest", "=", 1),
            Limit("machines per create that Novita refused, most", "=", 0),
            Limit("creates sent again on doubt", "=", 0),
            Limit("outcomes of the create call", "≥", 7),
            Limit("cases", "≥", 100),
        ),
        planted=True,
    ),
    Promise(
        "M2",
        "Nothing is destroyed on doubt",
        "A day of errors, empty, truncated and stale lists and outages over a fleet of healthy machines makes us stop, delete, "
        "move or create nothing that nobody asked for.",
        (Limit("1000 healthy machines, 24 virtual hours of doubtful answers", "=", 0),),
    ),
    Promise(
        "M3",
        "The cheapest",
        "The chosen offer is the cheapest one that fits, as brute force finds it, and the answer says why each other offer "
        "lost.",
        (
            Limit("choices that differ from brute force", "=", 0),
            Limit("random catalogues", "≥", 10_000),
            Limit("without a true reason", "=", 0),
        ),
    ),
    Promise(
        "M4",
        "No capacity is not the end",
        "When an offer has no capacity the next best one is asked at once, and the failed one is left alone for three minutes.",
        (
            Limit("from a refusal to the next best offer, worst", "≤", 1),
            Limit("refused less than 3 minutes ago", "=", 0),
        ),
    ),
    Promise(
        "M5",
        "Unknown machines are shown, never touched",
        "A machine on the account that nobody asked us for is shown within one poll, with its age and its price per hour, and "
        "never changed.",
        (
            Limit("foreign machines changed", "=", 0),
            Limit("longest from being there to being shown", "≤", 31),
            Limit("shown without age or price", "=", 0),
        ),
    ),
    Promise(
        "M6",
        "Idle means idle",
        "What is used is not stopped, what nobody uses is, in time, and each stop can say why: through measurements that lag, have "
        "holes or fail, clocks that are set and a process that is killed. What could not be measured counts as use.",
        (
            Limit("days simulated, in a fleet of 200", "≥", 500),
            Limit("stops of a machine that was used within the threshold", "=", 0),
            Limit("stop after its deadline, worst", "≤", 90),
            Limit("whole program: stops of a machine in use", "=", 0),
            Limit("whole program: stop after its deadline, worst", "≤", 90),
            Limit("without their evidence in the audit log", "=", 0),
        ),
        planted=True,
    ),
    Promise(
        "M7",
        "A spot notice is used",
        "A machine that Novita takes back is told of within one poll and brought back: replaced on the notice, or moved once it "
        "stands still. What a person or the idle stop has stopped is never brought back, and there is never more than one replacement.",
        (
            Limit("beyond one poll interval, worst", "≤", 1),
            Limit("notices that nobody was told of", "=", 0),
            Limit("notice seen to the create call at Novita, worst", "≤", 10),
            Limit("stop seen to the migrate call at Novita, worst", "≤", 10),
            Limit("were not brought back", "=", 0),
            Limit("calls that bring back what a person or the idle stop had stopped", "=", 0),
            Limit("second replacements beside a live one", "=", 0),
            Limit("moves of protected and notify-only instances", "=", 0),
            Limit("machines left behind", "=", 0),
            Limit("moves without their explanation", "=", 0),
        ),
        planted=True,
    ),
    Promise(
        "M8",
        "The ledger is the bill",
        "Through creates, stops, moves, reclaims, changed prices, kills and outages, what we say a machine cost is what Novita bills: "
        "within 1 % or five seconds of its price after the daily reconciliation, disks and stopped time included.",
        (
            Limit("off by more than 1 % and 5 s of its price after the daily reconciliation", "=", 0),
            Limit("before any bill was read", "=", 0),
            Limit("apart from the whole", "≤", 0.001),
            Limit("kinds of change and trouble met", "≥", 14),
        ),
        planted=True,
    ),
    Promise(
        "W1",
        "No event is lost",
        "With a receiver that fails three times in ten and a server killed again and again, every event arrives.",
        (
            Limit("events lost", "=", 0),
            Limit("different events that arrived", "≥", 10_000),
            Limit("from the first start until all was told", "≤", 240),
        ),
        planted=True,
    ),
    Promise(
        "W2",
        "Duplicates are recognisable",
        "A delivery that comes twice has the same id and the same bytes; without kills and with a well-behaved receiver nothing "
        "comes twice.",
        (
            Limit("ids that came with differing bodies", "=", 0),
            Limit("events that came under more than one id", "=", 0),
            Limit("duplicates without trouble", "=", 0),
        ),
        planted=True,
    ),
    Promise(
        "W3",
        "One bad receiver hurts only itself",
        "When half of all endpoints hang, the others hear as promptly as before; no attempt and no body is without end.",
        (
            Limit("p99, ratio", "≤", 2),
            Limit("longest attempt", "≤", 16),
            Limit("memory grown", "≤", 64),
        ),
    ),
    Promise(
        "W4",
        "Prompt",
        "An event's first attempt follows its commit at once, at 100 events a second.",
        (
            Limit("timestamp to arrival, p50", "≤", 50),
            Limit("timestamp to arrival, p99", "≤", 500),
            Limit("events a second", "≥", 100),
        ),
    ),
    Promise(
        "W5",
        "Ready is told soon",
        "From the application's first answer until `instance.ready` is delivered: one look at Novita, one health check and a second.",
        (Limit("to `instance.ready` delivered, longest", "≤", 6),),
    ),
    Promise(
        "W6",
        "Interoperates",
        "Our deliveries verify with other people's Standard Webhooks libraries, and theirs with ours.",
        (
            Limit("those that standardwebhooks for Python refuses", "=", 0),
            Limit("those that our own helper takes", "=", 0),
            Limit("published vectors", "=", 0),
        ),
    ),
    Promise(
        "W7",
        "Never calls a private address",
        "In whatever form an address is written, resolved, rebound, redirected to or proxied, listeners on private addresses "
        "see no connection from webhooks or health checks.",
        (
            Limit("connections that the canaries saw", "=", 0),
            Limit("forms of private, loopback and metadata addresses", "≥", 60),
        ),
        planted=True,
    ),
    Promise(
        "U1",
        "At most 100 calls in any 60 s",
        "As Novita counts them: over minutes of overload with retries, refusals and a restart, never 101; and what people ask "
        "for does not wait behind our own polling.",
        (
            Limit("most calls in any 60 s of Novita's own log", "≤", 100),
            Limit("minutes of overload", "≥", 10),
            Limit("until such a call is at Novita, worst", "≤", 5),
        ),
    ),
    Promise(
        "U2",
        "The breaker is the specification",
        "Five failures in a row open it, nothing is called for 60 s, one probe at a time, three successes close it, one failure "
        "opens it again; other small machines agree with their models as well.",
        (
            Limit("breaker: differences from its model", "=", 0),
            Limit("breaker: random steps", "≥", 50_000),
            Limit("silence at Novita after the breaker opened", "≥", 60),
            Limit("limiter: differences", "=", 0),
            Limit("job queue: differences", "=", 0),
            Limit("idempotency: differences", "=", 0),
        ),
    ),
    Promise(
        "U3",
        "An outage is not amplified",
        "When Novita fails, we hardly call it more often than we are asked to; and not before the time that its `Retry-After` "
        "gives.",
        (
            Limit("breaker held closed", "≤", 1.2),
            Limit("those not waited for", "=", 0),
            Limit("by how much the moment was missed", "≤", 0.001),
        ),
    ),
    Promise(
        "U4",
        "Strange answers are survived",
        "Pages of HTML, torn JSON, wrong types, unknown words, endless and slow bodies end in an error of ours, in bounded time "
        "and memory, and no instance is lost over them.",
        (
            Limit("errors that are not ours", "=", 0),
            Limit("instances lost", "=", 0),
            Limit("growth of memory", "≤", 64),
            Limit("outlived its deadline", "≤", 1),
        ),
    ),
    Promise(
        "S1",
        "kill -9 anywhere",
        "After a kill the server serves again within seconds, takes up unfinished work, and has lost nothing it acknowledged.",
        (
            Limit("acknowledged and lost", "=", 0),
            Limit("process start to ready", "≤", 3),
            Limit("first call about it after the start, latest", "≤", 30),
        ),
    ),
    Promise(
        "S2",
        "SIGTERM is clean",
        "A server asked to stop under load fails no request and is gone soon.",
        (
            Limit("requests failed, of", "=", 0),
            Limit("SIGTERM to exit, slowest", "≤", 10),
        ),
    ),
    Promise(
        "S5",
        "Disk full, read-only, locked",
        "A write that cannot be kept is refused with a reason and never acknowledged; when the disk is back, so are we.",
        (
            Limit("acknowledged and lost", "=", 0),
            Limit("whole again after it clears", "≤", 5),
        ),
    ),
    Promise(
        "A1",
        "No input makes a 5xx",
        "No request that our own description allows or forbids is answered with a 5xx.",
        (
            Limit("answered with a 5xx", "=", 0),
            Limit("schemathesis cases", "≥", 2_000),
            Limit("failed a check", "=", 0),
        ),
    ),
    Promise(
        "A2",
        "Every route is locked",
        "Every route refuses no key, a malformed, unknown, revoked or expired one, and one without the scope.",
        (Limit("answered anything but 401, 403, 404", "=", 0),),
    ),
    Promise(
        "A3",
        "Secrets do not leak",
        "Planted secrets are found in no log, error, metric, process list or byte of the database.",
        (
            Limit("secrets found", "=", 0),
            Limit("kinds of secrets planted", "≥", 20),
        ),
    ),
    Promise(
        "A4",
        "Everything done is written down",
        "Each change leaves one audit entry, in the same commit, and the chain of entries shows tampering.",
        (
            Limit("without exactly one audit entry", "=", 0),
            Limit("not found out", "=", 0),
        ),
    ),
)
