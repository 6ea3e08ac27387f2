"""Giving a domain a bucket, a certificate, servers and a name."""
