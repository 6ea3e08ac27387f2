"""The coordinator: one durable, ordered log of events per namespace, and one place where decisions are taken."""
