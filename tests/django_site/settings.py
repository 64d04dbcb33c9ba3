"""Settings with nothing in them that a test does not need; tests override the rest."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "a key of this project's tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.django_site.urls"
USE_TZ = True
MIDDLEWARE = ["passerby.django.TrackingMiddleware"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "passerby.django",
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
PASSERBY: dict[str, Any] = {
    "sitecore": {
        "client_key": "key",
        "target_url": os.environ.get("COLLECTOR", "http://127.0.0.1:9"),
        "point_of_sale": "shop",
    },
    "identity_provider": "CRM",
    "browser_id_timeout": 10.0,
}
