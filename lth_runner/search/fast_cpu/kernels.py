"""The two passes over memory of a score step, and the selection between them, compiled.

Every masked weight is seen as (outputs, copies, inputs). Its score gradient needs no matrix of its own size: with
A[o, c, i] = sum_k sign[c, k, i] * spread[k, i] * kept[o, k, i] the matrix the network multiplies by, and G = dL/dA,

    dL/dkept[o, k, i] = spread[k, i] * slope,    dL/dspread[k, i] = sum_o kept[o, k, i] * slope,
    slope = sum_c sign[c, k, i] * G[o, c, i],

and straight through the mask a score's gradient is that of its weight, times the weight, times the sign of the score.

A plain layer is the case of one copy and one branch, with spread and sign equal to 1. What the network uses need not be
the weight itself: `used` times a factor, which the caller keeps in spread and sign, stands for it wherever it is kept.
Work is cut into blocks of rows
whose number does not depend on the threads, and sums run in block order: results are the same on any machine width.
"""

import numba
import numpy as np

from lth_runner.core.compiled import compiled

BLOCKS = 16  # of rows, per tensor


@compiled(parallel=True, error_model="numpy")
def descend(
    weight,
    used,
    score,
    velocity,
    grad,
    sign,
    spread,
    first,
    rates,
    cut,
    band,
    spread_grad,
    above,
    found,
    found_score,
    found_at,
):
    """SGD with momentum and weight decay on the scores of one tensor, counting for the next threshold on the way.

    Args:
        weight: (outputs, copies, inputs) float32, frozen, that a score's gradient is multiplied with.
        used: alike, what the network uses of a kept weight, up to a factor: the weight or its sign.
        score, velocity: alike, changed in place.
        grad: (outputs, branches, inputs), G above; sign: (branches, copies, inputs); spread: (copies, inputs).
        first: index of the tensor's first score among all scores.
        rates: learning rate, momentum, weight decay, float32.
        cut: (threshold, tie_end) of the mask that this step used; scores equal to the threshold are kept where their
            index is below tie_end.
        band: (low, high), between which the next threshold is expected.
        spread_grad: (blocks, copies, inputs), out: dL/dspread in parts, up to the factor of `used`.
        above, found: (blocks,), out: scores above the band, scores inside it.
        found_score, found_at: (blocks, room), out: the scores inside the band and their indices, in order.
    """
    outputs, copies, inputs = weight.shape
    blocks, room = found_at.shape
    rate, keep, decay = rates
    threshold, tie_end = cut
    low, high = band
    for block in numba.prange(blocks):
        part = spread_grad[block]
        part.fill(0)
        slope = np.empty(inputs, np.float32)
        flags = np.zeros((inputs + 7) // 8 * 8, np.uint8)
        words = flags.view(np.uint64)
        higher, inside = 0, 0
        for o in range(block * outputs // blocks, (block + 1) * outputs // blocks):
            for k in range(copies):
                for i in range(inputs):
                    slope[i] = grad[o, 0, i] * sign[0, k, i]
                for c in range(1, sign.shape[0]):
                    for i in range(inputs):
                        slope[i] += grad[o, c, i] * sign[c, k, i]
                at = first + (o * copies + k) * inputs
                w, u, s, v, e, p = weight[o, k], used[o, k], score[o, k], velocity[o, k], spread[k], part[k]
                for i in range(inputs):
                    size = abs(s[i])
                    kept = (size > threshold) | ((size == threshold) & (at + i < tie_end))
                    p[i] += slope[i] * (u[i] if kept else np.float32(0))
                for i in range(inputs):
                    slope[i] = slope[i] * e[i] * w[i]
                for i in range(inputs):
                    pull = slope[i] if s[i] > 0 else (-slope[i] if s[i] < 0 else np.float32(0))
                    v[i] = keep * v[i] + (pull + decay * s[i])
                for i in range(inputs):
                    s[i] -= rate * v[i]
                for i in range(inputs):
                    size = abs(s[i])
                    higher += size > high
                    flags[i] = (size >= low) & (size <= high)
                for word in range(words.size):
                    if words[word]:
                        for i in range(8 * word, 8 * word + 8):
                            if flags[i]:
                                if inside < room:
                                    found_score[block, inside] = abs(s[i])
                                    found_at[block, inside] = at + i
                                inside += 1
        above[block] = higher
        found[block] = inside


@compiled(parallel=True, error_model="numpy")
def fold(used, score, factor, first, cut, folded):
    """The matrix the network multiplies by: folded[o, c, i] = sum_k factor[c, k, i] * (used[o, k, i] where kept)."""
    outputs, copies, inputs = used.shape
    threshold, tie_end = cut
    for block in numba.prange(BLOCKS):
        kept = np.empty(inputs, np.float32)
        for o in range(block * outputs // BLOCKS, (block + 1) * outputs // BLOCKS):
            folded[o].fill(0)
            for k in range(copies):
                at = first + (o * copies + k) * inputs
                u, s = used[o, k], score[o, k]
                for i in range(inputs):
                    size = abs(s[i])
                    kept[i] = u[i] if (size > threshold) | ((size == threshold) & (at + i < tie_end)) else np.float32(0)
                for c in range(factor.shape[0]):
                    for i in range(inputs):
                        folded[o, c, i] += factor[c, k, i] * kept[i]


@compiled(parallel=True, error_model="numpy")
def mean_size(weight, score, first, cut):
    """The mean |weight| of the kept ones, 0 if nothing is kept; arguments as in `descend`."""
    outputs, copies, inputs = weight.shape
    threshold, tie_end = cut
    sums, counts = np.zeros(BLOCKS), np.zeros(BLOCKS, np.int64)
    for block in numba.prange(BLOCKS):
        total, count = np.zeros(inputs), 0  # a sum for every input: one sum alone would wait for itself
        for o in range(block * outputs // BLOCKS, (block + 1) * outputs // BLOCKS):
            for k in range(copies):
                at = first + (o * copies + k) * inputs
                w, s = weight[o, k], score[o, k]
                for i in range(inputs):
                    size = abs(s[i])
                    kept = (size > threshold) | ((size == threshold) & (at + i < tie_end))
                    total[i] += abs(w[i]) if kept else np.float32(0)
                    count += kept
        sums[block], counts[block] = total.sum(), count
    return sums.sum() / max(counts.sum(), 1)


@compiled(error_model="numpy")
def select(above, found, found_score, found_at, kept):
    """The next cut from what `descend` counted: (True, threshold, tie_end), or (False, 0, 0) if it is not in the band.

    The threshold is the smallest score kept; of those equal to it, the ones below index tie_end are kept.
    """
    missing, total = kept - above.sum(), found.sum()
    if missing < 1 or missing > total or (found > found_at.shape[1]).any():
        return False, np.float32(0), 0
    scores, at = np.empty(total, np.float32), np.empty(total, np.int64)
    filled = 0
    for block in range(found.size):
        stop = filled + found[block]
        scores[filled:stop] = found_score[block, : found[block]]
        at[filled:stop] = found_at[block, : found[block]]
        filled = stop
    threshold = np.partition(scores, total - missing)[total - missing]
    ties = missing - (scores > threshold).sum()
    return True, threshold, at[scores == threshold][ties - 1] + 1
