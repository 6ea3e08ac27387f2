"""The four agents of the example deployment, their host, and the client that deploys with them."""
