"""Several replicas, one coordinator: what one replica asks of another."""
