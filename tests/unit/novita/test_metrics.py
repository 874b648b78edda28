"""Reading metrics: percentages as they come, and nothing made of what makes no sense."""

import msgspec
import pytest

from novitai.domain.ids import MachineId
from novitai.domain.metrics import Sample, Window
from novitai.novita.calls import BreakerName
from novitai.novita.metrics import of_machine
from novitai.novita.reading import Unreadable

ASKED = of_machine(MachineId("abc"), Window(since=1785780000.4, interval=15))


def points(*pairs):
    return [{"timestamp": at, "value": value} for at, value in pairs]


def test_it_is_asked_of_the_account_host_without_an_end():
    """An end by a clock that was set back would make old measurements look new."""
    assert (ASKED.path, ASKED.breaker) == ("/metrics/gpu/instance", BreakerName.ACCOUNT)
    assert dict(ASKED.query) == {"instanceId": "abc", "startTime": "1785780000", "interval": "15"}


def test_the_busiest_gpu_of_each_moment_counts():
    """One busy GPU of eight is a busy machine."""
    body = {
        "cpuUtilization": points(("1785780960", 3.1), ("1785780945", "2")),
        "gpuUtilization": {
            "avg": points(("1785780960", 12.0)),
            "gpuIds": [
                {"gpuId": "0", "items": points(("1785780960", 0.0))},
                {"gpuId": "3", "items": points(("1785780960", 97.0), ("1785780975", 1))},
            ],
        },
    }

    read = ASKED.read(msgspec.json.encode(body))

    assert read.cpu == (Sample(1785780945.0, 2.0), Sample(1785780960.0, 3.1))
    assert read.gpu == (Sample(1785780960.0, 97.0), Sample(1785780975.0, 1.0))
    assert (read.memory, read.gpu_memory) == ((), ())


@pytest.mark.parametrize("value", [None, "", "NaN", "inf", -1, True, {}, "many"])
def test_a_value_that_makes_no_sense_is_a_hole_and_never_zero(value):
    """What was not understood must not look like idleness."""
    body = {"cpuUtilization": points(("1785780960", value)), "gpuUtilization": None}

    read = ASKED.read(msgspec.json.encode(body))

    assert (read.cpu, read.gpu) == ((), ())


def test_what_is_no_answer_is_no_reading():
    """An empty reading would count as use; this is not even one."""
    with pytest.raises(Unreadable):
        ASKED.read(b"<html>")
