"""What a server tells of itself: spans by OpenTelemetry, metrics by Prometheus.

`opening` makes of settings what a server has of both. Without settings nothing here is imported.
"""
