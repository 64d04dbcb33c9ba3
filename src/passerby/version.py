"""The version of the installed package, which pyproject.toml alone states."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("passerby")
except PackageNotFoundError:  # the source was copied and not installed
    __version__ = "unknown"
