"""The shop and the collector in the frames of one page."""

from __future__ import annotations

import httpx

from .playing import Demo, browser_id_of, browsing

IN_FRAME = {"sec-fetch-dest": "iframe", "sec-fetch-site": "same-origin"}


def test_the_page_shows_both_and_nothing_else(open_demo: Demo, browser: httpx.Client) -> None:
    answer = browser.get("/side-by-side")

    assert f'src="{open_demo.laptop}/"' in answer.text
    assert f'src="{open_demo.collector}/_collector/"' in answer.text
    assert f"frame-src {open_demo.laptop} {open_demo.collector};" in answer.headers["content-security-policy"]
    assert not browser.cookies, "the framed pages are tracked"


def test_the_collector_stands_in_the_frames_of_the_shop_alone(open_demo: Demo) -> None:
    answer = httpx.get(f"{open_demo.collector}/_collector/stats")

    assert f"frame-ancestors {open_demo.laptop};" in f"{answer.headers['content-security-policy']};"


def test_a_framed_page_is_tracked_and_its_visitor_recognised(demo: Demo, laptop: httpx.Client) -> None:
    framed = laptop.get("/", headers=IN_FRAME)
    assert browser_id_of(laptop) in framed.text
    assert 'id="side-by-side"' not in framed.text, "which it stands in already"
    assert "frame-ancestors 'self'" in framed.headers["content-security-policy"]
    laptop.post("/cart", data={"product": "day-pack"}, headers=IN_FRAME)

    shown = browser_id_of(laptop)[:8]
    for line in (rf"VIEW +{shown}  Home$", rf"ADD +{shown}  Day pack$", rf"VIEW +{shown}  Cart$"):
        demo.command.wait_for(line)


def test_a_phone_has_no_room_for_it(open_demo: Demo) -> None:
    with browsing(open_demo.phone) as phone:
        answer = phone.get("/side-by-side", follow_redirects=False)

    assert answer.headers["location"] == f"{open_demo.laptop}/side-by-side"


def test_the_phone_is_marked_as_one_and_leads_to_no_other(open_demo: Demo) -> None:
    with browsing(open_demo.phone) as phone:
        page = phone.get("/").text

    assert '<body data-device="phone">' in page
    assert "Phone</span>" in page
    assert 'id="second-device"' not in page


def test_the_laptop_leads_to_the_phone_in_a_tab_of_its_own(open_demo: Demo, browser: httpx.Client) -> None:
    page = browser.get("/").text

    assert f'<a id="second-device" href="{open_demo.phone}/" target="_blank" rel="noopener noreferrer">' in page


def test_no_other_name_of_this_machine_is_served(open_demo: Demo) -> None:
    """A page elsewhere that had its name point here reads nothing."""
    assert httpx.get(f"{open_demo.laptop}/", headers={"host": "shop.example"}).status_code == 400
