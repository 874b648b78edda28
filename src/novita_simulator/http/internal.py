"""The jobs of the console's own API, which has a key of its own and tells more (novita-wire.md 3.10, 5)."""

from novita_simulator import wire
from novita_simulator.http.ask import Ask, Routes
from novita_simulator.http.public import break_job, read_job_filter
from novita_simulator.paging import read_page

BASE = "/api/v1"


def _jobs(ask: Ask) -> object:
    page = read_page(ask.query, ask.world.settings.switches).cut(ask.world.jobs.newest_first(read_job_filter(ask)))
    return {"jobs": [wire.internal_job(job) for job in page.items], "total": page.total}


ROUTES: Routes = (
    ("GET", f"{BASE}/jobs", _jobs),
    ("POST", f"{BASE}/job/break", break_job),
)
