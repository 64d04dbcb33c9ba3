"""Conformance with Sitecore's Engage SDK, and below `customerio` with others: cases are replayed against passerby.

The way of a case: `case` reads it, `recorded` brings what the SDK did into a neutral outcome, `reference` says what the
SDK does and, with differences switched on, what passerby does instead, `replay` makes passerby do it, `comparison`
compares.
"""
