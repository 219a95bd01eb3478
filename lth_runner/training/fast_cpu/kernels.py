"""Passes through a sparse fully connected ReLU network, forward and backward, and the optimizers, compiled.

All layers together are one sparse matrix. `values` has a row for every input of the network, then one for every neuron,
layer by layer, and LANES samples side by side in each row. Neuron r adds up the rows sources[k] of `values`, each times
theta[k], for k from starts[r] to starts[r + 1]. Behind the weights theta has the biases, one for each neuron, or
nothing. So a step needs nothing but kept weights, and every inner loop has a length that is known when it is compiled:
64 float32 are four AVX-512 registers, or eight of AVX2.

One thread does all of it, and sums run in an order that only the masks decide: the bits are the same on any number of
cores. Where the last samples do not fill the lanes, the empty ones are 0 and have no gradient.
"""

import numpy as np

from lth_runner.core.compiled import compiled

LANES = 64
ZERO = np.float32(0)
# Sums may be taken in the order that suits the registers, and multiply-add may be one instruction. Infinite values and
# NaN stay what they are, since the loop above recognises divergence by them.
OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


@compiled(**OPTIONS)
def gradient(images, labels, outputs, starts, sources, theta, values, slopes, grad):
    """The mean cross-entropy of a batch, and its gradient in theta.

    Args:
        images: (B, inputs) float32.
        labels: (B,) int64, in [0, outputs).
        outputs: neurons of the last layer, which has no ReLU.
        starts: (neurons + 1,) int64.
        sources: (weights,) uint32: signed indices would be looked at for being negative.
        theta: (weights,) or (weights + neurons,) float32.
        values: (inputs + neurons, LANES) float32, for work.
        slopes: alike, for work: the loss's gradient in `values`.
        grad: as theta, out.
    """
    count, inputs = images.shape
    neurons = starts.size - 1
    loss = 0.0
    grad.fill(0)
    for first in range(0, count, LANES):
        used = min(LANES, count - first)
        load(images[first : first + used], values)
        forward(inputs, outputs, starts, sources, theta, values)
        slopes[inputs:].fill(0)
        last = inputs + neurons - outputs
        loss += cross_entropy(labels[first : first + used], count, values[last:], slopes[last:])
        backward(inputs, outputs, starts, sources, theta, values, slopes, grad)
    return np.float32(loss / count)


@compiled(**OPTIONS)
def evaluate(images, outputs, starts, sources, theta, values, found):
    """Fills `found`, (B, outputs), with what the last layer gives; other arguments as in `gradient`."""
    count, inputs = images.shape
    last = inputs + starts.size - 1 - outputs
    for first in range(0, count, LANES):
        used = min(LANES, count - first)
        load(images[first : first + used], values)
        forward(inputs, outputs, starts, sources, theta, values)
        for lane in range(used):
            for o in range(outputs):
                found[first + lane, o] = values[last + o, lane]


@compiled(**OPTIONS)
def load(images, values):
    """Puts samples side by side."""
    used, inputs = images.shape
    for i in range(inputs):
        for lane in range(used):
            values[i, lane] = images[lane, i]
        for lane in range(used, LANES):
            values[i, lane] = ZERO


@compiled(**OPTIONS)
def forward(inputs, outputs, starts, sources, theta, values):
    """The values of all neurons, in their order, from those of the inputs."""
    neurons, weights = starts.size - 1, sources.size
    total = np.empty(LANES, np.float32)
    for r in range(neurons):
        bias = theta[weights + r] if theta.size > weights else ZERO
        for lane in range(LANES):
            total[lane] = bias
        k, stop = starts[r], starts[r + 1]
        while k + 4 <= stop:  # four at a time: the sum is loaded and stored once for them
            w0, w1, w2, w3 = theta[k], theta[k + 1], theta[k + 2], theta[k + 3]
            v0, v1, v2, v3 = values[sources[k]], values[sources[k + 1]], values[sources[k + 2]], values[sources[k + 3]]
            for lane in range(LANES):
                total[lane] += (w0 * v0[lane] + w1 * v1[lane]) + (w2 * v2[lane] + w3 * v3[lane])
            k += 4
        while k < stop:
            w0, v0 = theta[k], values[sources[k]]
            for lane in range(LANES):
                total[lane] += w0 * v0[lane]
            k += 1
        own = values[inputs + r]
        if r < neurons - outputs:
            for lane in range(LANES):
                own[lane] = ZERO if total[lane] < ZERO else total[lane]  # NaN stays
        else:
            for lane in range(LANES):
                own[lane] = total[lane]


@compiled(**OPTIONS)
def cross_entropy(labels, count, logits, slopes):
    """The sum of the samples' cross-entropies; fills `slopes` with the gradient of this sum over `count`."""
    outputs, used = logits.shape[0], labels.size
    share, loss = np.float32(1 / count), 0.0
    for lane in range(used):
        top = logits[0, lane]
        for o in range(1, outputs):
            top = max(top, logits[o, lane])
        total = ZERO
        for o in range(outputs):
            slopes[o, lane] = np.exp(logits[o, lane] - top)
            total += slopes[o, lane]
        for o in range(outputs):
            slopes[o, lane] *= share / total
        slopes[labels[lane], lane] -= share
        loss += np.log(total) + (top - logits[labels[lane], lane])
    return loss


@compiled(**OPTIONS)
def backward(inputs, outputs, starts, sources, theta, values, slopes, grad):
    """Adds to the gradient in theta what follows from the slopes of the last layer's neurons."""
    neurons, weights = starts.size - 1, sources.size
    slope = np.empty(LANES, np.float32)
    for r in range(neurons - 1, -1, -1):  # when it is a neuron's turn, those after it have added to its slope
        own, mine = values[inputs + r], slopes[inputs + r]
        for lane in range(LANES):
            slope[lane] = mine[lane] if own[lane] > ZERO or r >= neurons - outputs else ZERO
        if theta.size > weights:
            total = ZERO
            for lane in range(LANES):
                total += slope[lane]
            grad[weights + r] += total
        for k in range(starts[r], starts[r + 1]):
            source, total = values[sources[k]], ZERO
            for lane in range(LANES):
                total += slope[lane] * source[lane]
            grad[k] += total
        if starts[r] < starts[r + 1] and sources[starts[r]] >= inputs:
            for k in range(starts[r], starts[r + 1]):
                weight, before = theta[k], slopes[sources[k]]
                for lane in range(LANES):
                    before[lane] += weight * slope[lane]


@compiled(**OPTIONS)
def adam(theta, grad, mean, square, bounds, steps, rate, beta1, beta2, epsilon, decay, decoupled):
    """A step of `torch.optim.Adam`, or of AdamW (decoupled), without variants.

    Args:
        theta, mean, square: (N,) float32, changed in place.
        bounds: (tensors + 1,) where each tensor of the module begins in theta; steps: (tensors,) this one included.
        rate, beta1, beta2, epsilon, decay: float64, rounded where torch rounds them.
    """
    shrink = np.float32(1 - rate * decay) if decoupled else np.float32(1)
    pull = ZERO if decoupled else np.float32(decay)
    new, old_square, new_square = np.float32(1 - beta1), np.float32(beta2), np.float32(1 - beta2)
    least = np.float32(epsilon)
    for part in range(steps.size):
        size = np.float32(rate / (1 - beta1 ** steps[part]))
        root = np.float32(np.sqrt(1 - beta2 ** steps[part]))
        here = slice(bounds[part], bounds[part + 1])
        weights, slopes, means, squares = theta[here], grad[here], mean[here], square[here]
        for k in range(weights.size):
            weight = weights[k] * shrink
            slope = slopes[k] + pull * weight
            m = means[k] + new * (slope - means[k])
            s = squares[k] * old_square + new_square * slope * slope
            means[k], squares[k] = m, s
            weights[k] = weight - size * (m / (np.sqrt(s) / root + least))


@compiled(**OPTIONS)
def sgd(theta, grad, velocity, rate, momentum, decay, nesterov):
    """A step of `torch.optim.SGD` without dampening; a velocity of no length for a momentum of 0."""
    rate, keep, pull = np.float32(rate), np.float32(momentum), np.float32(decay)
    if velocity.size == 0:
        for k in range(theta.size):
            theta[k] -= rate * (grad[k] + pull * theta[k])
        return
    for k in range(theta.size):
        g = grad[k] + pull * theta[k]
        v = keep * velocity[k] + g
        velocity[k] = v
        theta[k] -= rate * (g + keep * v if nesterov else v)


@compiled(**OPTIONS)
def put(flat, at, values):
    """Writes values to places of a flat tensor."""
    for k in range(at.size):
        flat[at[k]] = values[k]
