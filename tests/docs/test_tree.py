"""The tree keeps its promises to the reader: two commands, numbered decisions, files read in one sitting, nothing of one machine."""

import re

import pytest

from support.pages import ROOT, files, make_targets, named, pages

USUAL_CAP = 400
# Lines that a source file above the usual cap may have; each is a question to ask in review, not an offence.
CAPS = {
    "src/novitai/ports/store.py": 440,
}
# In pieces, so that this list is not itself what it looks for.
REGISTRIES = [
    f"{name}.{top}"
    for name, top in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb.debian", "org"),
        ("crates", "io"),
    )
]
FOREIGN_PATHS = re.compile(r"(?<![\w./-])/(?:work|root|farm|home/\w+|Users/\w+)/")


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def text_files():
    """What people wrote; a file that is no text holds no address that they would follow."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_the_readme_names_the_two_commands():
    """A newcomer finds how to see it work and how to test it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)


def test_every_make_target_that_pages_name_exists():
    """A command on a page can be typed."""
    told = {
        (named(page), target)
        for page in pages()
        for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))
    }

    assert {(page, target) for page, target in told if target not in make_targets()} == set()


def test_decisions_are_numbered():
    """Each decision has a number of its own, the same in its name and its heading."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]

    assert len(set(numbers)) == len(numbers)
    for number, path in zip(numbers, decisions, strict=True):
        assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. ")


@pytest.mark.parametrize("path", [path for path in files(".py") if named(path).startswith("src/")], ids=named)
def test_a_source_file_can_be_read_in_one_sitting(path):
    """A file that grows past the usual size is listed by name, with a cap of its own."""
    assert lines(path) <= CAPS.get(named(path), USUAL_CAP)


def test_the_list_of_long_files_is_true():
    """A file leaves the list when it has become short."""
    assert {name for name in CAPS if not (ROOT / name).exists() or lines(ROOT / name) <= USUAL_CAP} == set()


def test_no_file_names_a_registry_or_a_place_of_one_machine():
    """The project is installed from whatever the reader's tools are set to, and runs anywhere."""
    found = {
        named(path): match
        for path, text in text_files()
        for match in [*(host for host in REGISTRIES if host in text), *FOREIGN_PATHS.findall(text)]
    }

    assert found == {}


def test_every_file_that_the_map_names_exists():
    """Who is told to open a file finds it."""
    told = set(re.findall(r"`([\w/*.]+/[\w*]+\.py)`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")))

    assert [name for name in sorted(told) if not any([*ROOT.glob(name), *(ROOT / "src" / "novitai").glob(name)])] == []
