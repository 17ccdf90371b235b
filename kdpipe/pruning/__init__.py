"""Importance of heads and neurons, and models without the least important heads and neurons."""
