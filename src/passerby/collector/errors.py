"""The base of the exceptions that the collector raises."""


class CollectorError(Exception):
    """The collector, or what it starts, cannot do what it is asked for."""
