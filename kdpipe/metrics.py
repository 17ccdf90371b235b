"""In which direction a metric is better; imports nothing heavy."""

LOWER_IS_BETTER = ("cross_entropy", "loss", "perplexity", "squared_error")
