"""A Celery worker whose tasks record events, and who gives it such tasks: `python -m chaos.celery_app QUEUE NUMBER`.

The broker is a directory, so that no server is needed. The app tracks from the moment it is imported, as apps do.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery

from passerby.events.event import new_event_id

from .site import make_tracking


def make_app(queue: str) -> Any:
    folder = {"data_folder_in": queue, "data_folder_out": queue, "control_folder": f"{queue}/control"}
    app = Celery("chaos", broker="filesystem://", backend=f"file://{Path(queue, 'results')}")
    Path(queue, "results").mkdir(exist_ok=True)
    app.conf.update(broker_transport_options=folder, worker_hijack_root_logger=False)

    def record() -> str:
        event_id = new_event_id()
        receipt = tracking.for_visitor(str(uuid4())).event("STEP", {"recorded": event_id}, event_id=event_id)
        receipt.wait_stored()
        return event_id

    app.task(name="record")(record)
    return app


tracking = make_tracking()
app = make_app(json.loads(os.environ["CHAOS_SITE"])["queue"])


def main(number: int) -> None:
    """Give out tasks, and say which events they have recorded."""
    results = [app.send_task("record") for _ in range(number)]
    for result in results:
        print("task", result.get(timeout=60))


if __name__ == "__main__":
    main(int(sys.argv[2]))
