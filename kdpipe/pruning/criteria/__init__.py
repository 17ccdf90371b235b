"""Criteria of importance, one a module."""
