"""Changes of an instance's rules: labels, ttl, schedule, webhook. Nothing here starts or stops a machine by itself."""

from starlette.responses import Response

from novitai.api.access import Here, Parts, Rendering
from novitai.api.routing import Routes
from novitai.api.schemas.amending import AmendBody
from novitai.api.schemas.instances import InstanceAnswer
from novitai.domain.keys import Scope
from novitai.operations.changes import Changes
from novitai.operations.ledger import Snapshot
from novitai.operations.receipts import Answer
from novitai.operations.requests import Accepted

ROUTES = Routes("instances")

_NOT_YET_STORED = -1
"""As a version: what is rendered before its commit is never taken for what was committed."""


@ROUTES.add(
    "PATCH",
    "/api/instances/{instance_id:reference}",
    needs=Scope.WRITE,
    answer=InstanceAnswer,
    others={404: "There is no such instance", 409: "Several instances have this name, or it is being deleted"},
    commits_receipt=True,
)
async def change_instance(
    instance_id: str, body: AmendBody, parts: Parts, visit: Here, renderer: Rendering
) -> Response:
    """Change an instance's labels, ttl, schedule or webhook. What is left out stays, and null clears.

    A new ttl counts from now, and of a new schedule only boundaries from now on: a change acts on nothing that was before it.
    """

    def receipt(accepted: Accepted) -> Answer:
        unstored = Snapshot(instance=accepted.instance, version=_NOT_YET_STORED)
        return Answer(status=200, body=renderer.one(unstored, now=parts.clock.now()).decode())

    found = (await parts.verbs.resolve(instance_id)).instance
    changes = Changes(ledger=parts.ledger, verbs=parts.verbs, creation=parts.creation)
    snapshot = await changes.amend(found.id, body.amendment(), visit.context(), receipt)
    return Response(renderer.one(snapshot, now=parts.clock.now()), media_type="application/json")
