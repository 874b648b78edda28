"""The reference of the command line says everything there is."""

from pathlib import Path

from typer.main import get_command

from novitai_client.cli.program import program
from novitai_main import VERBS

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_every_verb_and_option_is_documented() -> None:
    """A new one without a line in the reference fails here."""
    text = REFERENCE.read_text(encoding="utf-8")
    commands = get_command(program()).commands
    groups = {name: command.commands for name, command in commands.items() if hasattr(command, "commands")}
    verbs = {f"novitai {name}": command for name, command in commands.items() if name not in groups}
    verbs |= {f"novitai {group} {name}": one for group, members in groups.items() for name, one in members.items()}
    options = {
        option
        for command in verbs.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("-")
    }

    missing = [word for word in (*verbs, *options, *(verb.words[-1] for verb in VERBS)) if word not in text]
    assert missing == []
