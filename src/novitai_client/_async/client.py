"""The client for asyncio. Its calls stand beside it by subject; this is the whole of them under one name."""

from novitai_client._async.account import AccountCalls
from novitai_client._async.budgets import BudgetCalls
from novitai_client._async.costs import CostCalls
from novitai_client._async.events import EventCalls
from novitai_client._async.fleet import FleetCalls
from novitai_client._async.instances import InstanceCalls
from novitai_client._async.migration import MigrationCalls
from novitai_client._async.service import ServiceCalls


class AsyncClient(
    InstanceCalls, FleetCalls, MigrationCalls, EventCalls, AccountCalls, CostCalls, BudgetCalls, ServiceCalls
):
    """A client of a Novitai server.

    `base_url` (else NOVITAI_URL, else http://127.0.0.1:3000) and `api_key` (else NOVITAI_API_KEY, else the content of the
    file named by NOVITAI_API_KEY_FILE) say where and who. `timeout` is in seconds, for connecting and for each wait for
    an answer; what the server holds back on purpose comes on top. `correlation_id`, or a function that gives one, is sent
    with every request and found again in the server's logs, jobs and webhooks. `retries` says how failed requests are
    repeated. `http` replaces the HTTP client, for a private certificate authority or a proxy of your own; it is not
    closed with this one.

    Use it in a `with` block, or close it. Raises SettingsError for an address or key that cannot be used.
    """
