"""Stores: where recorded events wait until every destination has answered for them. See `contract`."""
