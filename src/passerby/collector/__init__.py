"""A local stand-in for Sitecore CDP, Customer.io and Datalyr, for development and tests."""

from .people import People as People
from .people import Person as Person
from .received import Received as Received
from .scripted import Scripted as Scripted
from .server import CollectorServer as CollectorServer
from .store import StoreError as StoreError
