"""A Django project that delivers in a worker."""

from __future__ import annotations

SECRET_KEY = "a key of this project's tests"
USE_TZ = True
INSTALLED_APPS = ["passerby.django"]
PASSERBY = {"tracking": "tests.worker.shop.tracking"}
