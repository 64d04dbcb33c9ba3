"""A newsletter on Flask, tracked with passerby."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from passerby.flask import Passerby

from .site import site

passerby = Passerby()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app; what is given overrides its configuration."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY", "an example's key, which is no secret")
    app.config["PASSERBY"] = {
        "sitecore": {
            "client_key": "newsletter",
            "target_url": os.environ.get("PASSERBY_SITECORE_TARGET_URL", "http://localhost:8600"),
            "point_of_sale": "newsletter.example",
        },
        "channel": "WEB",
        "currency": "EUR",
        "identity_provider": "EMAIL",
    }
    app.config.update(config or {})
    app.register_blueprint(site)
    passerby.init_app(app)
    return app
