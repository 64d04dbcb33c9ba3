"""Settings of the shop."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]

SECRET_KEY = os.environ.get("SECRET_KEY", "an example's key, which is no secret")
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "config.urls"
TIME_ZONE = "UTC"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "passerby.django",
    "shop",
]

MIDDLEWARE = [
    "passerby.django.TrackingMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

PASSERBY = {
    "sitecore": {
        "client_key": "shop",
        "target_url": os.environ.get("PASSERBY_SITECORE_TARGET_URL", "http://localhost:8600"),
        "point_of_sale": "shop.example",
    },
    "channel": "WEB",
    "currency": "EUR",
    "identity_provider": "SHOP",
    "auth_signals": True,
    "user_traits": "shop.tracking.traits_of",
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", ROOT / "shop.sqlite3"),
        "ATOMIC_REQUESTS": True,
    }
}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
