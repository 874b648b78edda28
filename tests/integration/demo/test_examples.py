"""The programs of client-examples, run as their READMEs say, against the simulator and a real server."""

import http.client
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from novitai_client.webhooks import verify
from novitai_demo.stage import Stage

EXAMPLES = Path(__file__).resolve().parents[3] / "client-examples"
SOURCE = EXAMPLES.parent / "src"


@pytest.fixture
def environment(stage: Stage) -> dict[str, str]:
    """What the READMEs tell to set."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(SOURCE),
        "PYTHONUNBUFFERED": "1",
        "NOVITAI_URL": stage.url,
        "NOVITAI_API_KEY": stage.key,
    }


def run(*command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_create_and_wait_rents_uses_and_gives_back(stage: Stage, environment: dict[str, str]) -> None:
    script = str(EXAMPLES / "python" / "create_and_wait.py")

    done = run(sys.executable, script, "python-example", "--port", "80/http", environment=environment)

    assert done.returncode == 0, done.stderr
    assert "RTX 4090 24GB in " in done.stdout
    assert "port 80 answers at http://127.0.0.1:" in done.stdout
    assert done.stdout.splitlines()[-1] == "given back"
    assert stage.client.get("python-example").status in {"deleting", "deleted"}


def test_create_and_wait_says_why_nothing_could_be_had(environment: dict[str, str]) -> None:
    script = str(EXAMPLES / "python" / "create_and_wait.py")

    done = run(sys.executable, script, "too-cheap", "--max-price", "0.01", environment=environment)

    assert done.returncode == 1
    assert "failed: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="left out: curl and jq are not installed")
def test_the_shell_script_creates_and_says_where_it_answers(stage: Stage, environment: dict[str, str]) -> None:
    script = str(EXAMPLES / "shell" / "create.sh")

    done = run("sh", script, "shell-example", "RTX 4090 24GB", "nginx:1.27", "8000", environment=environment)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "port 8000 answers at http://127.0.0.1:" in done.stdout
    assert stage.client.get("shell-example").status == "ready"


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="left out: curl and jq are not installed")
def test_the_shell_script_says_what_the_server_refuses(environment: dict[str, str]) -> None:
    script = str(EXAMPLES / "shell" / "create.sh")

    done = run("sh", script, "no such name!", environment=environment)

    assert done.returncode != 0
    assert "name" in done.stderr


def test_the_receiver_takes_what_the_server_signed_and_nothing_else(stage: Stage, environment: dict[str, str]) -> None:
    """A webhook that came from the server is passed on to the example, once whole, once with changed bytes."""
    stage.client.create("told", product="RTX 4090 24GB", image_url="nginx:1.27", ports=["80/http"])
    genuine = stage.receiver.take(seconds=30)[0]
    assert verify(genuine.body, genuine.headers, stage.webhook_secret) == genuine.event
    command = [sys.executable, str(EXAMPLES / "python" / "webhook_receiver.py"), "--port", "0"]
    settings = {**environment, "WEBHOOK_SECRET": stage.webhook_secret}
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        where = receiver.stdout.readline().removeprefix("listening on http://").strip()

        def post(body: bytes) -> int:
            connection = http.client.HTTPConnection(where, timeout=10)
            connection.request("POST", "/", body=body, headers=dict(genuine.headers))
            status = connection.getresponse().status
            connection.close()
            return status

        answers = [post(genuine.body), post(genuine.body), post(genuine.body.upper())]
        receiver.terminate()
        out, err = receiver.communicate(timeout=10)

    assert answers == [204, 204, 401]
    assert out.count(genuine.event.type) == 1
    assert err.startswith("refused: ")
