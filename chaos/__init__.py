"""What becomes of events when things go wrong, tried for real. Run with `python -m chaos`, or `make chaos`."""
