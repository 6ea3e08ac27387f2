"""Hardening a site and trying to break in."""
