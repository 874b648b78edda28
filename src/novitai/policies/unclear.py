"""Creates whose answer is not known: the search for their machine, the pauses between them, and their end.

An unclear create is resolved before anything else is done for its instance. When Novita goes on answering unclearly and
no machine is ever found, another attempt only adds to the doubt: the pauses grow, and after a few the create has
failed. A call that was cut off with its own process says nothing about Novita and does not count.
"""

import msgspec

from novitai.domain.change import Change, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.instance import AttemptOutcome, DesiredState, Instance, OpenAttempt
from novitai.policies import outcomes
from novitai.policies.actions import LOOK_AGAIN_SECONDS, Apply, Moment, Wait

MOST_UNCLEAR = 5
"""Unclear answers in a row, without a machine, after which a create has failed."""


def search_from(instance: Instance, *, number: int, at: float, answered: bool) -> Instance:
    """The call of this attempt ended at `at` without telling: what it made is in the list at the latest a settle time
    later. `answered`: Novita ended it (a time-out counts), and not the end of our process.
    """
    attempt = instance.open_attempt
    if attempt is None or attempt.number != number:
        return instance
    search = msgspec.structs.replace(attempt, sent_at=max(at, attempt.sent_at), ended=True, disproved_at=None)
    searching = with_fields(instance, open_attempt=search)
    return with_operation(searching, unclear=instance.operation.unclear + 1) if answered else searching


def resolve(instance: Instance, moment: Moment) -> Wait | Apply | None:
    """The step for an open attempt; None when there is none.

    While somebody waits for the instance, a disproved attempt stays open for the pause: a machine that shows up after
    all is adopted, and not bought again.
    """
    attempt = instance.open_attempt
    if attempt is None:
        return None
    if attempt.disproved_at is None:
        return Wait(until=moment.now + LOOK_AGAIN_SECONDS)
    again = attempt.disproved_at + pause_after(instance.operation.unclear, settle_time=moment.limits.settle_time)
    if _wanted(instance) and moment.now < again:
        return Wait(until=again)
    return Apply(_not_made(instance, attempt, at=moment.now), attempt=(attempt.number, AttemptOutcome.ABSENT))


def disprove(instance: Instance, *, number: int, began: float, settle_time: float) -> Instance:
    """A whole and trustworthy list, whose reading began at `began`, does not show the machine of this attempt: proof that
    there is none when its call had ended a settle time before.
    """
    attempt = instance.open_attempt
    if attempt is None or attempt.number != number or not provable(attempt, began=began, settle_time=settle_time):
        return instance
    return with_fields(instance, open_attempt=msgspec.structs.replace(attempt, disproved_at=began))


def provable(attempt: OpenAttempt, *, began: float, settle_time: float) -> bool:
    """Whether a list read from `began` on would surely show the machine of this attempt, which is still searched for."""
    return attempt.ended and attempt.disproved_at is None and began >= attempt.sent_at + settle_time


def pause_after(unclear: int, *, settle_time: float) -> float:
    """Seconds to wait beside the settle time after so many unclear answers in a row: none, one settle time, two, four;
    and none when no other attempt follows.
    """
    return settle_time * 2.0 ** (unclear - 2) if 2 <= unclear < MOST_UNCLEAR else 0.0


def _wanted(instance: Instance) -> bool:
    return instance.buys and instance.wants is DesiredState.RUNNING


def _not_made(instance: Instance, attempt: OpenAttempt, *, at: float) -> Change:
    cleared = outcomes.create_not_made(instance, number=attempt.number)
    unclear = instance.operation.unclear
    if unclear < MOST_UNCLEAR or not _wanted(instance):
        return Change(instance=cleared)
    message = f"Novita did not answer {unclear} creates in a row clearly, and none of them made a machine"
    return outcomes.create_failed(cleared, code=Code.UPSTREAM_ERROR, message=message, at=at, offers=cleared.refusals)
