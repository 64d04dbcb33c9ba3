"""Conformance with Customer.io's own SDKs for Python and Node.js: recorded cases are replayed against passerby.

The way of a case: `case` reads it, `recorded` brings what the SDK did into a neutral outcome, `differences` change that
outcome where passerby does something else on purpose, `replay` makes passerby do it, `checking` compares.
"""
