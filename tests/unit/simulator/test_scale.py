"""Thousands of machines cost what has happened to them, not what could."""

import time

MANY = 5_000


def test_five_thousand_machines_come_up_and_are_listed_quickly(rehearse):
    """Creation, boot and a whole sweep of pages in seconds; a quiet moment costs next to nothing."""
    play = rehearse(stock=[{"available": 1_000_000}], balance=1_000_000, switches={"apps": False})
    began = time.perf_counter()

    for number in range(MANY):
        play.create(name=f"m-{number}", productId="3090.16c92g", clusterId="")
    play.wait(60)
    pages = [play.get("/gpu/instances", pageNum=page, pageSize=100) for page in range(1, 51)]
    busy = time.perf_counter() - began

    began = time.perf_counter()
    for _ in range(10_000):
        play.wait(0.001)
    quiet = time.perf_counter() - began

    assert {item["status"] for page in pages for item in page["instances"]} == {"running"}
    assert len({item["id"] for page in pages for item in page["instances"]}) == MANY
    assert busy < 30
    assert quiet < 2
