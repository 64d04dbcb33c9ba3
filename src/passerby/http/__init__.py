"""Requests, responses, cookies and the session of one visitor, as plain values."""
