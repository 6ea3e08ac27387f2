"""Chaos: real replicas over a real Redis, agents and clients under load, and whatever can befall them, from a seed."""
