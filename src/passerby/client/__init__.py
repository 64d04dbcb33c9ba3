"""The client: what an app calls, and the life of one request."""
