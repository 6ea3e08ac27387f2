"""Faults put into the coordinator on purpose, one at a time, to show that the simulator would find them.

Each is a small slip that somebody could make, and that no test of a single module need notice. A file a layer.
"""
