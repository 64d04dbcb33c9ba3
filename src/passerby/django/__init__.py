"""The Django integration: the middleware `TrackingMiddleware`, and an app for `INSTALLED_APPS`."""

from .conf import get_tracking as get_tracking
from .middleware import TrackedRequest as TrackedRequest
from .middleware import TrackingMiddleware as TrackingMiddleware
