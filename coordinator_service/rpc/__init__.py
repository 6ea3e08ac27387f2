"""The contract's edge: bytes to commands, answers to bytes, and nothing decided in between."""
