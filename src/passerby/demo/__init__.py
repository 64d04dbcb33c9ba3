"""A small demo shop, with a collector that shows its events."""

from importlib.util import find_spec

for package in ("fastapi", "uvicorn"):
    if find_spec(package) is None:
        raise ModuleNotFoundError(
            f'The demo needs {package}, which is not installed. Run: pip install "passerby[demo]"',
            name=package,
        )
