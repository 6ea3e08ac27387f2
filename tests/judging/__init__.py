"""Judges of a whole log and of what clients say of it: for the simulator, and for chaos over real processes."""
