"""Measures what this machine can take."""
