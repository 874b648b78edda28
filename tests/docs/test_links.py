"""Pages point at what is there."""

import pytest

from support.pages import ROOT, anchors, links, named, pages


@pytest.mark.parametrize("page", pages(), ids=named)
def test_every_link_of_a_page_leads_somewhere(page):
    """A reader who follows a link inside the project arrives, at the heading too."""
    inside = [link for link in links(page) if "://" not in link and not link.startswith("mailto:")]

    broken = [link for link in inside if not leads_somewhere(page, link)]

    assert broken == []


def leads_somewhere(page, link):
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def test_every_page_of_the_documentation_can_be_reached_from_its_index():
    """Nothing is written that nobody finds; decisions are found from one another."""
    found, todo = set(), [ROOT / "docs" / "index.md"]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        found.add(page)
        todo += [
            (page.parent / link.partition("#")[0]).resolve()
            for link in links(page)
            if link.partition("#")[0].endswith(".md")
        ]

    alone = [named(page) for page in pages() if page.is_relative_to(ROOT / "docs") and page not in found]

    assert [name for name in alone if not name.startswith("docs/decisions/")] == []
