"""The direction in which each metric is better; this module imports nothing heavy."""

LOWER_IS_BETTER = ("cross_entropy", "loss", "perplexity", "squared_error")
