"""What the control API tells: the whole state, and what every machine was billed.

These are the simulator's own views, plainer than Novita's: numbers are numbers, money is USD.
"""

from collections import Counter

from novita_simulator import wire
from novita_simulator.billing import usd
from novita_simulator.machine import Machine
from novita_simulator.stage import Stage
from novita_simulator.world import World

Json = dict[str, object]


def state(stage: Stage, now: float) -> Json:
    world = stage.world
    return {
        "now": now,
        "beganAt": world.began_at,
        "seed": stage.scenario.seed,
        "config": world.settings.to_json(),
        "account": {"balanceUsd": usd(world.ledger.balance(now)), "spentUsd": usd(world.ledger.spent(now))},
        "counts": dict(Counter(machine.status for machine in world.machines.values())),
        "machines": [_machine(machine, world, now) for machine in world.machines.values()],
        "gone": list(world.gone),
        "stock": _stock(world),
        "jobs": [wire.internal_job(job) for job in world.jobs.running()],
        "faults": [fault.to_json() for fault in stage.faults],
        "timelineErrors": stage.timeline_errors,
    }


def bill(world: World, now: float) -> Json:
    """Per machine, gone ones included: the seconds charged and what they cost."""
    machines = [_bill_of(machine, now) for machine in world.ever()]
    return {"machines": machines, "totalUsd": usd(world.ledger.spent(now))}


def _bill_of(machine: Machine, now: float) -> Json:
    gpu, disk = machine.meter.ticks("gpu", 0, now), machine.meter.ticks("disk", 0, now)
    paid_ahead = machine.meter.paid_ahead()
    return {
        "instanceId": machine.id,
        "name": machine.name,
        "billingMode": machine.billing_mode,
        "status": machine.status,
        "pricePerHourUsd": machine.price * machine.units / 100_000,
        "gpuSeconds": machine.meter.seconds("gpu", 0, now),
        "gpuUsd": usd(gpu),
        "diskSeconds": machine.meter.seconds("disk", 0, now),
        "diskUsd": usd(disk),
        "paidAheadUsd": usd(paid_ahead),
        "usd": usd(gpu + disk + paid_ahead),
        "charges": [
            {"what": c.what, "since": c.since, "until": c.until, "usdPerHour": usd(c.rate) * 3600}
            for c in machine.meter.charges
        ],
    }


def _machine(machine: Machine, world: World, now: float) -> Json:
    load = machine.load.at(now)
    return wire.listed_machine(machine, world) | {
        "envs": [{"key": env.key, "value": "***"} for env in machine.workload.envs],
        "appPhase": world.app_phase(machine, now),
        "runningSince": machine.running_since,
        "holdsGpus": machine.holds_gpus,
        "jobId": machine.job_id,
        "gpuIds": list(machine.gpu_ids),
        "autoMigrateOpen": machine.auto_migrate,
        "autoMigrateSystemDisk": machine.auto_migrate_system_disk,
        "autoRenewMonth": machine.auto_renew_months,
        "instancePrice": str(machine.price),
        "load": {"gpu": load.gpu, "cpu": load.cpu} if load else None,
        "history": [{"at": at, "status": status} for at, status in machine.history],
    }


def _stock(world: World) -> list[Json]:
    return [
        {
            "productId": product_id,
            "clusterId": cluster_id,
            "billingMode": mode,
            "stock": shelf.total,
            "held": shelf.held,
            "available": shelf.free,
        }
        for (product_id, cluster_id, mode), shelf in world.stock.pools()
    ]
