"""Make the blocking client from the asyncio one, so that the two can never say different things.

    python scripts/generate_sync_client.py            write src/novitai_client/_sync
    python scripts/generate_sync_client.py --check    change nothing; end with 1 when what is there is not fresh

The result is committed: users read it, and installing needs no generator.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "novitai_client"
SOURCE, TARGET = PACKAGE / "_async", PACKAGE / "_sync"
NOTICE = "# Generated from {source}\n# by scripts/generate_sync_client.py: change that file, then run the script.\n\n"
WORDS = {
    "AsyncClient": "Client",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "asyncio": "time",
    "_async": "_sync",
}
FIRST_LINES = {
    "__init__.py": '"""The blocking client."""\n',
    "client.py": '"""The blocking client. Its calls stand beside it by subject; this is the whole of them under one name."""',
}


def generate(into: Path) -> None:
    """Write the blocking modules into a folder."""
    rule = unasync.Rule(fromdir=f"{SOURCE}/", todir=f"{into}/", additional_replacements=WORDS)
    sources = sorted(SOURCE.glob("*.py"))
    unasync.unasync_files([str(source) for source in sources], [rule])
    for source in sources:
        made = into / source.name
        text = made.read_text(encoding="utf-8")
        first, _, rest = text.partition("\n")
        notice = NOTICE.format(source=source.relative_to(ROOT))
        made.write_text(notice + FIRST_LINES.get(source.name, first) + "\n" + rest, encoding="utf-8")
    tidy(into)


def tidy(folder: Path) -> None:
    """Format as the rest of the tree: replaced words change line lengths, the order of imports, and needless marks."""
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(ROOT / "pyproject.toml")]
    fixes = ["--select", "I,RUF100,UP028", "--fix", "--unsafe-fixes", "--quiet", "--exit-zero"]
    subprocess.run([*ruff, "check", *settings, *fixes, str(folder)], check=True)
    subprocess.run([*ruff, "format", *settings, "--quiet", str(folder)], check=True)


def stale(fresh: Path) -> list[str]:
    """Names of modules that are not what the source makes, or should not be there."""
    made, there = ({path.name: path.read_bytes() for path in folder.glob("*.py")} for folder in (fresh, TARGET))
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def main() -> int:
    """Generate or check; the exit code."""
    if "--check" not in sys.argv[1:]:
        generate(TARGET)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "novitai_client" / "_sync"
        generate(fresh)
        names = stale(fresh)
    for name in names:
        print(f"src/novitai_client/_sync/{name} is not fresh: run scripts/generate_sync_client.py", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
