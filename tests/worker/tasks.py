"""The shop's Celery app. Its broker is a directory, so that no server is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery


def make_app(queue: Path) -> Any:
    folders = {"data_folder_in": str(queue), "data_folder_out": str(queue), "control_folder": str(queue / "control")}
    app = Celery("shop", broker="filesystem://")
    app.conf.update(broker_transport_options=folders, worker_hijack_root_logger=False)
    return app


def record(step: str) -> None:
    from .shop import record as record_in_shop

    record_in_shop(step)


if "SHOP_QUEUE" in os.environ:
    app = make_app(Path(os.environ["SHOP_QUEUE"]))
    app.task(name="record")(record)
