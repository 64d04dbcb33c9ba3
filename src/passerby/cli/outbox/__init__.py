"""The commands of `passerby outbox` for outboxes on disk."""
