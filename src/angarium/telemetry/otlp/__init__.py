"""Sends metrics and spans to an OpenTelemetry collector by OTLP over HTTP. Needs the extra `otel`.

No other package imports `opentelemetry`.
"""
