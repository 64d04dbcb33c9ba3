"""Conformance with Sitecore's SDKs for the edge, Cloud and Content: recorded cases are replayed against passerby.

The way of a case is that of the Engage SDK's; `model` is the reference, of both SDKs.
"""
