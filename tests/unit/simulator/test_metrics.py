"""Metrics follow the scripted load, a minute late."""


def values(play, instance_id, **query):
    answer = play.get("/openapi/v1/metrics/gpu/instance", instanceId=instance_id, **query)
    return [point["value"] for point in answer["gpuUtilization"]["avg"]]


def test_a_load_is_seen_after_the_lag(play):
    """What happens now appears in the metrics a minute later."""
    instance_id = play.running()
    play.wait(300)
    play.do("load", instanceId=instance_id, gpu=97, cpu=40)
    now = int(play.now)

    assert set(values(play, instance_id, startTime=now - 300, endTime=now)) == {0}
    play.wait(60)
    assert values(play, instance_id, startTime=now - 60, endTime=now + 60)[-1] == 97


def test_points_lie_on_the_interval_and_name_each_gpu(play):
    """Strings of seconds and plain numbers, an average and one line per GPU."""
    instance_id = play.running(gpuNum=2)
    play.wait(600)
    now = int(play.now)

    answer = play.get(
        "/openapi/v1/metrics/gpu/instance",
        instanceId=instance_id,
        startTime=now - 300,
        endTime=now - 60,
        interval=60,
    )

    stamps = [int(point["timestamp"]) for point in answer["cpuUtilization"]]
    assert stamps == list(range(now - 300, now - 59, 60))
    assert len(answer["gpuUtilization"]["gpuIds"]) == 2
    assert isinstance(answer["memUtilization"][0]["value"], int | float)


def test_bad_values_fall_back_to_the_defaults(play):
    """A window that makes no sense is the last minute; nothing is refused."""
    instance_id = play.running()
    play.wait(600)

    default = values(play, instance_id)

    assert default
    assert values(play, instance_id, startTime="soon", endTime="-4", interval="0") == default


def test_a_machine_that_does_not_run_has_no_points(play):
    """Stopped time is missing, not zero."""
    instance_id = play.running()
    play.act("stop", instance_id)
    stopped = int(play.now)
    play.wait(600)

    assert values(play, instance_id, startTime=stopped + 15, endTime=stopped + 300) == []
