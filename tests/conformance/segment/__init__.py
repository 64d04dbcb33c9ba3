"""`segment-analytics-python` beside passerby, on the cases and with the comparison of Customer.io's SDKs."""
