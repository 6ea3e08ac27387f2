"""Bringing posts and images onto a site."""
