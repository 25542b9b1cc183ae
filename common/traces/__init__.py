"""Traces: what a call spends its time on, told to an OpenTelemetry collector where one is named."""
