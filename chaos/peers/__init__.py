"""passerby beside its peers, under the same faults: `python -m chaos peers`."""
