"""Importance of heads and neurons, and the models that are left when the least important are removed."""
