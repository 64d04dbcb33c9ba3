"""Stores: the queue in which recorded events wait, to replace `outbox`. Nothing uses them yet.

`contract` says what a store is. `memory` and `sqlite` are the stores, and `outbox` is what an app records events with.
"""
