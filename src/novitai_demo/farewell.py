"""What to try next, while everything still runs: commands that work when they are copied."""

import shlex
import shutil
import sys
from pathlib import Path

from novitai_client import Instance
from novitai_demo.page import Page
from novitai_demo.stage import Stage


def hints(page: Page, stage: Stage, instance: Instance) -> None:
    """Where everything is, and a few commands."""
    novitai = _program()
    reclaim = f'{{"instanceId": "{instance.novita_instance_id}", "noticeSeconds": 15}}'
    page.chapter("Everything still runs. What to try next, in another terminal")
    page.more(f"server     {stage.url}   (API: {stage.url}/docs)")
    page.more(f"its key    {stage.key}")
    page.more(f"simulator  {stage.simulator_url}/_sim/state")
    page.plain("")
    page.command(f"export NOVITAI_URL={stage.url} NOVITAI_API_KEY={stage.key}")
    page.command(f"{novitai} list")
    page.command(f"{novitai} show {instance.name}")
    page.command(f'{novitai} create second --product "RTX 5090 32GB" --template 107673 --wait')
    page.command(f"{novitai} delete second --yes")
    page.plain("")
    page.more("Novita takes the spot machine back (the webhooks appear below):")
    page.command(f"curl {stage.simulator_url}/_sim/reclaim -d {shlex.quote(reclaim)}")
    page.plain("")
    page.more("Webhooks are told here as they come. Ctrl-C ends everything and removes what was written.")
    page.plain("")


def _program() -> str:
    """How to call `novitai` in this shell."""
    beside = Path(sys.executable).with_name("novitai")
    if shutil.which("novitai") or not beside.exists():
        return "novitai"
    here = Path.cwd()
    return str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)
