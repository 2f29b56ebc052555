"""Metrics and traces in the words of Prometheus and OpenTelemetry."""
