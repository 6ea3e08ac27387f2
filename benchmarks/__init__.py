"""Benchmarks: Concert beside what the bare transport reaches in the same run. `python -m benchmarks`."""
