"""The story: what could be rented, one instance on a private image until it is ready, its stop, its start by name.

Everything told here was asked of the server or came by webhook; the server is a stranger, reached over HTTP alone.
"""

import time

from novitai_client import Instance, NotFound
from novitai_client.webhooks import Event
from novitai_demo.errors import DemoFailed
from novitai_demo.page import Page
from novitai_demo.receiver import examine
from novitai_demo.stage import Stage
from novitai_demo.telling import connection, health, moment, money, offers, phases
from novitai_demo.watching import Watch

NAME = "demo-llm"
PRODUCT, BILLING, MAX_PRICE = "RTX 4090 24GB", "auto", 0.36
# What is always there in the simulator, as docs/reference/simulator.md has it.
TEMPLATE, BROKEN_TEMPLATE = "107672", "107674"
RUN_SECONDS = 60.0


class Story:
    """Told once by `tell`; `instance` is the demo's instance as last seen."""

    def __init__(self, page: Page, stage: Stage) -> None:
        self._page = page
        self._client = stage.client
        self._secret = stage.webhook_secret
        self._watch = Watch(page, client=stage.client, receiver=stage.receiver, check=stage.check)
        self._deadline = time.monotonic() + RUN_SECONDS
        self.instance = Instance(id="", name=NAME, status="")

    def tell(self) -> None:
        """The whole of it. Raises DemoFailed or NovitaiError."""
        self._show_offers()
        self._refuse_what_cannot_work()
        self._create()
        self._stop()
        self._start_by_name()
        self._show_events()
        self._conclude()

    def tell_webhooks(self, *, seconds: float) -> None:
        """Tell of what comes in afterwards."""
        self._watch.webhooks(seconds=seconds)

    def _show_offers(self) -> None:
        self._page.chapter("1. What could be rented, and why in this order")
        found = self._client.offers(PRODUCT, billing=BILLING, max_price=MAX_PRICE).offers
        self._page.line(f"one {PRODUCT}, spot or on demand, at most {money(MAX_PRICE)} an hour: {len(found)} offers")
        offers(self._page, found)

    def _refuse_what_cannot_work(self) -> None:
        self._page.chapter("2. An instance on a private image")
        try:
            self._client.create("demo-broken", product=PRODUCT, template_id=BROKEN_TEMPLATE)
        except NotFound as refused:
            said = (
                f"template {BROKEN_TEMPLATE} is refused before any money is spent: {refused.message} ({refused.code})"
            )
            self._page.line(said)
        else:
            raise DemoFailed(f"template {BROKEN_TEMPLATE} names a credential that does not exist, but was accepted")

    def _create(self) -> None:
        template = self._client.template(TEMPLATE)
        credential = next(one for one in self._client.registry_auths() if one.id == template.image_auth_id)
        self._page.line(f"template {TEMPLATE}: {template.image_url}")
        self._page.more(f"pulled with the registry credential {credential.name}, named by its id {credential.id}")
        created = self._client.create(
            NAME, product=PRODUCT, template_id=TEMPLATE, billing=BILLING, max_price=MAX_PRICE, labels={"from": "demo"}
        )
        self._page.line(f"create {NAME}: accepted, {created.status}", style="bold")
        if created.offer:
            self._page.more(f"offer {created.offer.rank} of {created.offer.candidates}: {created.offer.reason}")
        self._page.more(f"{created.product_name} in {created.region}, {created.billing_mode}")
        self._page.more("The intent is on disk. Now Novita is asked, and webhooks tell what comes of it; they may")
        self._page.more("overtake one another, and # is their sequence.")
        self.instance, event = self._watch.until(
            "ready", "instance.ready", instance_id=created.instance_id, deadline=self._deadline
        )
        self._show_ready(event)

    def _show_ready(self, event: Event) -> None:
        phases(self._page, event)
        health(self._page, event)
        self._page.line(f"cost     {money(self.instance.price_per_hour)} an hour, {self.instance.billing_mode}")
        connection(self._page, self.instance)

    def _stop(self) -> None:
        self._page.chapter("3. Stopped: it holds no GPU and costs no GPU time, its disk stays")
        accepted = self._client.stop(NAME, reason="the demo shows a stop")
        self._page.line(f"stop {NAME}: {accepted.status}", style="bold")
        self.instance, _ = self._watch.until(
            "stopped", "instance.stopped", instance_id=self.instance.id, deadline=self._deadline
        )

    def _start_by_name(self) -> None:
        self._page.chapter("4. Started again, by its name")
        accepted = self._client.start(NAME)
        self._page.line(f"start {NAME}: {accepted.status}", style="bold")
        self.instance, event = self._watch.until(
            "ready", "instance.ready", instance_id=self.instance.id, deadline=self._deadline
        )
        phases(self._page, event)

    def _show_events(self) -> None:
        self._page.chapter("5. What the server wrote down")
        events = sorted(self._client.events(NAME), key=lambda event: event.sequence)
        rows = [
            (str(event.sequence), moment(event.at), event.type, event.actor or "", event.reason or "")
            for event in events
            if event.type != "instance.startup_progress"
        ]
        self._page.line(f"{len(events)} events; the {len(events) - len(rows)} phases among them are left out here")
        self._page.table(("#", "AT (UTC)", "EVENT", "BY", "WHY"), rows)

    def _conclude(self) -> None:
        verified = len(self._watch.verified)
        genuine = next(one for one in self._watch.verified if b'"ready"' in one.body)
        forged = examine(genuine.body.replace(b'"ready"', b'"failed"'), genuine.headers, self._secret)
        if forged.event is not None:
            raise DemoFailed("a webhook with changed bytes passed the verification")
        self._page.chapter("6. In short")
        self._page.line(f"{verified} webhooks received, {verified} verified, none missing", style="bold green")
        self._page.line(f"one of them again with a word changed: refused, {forged.problem}")
        spent = f", {money(self.instance.cost_so_far)} so far" if self.instance.cost_so_far is not None else ""
        self._page.line(f"{NAME} is {self.instance.status} at {money(self.instance.price_per_hour)} an hour{spent}")
