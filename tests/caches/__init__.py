"""passerby behind real shared caches."""
