"""Where events are kept: the EventLog port, its stores, and the translation between core events and bytes."""
