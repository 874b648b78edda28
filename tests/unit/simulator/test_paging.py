"""Lists are cut into pages as Novita is seen to cut them."""

import pytest

from novita_simulator.fields import InvalidField


@pytest.fixture
def fleet(rehearse):
    """Twenty-five machines, m-00 the oldest."""

    def make(**switches):
        play = rehearse(switches=switches)
        for number in range(25):
            play.create(name=f"m-{number:02}")
        return play

    return make


def test_the_newest_come_first_ten_at_a_time(fleet):
    """Without paging parameters the first ten are given, and the total of all."""
    play = fleet()

    assert play.names() == [f"m-{number:02}" for number in range(24, 14, -1)]
    assert play.get("/gpu/instances")["total"] == 25


def test_pages_zero_and_one_are_both_the_first(fleet):
    """Official clients begin at either; two is the second page; past the end is empty."""
    play = fleet()

    first, also_first, second, third = (play.names(pageNum=page, pageSize=10) for page in (0, 1, 2, 3))

    assert first == also_first
    assert (second[0], third[-1]) == ("m-14", "m-00")
    assert len(first + second + third) == 25
    assert play.names(pageNum=4, pageSize=10) == []


def test_unknown_names_are_ignored_so_a_careless_client_sees_the_first_page_for_ever(fleet):
    """`page`, `page_size` and `pageNumber` are real clients' mistakes; nothing complains."""
    play = fleet()

    assert play.names(page=2, page_size=50, pageNumber=3) == play.names()


def test_a_page_is_never_larger_than_the_limit(fleet):
    """A larger pageSize is taken down to the maximum, which is a setting."""
    play = fleet(maxPageSize=20)

    assert len(play.names(pageSize=1000)) == 20


def test_the_page_base_can_be_zero_or_one(fleet):
    """With base zero, 1 is the second page; with base one, 0 is refused."""
    zero, one = fleet(pageBase="zero"), fleet(pageBase="one")

    assert zero.names(pageNum=1, pageSize=10)[0] == "m-14"
    assert one.names(pageNum=2, pageSize=10)[0] == "m-14"
    with pytest.raises(InvalidField, match="pageNum"):
        one.names(pageNum=0)


def test_paging_can_be_ignored_altogether(fleet):
    """By switch every call gets the first page, or everything."""
    stuck, all_at_once = fleet(paging="first-page"), fleet(paging="everything")

    assert stuck.names(pageNum=3, pageSize=5) == stuck.names()
    assert len(all_at_once.names(pageNum=3, pageSize=5)) == 25


def test_the_list_is_filtered_by_parts_of_names_and_by_status(fleet):
    """name and productName are fuzzy, status is one word."""
    play = fleet()
    play.wait(60)
    play.create(name="other")

    assert play.names(name="OTHER") == ["other"]
    assert play.names(status="pending") == ["other"]
    assert play.get("/gpu/instances", productName="5090")["total"] == 0


@pytest.mark.parametrize(
    ("how", "part", "prefix", "whole"),
    [("contains", 1, 25, 1), ("prefix", 0, 25, 1), ("exact", 0, 0, 1), ("ignored", 25, 25, 25)],
)
def test_the_name_filter_has_several_habits(fleet, how, part, prefix, whole):
    """Which of them Novita has is not known: a client must not rest on it."""
    play = fleet(nameFilter=how)

    found = [play.get("/gpu/instances", name=name)["total"] for name in ("-07", "M-", "m-07")]

    assert found == [part, prefix, whole]


def test_a_page_that_is_too_large_can_be_refused(fleet):
    """By switch, in place of being taken down to the maximum."""
    play = fleet(maxPageSize=20, oversizedPages="refused")

    assert len(play.names(pageSize=20)) == 20
    with pytest.raises(InvalidField, match="pageSize"):
        play.names(pageSize=21)


def test_templates_come_twenty_at_a_time_by_channel(play):
    """Their answer names the page; channels may be joined by commas or missing."""
    everything = play.get("/templates")
    private = play.get("/templates", channel="private", isMyCommunity="true", pageNum=0)
    both = play.get("/templates", channel="official,private")

    assert (everything["pageSize"], everything["pageNum"], everything["total"]) == (20, 1, 7)
    assert {item["channel"] for item in private["template"]} == {"private"}
    assert both["total"] == 6
