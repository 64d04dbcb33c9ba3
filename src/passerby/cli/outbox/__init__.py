"""The upkeep of outboxes on disk: what `passerby outbox` shows and changes."""
