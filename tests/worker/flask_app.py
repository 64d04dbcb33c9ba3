"""A Flask app that delivers in a worker."""

from __future__ import annotations

from flask import Flask

from passerby.flask import Passerby

from .shop import tracking

app = Flask(__name__)
Passerby(app, tracking)
