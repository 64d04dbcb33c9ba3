"""The outbox: a store is the queue in which events wait until they are settled, and one object stands in front of it.

`contract` says what a store is, `memory` and `sqlite` are the stores. `outbox` is the object that an app records with.
"""
