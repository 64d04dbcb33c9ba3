"""What a server imports: the app that the environment names."""

from .sites import make_served_app

app = make_served_app()
