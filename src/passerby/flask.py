"""The Flask integration: an extension that follows Flask's conventions."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any, cast

try:
    import click
    import flask
    from flask.cli import AppGroup, ScriptInfo
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError('Flask is not installed. Run: pip install "passerby[flask]"', name="flask") from _error

from .cli.main import SUMMARIES, main
from .client.current import context_tracker, register_finder
from .client.sites import TrackingSource
from .client.tracker import Tracker
from .client.tracking import Tracking
from .errors import SettingsError
from .http.request import TRACKER_KEY, EnvironRequest
from .http.route import ROUTE_KEY
from .logs import get_logger
from .settings.secret_keys import keys_of_framework
from .wsgi import TrackingMiddleware

_NAME = "passerby"
_SETTINGS = "PASSERBY"
_TRACKER = "tracker"
_MISSING = object()

log: Logger = get_logger("passerby.flask")


class Passerby:
    """Gives each request of an app a tracker, as `flask.g.tracker`, and its response the visitor's cookies.

    The settings are in ``app.config["PASSERBY"]``, under the names of `passerby.settings.settings.Settings`, those of a
    destination under its kind: ``{"sitecore": {"client_key": ...}, "channel": "WEB"}``. Without a `secret_key` among
    them, cookies are signed with the app's ``SECRET_KEY`` and also verified with its ``SECRET_KEY_FALLBACKS``.

    Args:
        app: the app, if it exists already; see `init_app`.
        tracking: a `Tracking` or `Sites`, instead of settings.
    """

    def __init__(self, app: flask.Flask | None = None, tracking: TrackingSource | None = None) -> None:
        if app is not None:
            self.init_app(app, tracking)

    def init_app(self, app: flask.Flask, tracking: TrackingSource | None = None) -> None:
        """Install the extension in an app that is already configured. One extension may serve several apps.

        Raises:
            SettingsError: a setting is missing or wrong, named as in the app's configuration, or the app has the
                extension already.
        """
        if _NAME in app.extensions:
            raise SettingsError("this app has passerby already: call init_app once, or pass the app to Passerby(app)")
        app.extensions[_NAME] = tracking = _tracking_of(app) if tracking is None else tracking
        app.wsgi_app = TrackingMiddleware(app.wsgi_app, tracking)  # type: ignore[method-assign]
        app.app_ctx_globals_class = _with_tracker(app.app_ctx_globals_class)
        flask.request_started.connect(_attach_tracker, app)
        register_finder(_tracker_of_request)
        app.cli.add_command(commands)


class _Globals:
    """Adds the tracker to `flask.g`, in every context that belongs to a request.

    The tracker is looked up each time, since an app context within a request, and a copied request context, have
    another `g`, and several requests of a test client within one app context share a `g`.
    """

    @property
    def tracker(self) -> Tracker:
        """The tracker of `flask.request`; outside of requests one that drops all events."""
        kept: Any = vars(self).get(_TRACKER, _MISSING)  # set by the app
        return _find_tracker() if kept is _MISSING else kept

    def get(self, name: str, default: Any = None) -> Any:
        return self.tracker if name == _TRACKER and name in self else vars(self).get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in vars(self) or (name == _TRACKER and _tracker_around() is not None)


def _with_tracker(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_Globals, kind), {}) if isinstance(kind, type) else kind


def _attach_tracker(sender: flask.Flask, **rest: Any) -> None:
    """Set the tracker on a `g` of another class: of an app context older than the extension, or a custom one."""
    if not isinstance(flask.g, _Globals):
        flask.g.tracker = flask.request.environ.get(TRACKER_KEY)
    if flask.request.url_rule is not None:  # Flask takes the request out of the environ when its context ends
        flask.request.environ[ROUTE_KEY] = flask.request.url_rule.rule


def _find_tracker() -> Tracker:
    tracker = _tracker_around()
    if tracker is not None:
        return tracker
    log.warning(
        "g.tracker was used outside of a request: its events are dropped; use tracking.for_visitor(browser_id) there"
    )
    source: TrackingSource = flask.current_app.extensions[_NAME]
    return source.outside_request()


def _tracker_around() -> Tracker | None:
    """Return the tracker of `flask.request`, or after Flask's context has ended, that of the context variable."""
    return _tracker_of_request() or context_tracker()


def _tracker_of_request() -> Tracker | None:
    """Return the tracker of `flask.request`. Creates one in `test_request_context`, where the middleware is not run."""
    if not flask.has_request_context():
        return None
    environ = flask.request.environ
    tracker: Tracker | None = environ.get(TRACKER_KEY)
    source: TrackingSource | None = None if tracker else flask.current_app.extensions.get(_NAME)
    if source is not None:
        info = EnvironRequest(environ)
        tracker = environ[TRACKER_KEY] = source.for_request(info).make_tracker(info, assigns_id=False)
    return tracker


def _tracking_of(app: flask.Flask) -> Tracking:
    config = cast("Mapping[str, Any]", app.config)
    values: Any = config.get(_SETTINGS)
    if not isinstance(values, Mapping):
        found = "none" if values is None else type(values).__name__
        raise SettingsError(
            f'found {found}, expected a dict such as {{"sitecore": {{"client_key": ...}}}}',
            setting=f'app.config["{_SETTINGS}"]',
        )
    given = cast("Mapping[str, Any]", values)
    if "secret_key" in given or not app.secret_key:
        return Tracking.from_mapping(given, _spell)
    name = 'app.config["SECRET_KEY"]'
    keys = keys_of_framework(name, app.secret_key, config.get("SECRET_KEY_FALLBACKS") or ())
    return Tracking.from_mapping({**given, "secret_key": keys}, _spell)


def _spell(name: str) -> str:
    return "".join([f'app.config["{_SETTINGS}"]', *(f'["{part}"]' for part in name.split("."))])


commands: AppGroup = AppGroup(_NAME, help="Commands of passerby, as `passerby` itself has them.")


def _find_tracking(app: flask.Flask) -> Tracking:
    """Return an app's tracking. Raises SettingsError."""
    tracking = app.extensions.get(_NAME)
    if not isinstance(tracking, Tracking):
        raise SettingsError("found several sites; name the outbox of one with --outbox")
    return tracking


class _PassThrough(click.Command):
    """Passes all arguments on to passerby's command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["arguments"] = args
        return []


def _pass_through(name: str, summary: str) -> click.Command:
    def run(arguments: list[str]) -> None:
        # The app is loaded already, since it has these commands.
        app = click.get_current_context().ensure_object(ScriptInfo).load_app()
        raise SystemExit(main([name, *arguments], find_tracking=lambda: _find_tracking(app)))

    return _PassThrough(name, callback=run, help=summary)


for _command, _summary in SUMMARIES.items():
    commands.add_command(_pass_through(_command, _summary))
