"""The official command line, pointed at the simulator: its arguments follow the address. Prints {"exit", "output"} as JSON."""

import json
import sys

import novita_cli.core.client as core
from click.testing import CliRunner
from novita_cli.novita_cli import cli

core.BASE_URL = sys.argv[1]
result = CliRunner().invoke(cli, sys.argv[2:], obj={})
print(json.dumps({"exit": result.exit_code, "output": result.output}))
