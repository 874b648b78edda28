"""Novita's long work on a machine: migration to another node, and saving its image (novita-wire.md 7.3).

A migration takes minutes, keeps the id, and the machine comes up by itself. One that fails leaves its job `fail` and the machine
`migrating` for ever; only a delete ends that. The system disk is not kept. A migration cannot be broken off, an image job can.
"""

from functools import partial

from novita_simulator import spot
from novita_simulator.account import SYSTEM_USER, USER_ID
from novita_simulator.errors import Refusal, insufficient_resource
from novita_simulator.jobs import Job
from novita_simulator.lifecycle import ALLOWED, MIGRATING, RUNNING
from novita_simulator.machine import Machine
from novita_simulator.world import World


def migrate(world: World, instance_id: str, now: float, *, by_system: bool = False) -> Job:
    machine = world.machine(instance_id)
    announced = machine.spot.status in {"notified", "reclaiming"}
    if machine.status not in ALLOWED["migrate"] or machine.job_id or announced:
        raise world.wrong_state()
    if world.ledger.balance(now) <= 0:
        raise Refusal(400, "EXPIRED_OR_BALANCE_NOT_ENOUGH", "expired or balance not enough")
    if world.stock.free(machine.pool) < machine.units:
        raise insufficient_resource("MIGRATE_INSUFFICIENT_RESOURCE")
    world.hold_gpus(machine)
    job = _open_job(world, machine, "autoInstanceMigrate" if by_system else "instanceMigrate", now, by_system=by_system)
    world.rest(machine, MIGRATING, now)
    finish = _migrated if world.settings.switches.migration_outcome == "success" else _stuck
    world.agenda.add(now + world.settings.delay("migrating"), partial(finish, world, machine, job))
    return job


def save_image(world: World, instance_id: str, *, registry_auth_id: str, now: float) -> Job:
    machine = world.machine(instance_id)
    if machine.status not in ALLOWED["saveImage"] or machine.job_id:
        raise world.wrong_state()
    if registry_auth_id and registry_auth_id not in world.account.registry_auths:
        raise world.missing("RESOURCE_NOT_FOUND")
    job = _open_job(world, machine, "saveImage", now)
    world.agenda.add(now + world.settings.delay("save_image"), partial(_saved, machine, job))
    return job


def break_job(world: World, job_id: str, now: float) -> Job:
    job = world.jobs.get(job_id)
    if job is None:
        raise world.missing("JOB_NOT_FOUND")
    if job.type != "saveImage":
        raise Refusal(400, "MIGRATION_JOB_NOT_BREAKABLE", "migration job not breakable")
    if not job.is_open:
        raise world.wrong_state()
    job.move("break", now)
    _free(world.machines.get(job.instance_id), job)
    return job


def _open_job(world: World, machine: Machine, job_type: str, now: float, *, by_system: bool = False) -> Job:
    creator = SYSTEM_USER if by_system else USER_ID
    job = world.jobs.open(job_type, instance_id=machine.id, creator=creator, now=now)
    machine.job_id = job.id
    world.agenda.add(now + world.settings.delay("job_pulling"), partial(_prepared, job))
    return job


def _prepared(job: Job, now: float) -> None:
    if job.state == "pulling":
        job.move("running", now)


def _saved(machine: Machine, job: Job, now: float) -> None:
    if job.is_open:
        job.move("success", now)
        _free(machine, job)


def _migrated(world: World, machine: Machine, job: Job, now: float) -> None:
    if not job.is_open:
        return
    job.move("success", now)
    _free(machine, job)
    spot.call_off(machine)
    machine.price = machine.product.price_for(machine.billing_mode)
    world.start_charges(machine, now)
    world.rest(machine, RUNNING, now)
    spot.expect(world, machine, now)


def _stuck(world: World, machine: Machine, job: Job, now: float) -> None:
    if job.is_open:
        job.move("fail", now, error="MIGRATE_FAILED", message="migrate instance failed: target node not ready")
        _free(machine, job)
        world.release_gpus(machine)


def _free(machine: Machine | None, job: Job) -> None:
    if machine and machine.job_id == job.id:
        machine.job_id = ""
