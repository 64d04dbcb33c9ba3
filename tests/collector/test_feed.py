"""The items in order of arrival, page by page."""

from __future__ import annotations

from passerby.collector import CollectedRequest
from passerby.collector.feed import Cursor, Feed
from passerby.collector.request_record import RequestRecord
from passerby.collector.store import Store


def arrive(store: Store, number: int) -> None:
    for _ in range(number):
        received = CollectedRequest(store.next_number(), 1.5, "GET", "/", {}, b"", "other", 404, False, "no")
        store.add(RequestRecord(received, None, None))


def numbers(feed: Feed, cursor: Cursor, limit: int = 500) -> list[int]:
    return [item.number for item in feed.read(cursor, limit).items]


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    store = Store()
    feed = Feed(store)
    arrive(store, 120)
    pages = list(feed.pages(Cursor(0), feed.end, 50))

    assert [len(page.items) for page in pages] == [50, 50, 20]
    assert [item.number for page in pages for item in page.items] == list(range(1, 121))
    assert pages[-1].cursor == feed.end
    assert feed.read(feed.end).items == []


def test_pages_end_where_they_should() -> None:
    """What arrives meanwhile is for the next time."""
    store = Store()
    feed = Feed(store)
    arrive(store, 3)
    pages = feed.pages(Cursor(0), feed.end, 2)
    first = next(pages)
    store.clear()
    arrive(store, 1)

    assert [item.number for item in first.items] == [1, 2]
    assert [item.number for page in pages for item in page.items] == [4]


def test_the_latest_and_what_came_after() -> None:
    store = Store()
    feed = Feed(store)
    assert feed.latest(2) == feed.end
    arrive(store, 5)

    assert numbers(feed, feed.latest(2)) == [4, 5]
    assert numbers(feed, Cursor.behind("3")) == [4, 5]
    assert feed.has_more(Cursor.behind("4"))
    assert not feed.has_more(feed.end)
    assert feed.end.mark == "5"


def test_what_was_cleared_while_it_was_read_is_read_anew() -> None:
    class ClearedMeanwhile(Store):
        def requests(self, first: int = 0, limit: int = -1) -> list[CollectedRequest]:
            found = super().requests(first, limit)
            if found and found[0].number == 1:
                self.clear()
                arrive(self, 1)
            return found

    store = ClearedMeanwhile()
    before = store.clears
    arrive(store, 3)
    page = Feed(store).read(Cursor(0))

    assert ([item.number for item in page.items], page.clears) == ([4], before + 1)
    store.close()
