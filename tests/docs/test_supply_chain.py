"""What is installed with ours: its licences can be passed on, and what is not known of it is said."""

import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from support.pages import ROOT


def script(name):
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LICENCES, ADVISORIES = script("check_licences"), script("check_advisories")


def test_every_package_that_is_installed_with_ours_has_a_licence_on_the_list():
    """As the package itself says."""
    assert LICENCES.main() == 0


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", False),
        ("MIT AND AGPL-3.0-only", False),
        ("GPL-2.0-or-later", False),
        ("LicenseRef-Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_fits_when_we_can_keep_to_it(expression, fits):
    """All of an AND, one of an OR; what is bracketed is looked at by a person."""
    assert LICENCES.acceptable(expression) is fits


def vulnerable(*ids):
    return {"name": "a", "version": "1", "vulns": [{"id": one} for one in ids]}


@pytest.mark.parametrize(
    ("report", "said", "code", "words"),
    [
        ({"dependencies": [vulnerable()]}, "", 0, "no advisories"),
        ({"dependencies": [vulnerable("CVE-1")]}, "", 1, "a 1: CVE-1"),
        ({"dependencies": [vulnerable("CVE-1"), {"name": "b", "skip_reason": "not found"}]}, "", 1, "CVE-1"),
        (
            {"dependencies": [vulnerable(), {"name": "b", "skip_reason": "not found"}]},
            "",
            75,
            "could not be asked for 1 of 2",
        ),
        ({"dependencies": []}, "", 75, "could not be asked"),
        (None, "ConnectionError: no way out", 75, "could not be asked: ConnectionError"),
        (None, "", 75, "could not be asked"),
    ],
)
def test_not_being_able_to_ask_is_no_good_news(report, said, code, words):
    """It has an exit code of its own, and says so."""
    found, told = ADVISORIES.verdict(report, said)

    assert found == code
    assert words in told


def test_the_list_of_what_is_shipped_holds_all_that_is_locked_with_its_hashes(tmp_path):
    """What `make sbom` writes; by the command that stands in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    [arguments] = re.findall(r"cyclonedx-py (requirements .*?) --output-file \S+", makefile)
    target = tmp_path / "sbom.json"
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", *arguments.split(), "--output-file", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    written = json.loads(target.read_text(encoding="utf-8"))

    assert written["bomFormat"] == "CycloneDX"
    assert written["metadata"]["component"]["name"] == "novitai"
    assert {part["name"] for part in written["components"]} == set(LICENCES.packages(LICENCES.LOCK))
    assert all(part["externalReferences"][0]["hashes"] for part in written["components"])
