"""The sums of docs/arithmetic.md, section 1, rules 4 to 10. The index of every sum is axis 0; the other axes are independent sums.

`mask` (same leading axis) says which terms exist; a term that does not leaves its chain untouched.
"""

import numpy as np

from numbers32 import F32, ffma, fma

SEGMENT = 512
LANES = 64


def tree(leaves, join=lambda a, b: a + b):
    """Aligned binary tree over leaves; None is an absent leaf. The root, or None."""
    level = list(leaves)
    while len(level) > 1:
        if len(level) % 2:
            level.append(None)
        level = [_joined(level[i], level[i + 1], join) for i in range(0, len(level), 2)]
    return level[0] if level else None


def _joined(a, b, join):
    if a is None:
        return b
    if b is None:
        return a
    return join(a, b)


def finish(node, shape=()):
    return (np.zeros(shape, F32) if node is None else np.asarray(node, F32)) + F32(0)


def _segments(n):
    return [slice(begin, min(n, begin + SEGMENT)) for begin in range(0, n, SEGMENT)]


def _step(mask, i, taken, acc):
    return taken if mask is None else np.where(mask[i], taken, acc)


def _cut(x, segment):
    return None if x is None else x[segment]


def sum_of(x, mask=None):
    """SUM."""
    leaves = []
    for segment in _segments(len(x)):
        part, exists = x[segment], _cut(mask, segment)
        acc = np.zeros(x.shape[1:], F32)
        for i in range(len(part)):
            acc = _step(exists, i, acc + part[i], acc)
        leaves.append(acc)
    return finish(tree(leaves), x.shape[1:])


def dot_chain(a, b, bf16, mask=None):
    """The chain of one segment of DOT: not finished."""
    n = len(a)
    acc = np.zeros(np.broadcast_shapes(a.shape[1:], b.shape[1:]), F32)
    if bf16:
        order = [i for pair in range(0, n, 2) for i in (pair + 1, pair) if i < n]
    else:
        order = range(n)
    step = ffma if bf16 else fma
    for i in order:
        acc = _step(mask, i, step(a[i], b[i], acc), acc)
    return acc


def dot(a, b, bf16, mask=None):
    """DOT. Operands are f32 arrays; `bf16` says they are widened bf16."""
    leaves = [dot_chain(a[s], b[s], bf16, _cut(mask, s)) for s in _segments(len(a))]
    return finish(tree(leaves), np.broadcast_shapes(a.shape[1:], b.shape[1:]))


def _fold_lanes(lanes):
    half = LANES // 2
    while half:
        lanes = lanes[:half] + lanes[half : 2 * half]
        half //= 2
    return lanes[0]


def row_segment(x, mask=None):
    """ROW of the terms x over one segment: not finished."""
    lanes = np.zeros((LANES,) + x.shape[1:], F32)
    for i in range(len(x)):
        lanes[i % LANES] = _step(mask, i, lanes[i % LANES] + x[i], lanes[i % LANES])
    return _fold_lanes(lanes)


def row_dot_segment(a, b):
    lanes = np.zeros((LANES,) + np.broadcast_shapes(a.shape[1:], b.shape[1:]), F32)
    for i in range(len(a)):
        lanes[i % LANES] = fma(a[i], b[i], lanes[i % LANES])
    return _fold_lanes(lanes)


def row(x):
    """ROW of terms x."""
    return finish(tree([row_segment(x[s]) for s in _segments(len(x))]), x.shape[1:])


def row_dot(a, b):
    """ROW of terms written as products a·b."""
    shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
    return finish(tree([row_dot_segment(a[s], b[s]) for s in _segments(len(a))]), shape)


def sample_ranges(samples):
    samples = [int(s) for s in samples]
    return [slice(a, b) for a, b in zip(samples, samples[1:])]


def tokens(samples, per_sample, shape):
    """TOKENS: `per_sample(rows)` is the finished sum of one sample, its rows given as a slice."""
    leaves = [per_sample(rows) if rows.stop > rows.start else None for rows in sample_ranges(samples)]
    return finish(tree(leaves), shape)
