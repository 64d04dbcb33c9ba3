"""A local stand-in for Sitecore's Stream API, for development and tests."""

from .received import Received as Received
from .scripted import Scripted as Scripted
from .server import CollectorServer as CollectorServer
from .store import StoreError as StoreError
