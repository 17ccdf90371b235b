"""Models with int8 weights: scales of activations, what each layer costs, training with simulated int8."""
