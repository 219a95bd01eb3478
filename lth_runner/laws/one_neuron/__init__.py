"""One ReLU neuron out of a random network of two layers: by keeping whole hidden neurons, or by keeping weights.

The error is the largest difference of the outputs over all inputs in [-1, 1]^d, found exactly for up to three inputs.
"""
