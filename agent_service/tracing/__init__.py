"""Traces of deployments: the spans that agents export, and a trace read back from Jaeger, checked and drawn."""
