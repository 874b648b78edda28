# Generated from src/novitai_client/_async/instances.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about instances: the verbs, reading them, and waiting until one is ready."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from math import ceil
from time import monotonic
from typing import Any

from msgspec import UNSET, UnsetType

from novitai_client._calls import LONGEST_HOLD_SECONDS, duration, given, hold, moment, pairs, path, port_list
from novitai_client._progress import READY, hopeless, landmark
from novitai_client._sync.connection import Connection
from novitai_client.errors import StartupFailed, WaitTimedOut
from novitai_client.models import (
    Accepted,
    ComprehensiveList,
    Created,
    Explanation,
    HealthCheckSpec,
    Instance,
    InstanceMetrics,
    InstancePage,
    LastUsed,
    Port,
)

# Somebody who watches wants to see states pass by; a long poll speaks only at its end, so it is cut into short ones.
_WATCHED_POLL_SECONDS = 2.0


class InstanceCalls(Connection):
    """Calls about instances. `instance` is our id, Novita's id, or a name that only one instance has."""

    def create(
        self,
        name: str,
        *,
        product: str | None = None,
        product_id: str | None = None,
        template_id: str | int | None = None,
        image_url: str | None = None,
        gpus: int | None = None,
        disk: int | None = None,
        region: str | Sequence[str] | None = None,
        billing: str | None = None,
        placement: str | None = None,
        max_price: float | None = None,
        ports: Sequence[str | int | Port] | None = None,
        envs: Mapping[str, str] | None = None,
        command: str | None = None,
        entrypoint: str | None = None,
        image_auth_id: str | None = None,
        network_storages: Sequence[Mapping[str, Any]] | None = None,
        labels: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        health_check: HealthCheckSpec | Mapping[str, Any] | None = None,
        wait_for_capacity: str | float | None = None,
        protect: bool | None = None,
        auto_stop: Mapping[str, Any] | None = None,
        migration: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        ttl: str | float | None = None,
        schedule: Mapping[str, Any] | None = None,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Created:
        """Ask for an instance; it is on its way when this returns, see `wait_until_ready`.

        Give `product` (such as "RTX 4090 24GB") or `product_id`, and `template_id` or `image_url`. `gpus` 1 to 8, `disk`
        in GB, `max_price` in USD per hour for all GPUs, `billing` spot, onDemand or auto, `placement` cheapest or
        region-first, `ports` such as "8080/http". `wait_for_capacity` and `ttl` are durations: "30m" or seconds.
        `schedule` is {"start": "0 8 * * 1-5", "stop": "0 19 * * 1-5", "timezone": "Europe/Berlin"}. `budget` is what it may cost
        in its whole life: {"limitUsd": 25, "hardStop": True}.
        `wait`: hold the answer until Novita accepted or refused, at most that many seconds (up to 60). What is not
        given is the server's default.

        The same `idempotency_key` can be sent again for 24 hours and creates nothing twice; without one a fresh key is
        made for this call and its own retries. Raises NoCapacity, BudgetExceeded, InsufficientBalance and
        ValidationFailed among others.
        """
        body = given(
            {
                "name": name,
                "productName": product,
                "productId": product_id,
                "templateId": template_id,
                "imageUrl": image_url,
                "gpuNum": gpus,
                "rootfsSize": disk,
                "region": region,
                "billingMode": billing,
                "placement": placement,
                "maxPricePerHour": max_price,
                "ports": port_list(ports),
                "envs": pairs(envs),
                "command": command,
                "entrypoint": entrypoint,
                "imageAuthId": image_auth_id,
                "networkStorages": network_storages,
                "labels": labels,
                "webhookUrl": webhook_url,
                "webhookSecret": webhook_secret,
                "healthCheck": health_check,
                "waitForCapacity": duration(wait_for_capacity),
                "protect": protect,
                "autoStop": auto_stop,
                "migration": migration,
                "budget": budget,
                "ttl": duration(ttl),
                "schedule": schedule,
                "dryRun": dry_run,
            }
        )
        return self._change(Created, "POST", path("instances"), body, key=idempotency_key, hold=hold(wait))

    def get(self, instance: str) -> Instance:
        """One instance. A deleted one can be read for the server's retention time. Raises NotFound, NameAmbiguous."""
        return self._get(Instance, path("instances", instance))

    def list_page(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        label: Mapping[str, str] | None = None,
        region: str | None = None,
        billing: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> InstancePage:
        """One page of instances. `name` matches parts, `label` all given pairs, `sort` such as "-createdAt"."""
        query = {
            "status": status,
            "name": name,
            "label": label,
            "region": region,
            "billingMode": billing,
            "sort": sort,
            "limit": limit,
            "cursor": cursor,
        }
        return self._get(InstancePage, path("instances"), query)

    def list(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        label: Mapping[str, str] | None = None,
        region: str | None = None,
        billing: str | None = None,
        sort: str | None = None,
    ) -> Iterator[Instance]:
        """Every instance that fits, page after page as you go on. Filters as in `list_page`."""
        cursor = None
        while True:
            page = self.list_page(
                status=status, name=name, label=label, region=region, billing=billing, sort=sort, cursor=cursor
            )
            yield from page.instances
            cursor = page.next_cursor
            if not cursor:
                return

    def comprehensive(self) -> ComprehensiveList:
        """Instances merged with what the provider says of their machines."""
        return self._get(ComprehensiveList, path("instances", "comprehensive"))

    def start(
        self,
        instance: str,
        *,
        timeout_ms: int | None = None,
        health_check: HealthCheckSpec | Mapping[str, Any] | None = None,
        target_port: int | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Accepted:
        """Start a stopped instance. What is under way already is answered with the same operation."""
        body = {
            "timeoutMs": timeout_ms,
            "healthCheck": health_check,
            "targetPort": target_port,
            "webhookUrl": webhook_url,
            "webhookSecret": webhook_secret,
        }
        return self._verb("POST", path("instances", instance, "start"), body, idempotency_key, wait)

    def stop(
        self,
        instance: str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Accepted:
        """Stop an instance; its disk stays and is billed. It stays stopped until somebody starts it; after `until` its
        schedule may, too.
        """
        body = {
            "until": moment(until),
            "reason": reason,
            "webhookUrl": webhook_url,
            "webhookSecret": webhook_secret,
        }
        return self._verb("POST", path("instances", instance, "stop"), body, idempotency_key, wait)

    def restart(
        self,
        instance: str,
        *,
        reason: str | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Restart the machine of an instance."""
        body = {"reason": reason, "webhookUrl": webhook_url, "webhookSecret": webhook_secret}
        return self._verb("POST", path("instances", instance, "restart"), body, idempotency_key, None)

    def delete(
        self,
        instance: str,
        *,
        reason: str | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Accepted:
        """Delete an instance with its machine and disk. This cannot be taken back."""
        body = {"reason": reason, "webhookUrl": webhook_url, "webhookSecret": webhook_secret}
        return self._verb("DELETE", path("instances", instance), body, idempotency_key, wait)

    def change(
        self,
        instance: str,
        *,
        labels: Mapping[str, str | None] | UnsetType | None = UNSET,
        ttl: str | float | UnsetType | None = UNSET,
        schedule: Mapping[str, Any] | UnsetType | None = UNSET,
        auto_stop: Mapping[str, Any] | UnsetType | None = UNSET,
        migration: Mapping[str, Any] | UnsetType | None = UNSET,
        budget: Mapping[str, Any] | UnsetType | None = UNSET,
        webhook_url: str | UnsetType | None = UNSET,
        webhook_secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> Instance:
        """Change an instance's rules. What is not given stays as it is, and None clears.

        `labels` are merged into the present ones, and one that is None is removed. `ttl` counts from now. `schedule`
        takes the place of the present one as a whole; so does `budget`; of `auto_stop` and
        `migration` what is left out stays.
        """
        asked = {
            "labels": labels,
            "ttl": ttl if isinstance(ttl, UnsetType) else duration(ttl),
            "schedule": schedule,
            "autoStop": auto_stop,
            "migration": migration,
            "budget": budget,
            "webhookUrl": webhook_url,
            "webhookSecret": UNSET if webhook_secret is None else webhook_secret,
        }
        body = {name: value for name, value in asked.items() if value is not UNSET}
        return self._change(Instance, "PATCH", path("instances", instance), body, key=idempotency_key)

    def instance_metrics(self, instance: str, *, minutes: int | None = None) -> InstanceMetrics:
        """How much of an instance's machine was in use over the last minutes, asked of Novita now."""
        return self._get(InstanceMetrics, path("instances", instance, "metrics"), {"minutes": minutes})

    def explain(self, instance: str, *, limit: int | None = None, cursor: str | None = None) -> Explanation:
        """Why an instance is as it is: state, wishes, signals, policies, what comes next, and the reason of everything that was done by
        itself, newest first. `limit` (up to 200) and `cursor` are about those decisions.
        """
        return self._get(Explanation, path("instances", instance, "explain"), {"limit": limit, "cursor": cursor})

    def last_used(self, instance: str, at: datetime | None = None) -> LastUsed:
        """Say that an instance is in use, now or at a moment before; it keeps idle stops away."""
        return self._change(
            LastUsed, "PUT", path("instances", instance, "last-used"), given({"lastUsedAt": moment(at)})
        )

    def wait_until_ready(
        self,
        instance: str,
        timeout: float = 1800.0,
        *,
        on_change: Callable[[Instance], None] | None = None,
    ) -> Instance:
        """Wait until the application on the instance answers, at most `timeout` seconds.

        `on_change` is called with the first state seen and with every later one. Raises StartupFailed when the instance
        failed, was stopped or deleted meanwhile, and WaitTimedOut with its last state when the time is over; the
        instance goes on without us then.
        """
        deadline = monotonic() + timeout
        longest = LONGEST_HOLD_SECONDS if on_change is None else _WATCHED_POLL_SECONDS
        seen: tuple[object, ...] | None = None
        early = 0
        while True:
            asked = monotonic()
            held = float(max(1, ceil(min(longest, deadline - asked))))
            state = self._get(Instance, path("instances", instance), {"wait": READY, "timeout": held}, hold=held)
            if on_change is not None and landmark(state) != seen:
                on_change(state)
            seen = landmark(state)
            if state.status == READY:
                return state
            if hopeless(state):
                raise StartupFailed(state)
            now = monotonic()
            if now >= deadline:
                raise WaitTimedOut(state, timeout)
            # A server that is shutting down, or does not hold answers, must not be asked in a tight loop.
            early = early + 1 if now - asked < held / 2 else 0
            if early:
                time.sleep(min(self._retries.backoff(early, self._chance()), deadline - now))

    def _verb(self, method: str, where: str, body: Mapping[str, Any], key: str | None, wait: float | None) -> Accepted:
        return self._change(Accepted, method, where, given(body) or None, key=key, hold=hold(wait))
