"""One answer to one question about Novita, before it has a date."""

import msgspec

from novitai.doctor.facts import BY_NAME
from novitai.doctor.findings import Finding
from novitai.doctor.report import Level
from novitai.domain.times import iso
from novitai.novita.calls import Reply
from novitai.novita.errors import read_refusal


class Answer(msgspec.Struct, frozen=True):
    """See findings.Finding, which it becomes."""

    fact: str
    value: object
    words: str
    how: str
    level: Level = Level.OK
    advice: str = ""

    def at(self, moment: float) -> Finding:
        """The answer as it is kept."""
        return Finding(
            fact=self.fact,
            value=self.value,
            words=self.words,
            expected=BY_NAME[self.fact].expected,
            level=self.level,
            verified_at=iso(moment),
            how=self.how,
            advice=self.advice,
        )


def shape(reply: Reply | None) -> str:
    """An answer in few words: its status, and what it holds, without any value of it."""
    if reply is None:
        return "no answer"
    if not reply.succeeded:
        return f"{reply.status} {read_refusal(reply).reason or 'without a reason'}"
    if not reply.body.strip():
        return f"{reply.status}, no body"
    try:
        body = msgspec.json.decode(reply.body)
    except ValueError:
        return f"{reply.status}, no JSON"
    if not isinstance(body, dict):
        return f"{reply.status}, {type(body).__name__}"
    return f"{reply.status} {{{', '.join(map(str, body))}}}"
