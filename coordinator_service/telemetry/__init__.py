"""Telemetry: followers of the committed log that turn it into spans, log lines and figures."""
