"""What people look up is complete: an undocumented setting, metric, event or error code fails here."""

import re
import subprocess
import sys

import pytest

from novitai.api.problems import RETRYABLE, STATUS
from novitai.config.settings import GROUPS
from novitai.config.variables import declared
from novitai.domain.errors import Code
from novitai.domain.events import FactType
from novitai.domain.lifecycle import diagram
from novitai.telemetry.metrics import ALL
from support.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
SETTINGS = [variable.name for group in GROUPS.values() for _, variable in declared(group)]
DOCUMENTED = [
    ("settings.md", SETTINGS),
    ("metrics.md", [metric.name for metric in ALL]),
    ("events.md", [kind.value for kind in FactType]),
    ("errors.md", [code.value for code in Code]),
]


@pytest.mark.parametrize(("page", "names"), DOCUMENTED, ids=[page for page, _ in DOCUMENTED])
def test_everything_that_has_a_name_has_a_row(page, names):
    """Who meets a name in a log, an answer or an alert finds it on its page."""
    rows = set(re.findall(r"^\| `([^`]+)`", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE))

    assert sorted(rows) == sorted(names)


def test_the_page_of_errors_says_what_the_server_answers():
    """Status and the advice to try again are those that the server sends."""
    row = re.compile(r"^\| `([A-Z_]+)` \| (\d{3}) \| (yes|no) \| .+ \|$", re.MULTILINE)

    told = {
        code: (int(status), again == "yes")
        for code, status, again in row.findall((REFERENCE / "errors.md").read_text())
    }

    assert told == {code.value: (STATUS[code], code in RETRYABLE) for code in Code}


def test_the_lifecycle_on_the_page_is_the_one_that_rules():
    """The drawing is made from the table that decides."""
    page = (REFERENCE / "lifecycle.md").read_text(encoding="utf-8")

    assert diagram() in page


@pytest.mark.parametrize("script", ["generate_docs.py", "generate_sync_client.py"])
def test_what_is_made_from_code_is_fresh(script):
    """Pages and the blocking client were made again after the last change of what they come from."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
