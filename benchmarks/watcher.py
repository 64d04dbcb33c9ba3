"""A process that watches a collector's stream as the live page does, until it has seen so many events.

`python -m benchmarks.watcher URL`; the number of events is what it reads. It prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import httpx

PATIENCE = 120.0  # seconds for what is still on its way


def main() -> None:
    expected: list[int] = []
    threading.Thread(target=lambda: expected.append(int(sys.stdin.readline())), daemon=True).start()
    seen: set[tuple[int, int]] = set()
    events = told = at_end = 0
    gives_up = float("inf")
    with httpx.stream("GET", f"{sys.argv[1]}/_collector/stream", timeout=30.0) as stream:
        print("watching", flush=True)
        for line in stream.iter_lines():
            if line.startswith('data: {"items"'):
                items = json.loads(line.removeprefix("data: "))["items"]
                told += len(items)
                events += sum(item["is_event"] for item in items)
                seen.update((item["number"], item["position"]) for item in items)
            if expected and gives_up == float("inf"):
                at_end, gives_up = events, time.monotonic() + PATIENCE
            if expected and (events >= expected[0] or time.monotonic() > gives_up):
                break
    print(json.dumps({"events": events, "at_end": at_end, "twice": told - len(seen)}))


if __name__ == "__main__":
    main()
