"""Generates the golden bits: python3 make_bits.py [op …]. Writes ../bits/ops/OP.json and ../bits/functions.json, the same every time.

A case is chosen to fail when a rule of docs/arithmetic.md is broken, so values come in kinds (see `reals`), lengths stand on both sides of
64 lanes and of 512-index segments, samples are ragged with empty ones and NaN in padding rows.
"""

import json
import pathlib
import sys
import zlib

import numpy as np

import functions
import ops
from numbers32 import F32, from_bits32, to_bf16, widen

BITS = pathlib.Path(__file__).resolve().parent.parent / "bits"
DTYPES = {np.dtype(np.float32): "f32", np.dtype(np.uint16): "bf16", np.dtype(np.int32): "i32"}
UPDATES = {"cache_write": "cache"}  # the op's output whose previous bytes are handed to the twin as its first input
LENGTHS = [1, 2, 63, 64, 65, 127, 511, 512, 513, 1025]

makers = {}
manifest = []


def cases(function):
    makers[function.__name__] = function
    return function


# --- values -----------------------------------------------------------------------------------------------------------------------------


def _row(random, kind, width):
    sign = random.choice([-1.0, 1.0], width)
    normal = random.standard_normal(width)
    if kind == "ordinary":
        return normal
    if kind == "positive":
        return np.abs(normal) + 0.1
    if kind == "tiny":  # products stand around 2^-126
        return sign * np.exp2(random.uniform(-66, -60, width))
    if kind == "edge":  # next to 2^-126 itself
        return sign * 2.0**-126 * (1 + random.integers(-4, 5, width) * 2.0**-23)
    if kind == "subnormal":
        return sign * np.exp2(random.uniform(-149, -125, width))
    if kind == "zeros":
        return random.choice([-0.0, -0.0, 0.0], width)
    if kind == "ties":  # few-bit numbers of two magnitudes: sums end in exact halves of the last place
        return sign * (random.integers(0, 16, width) * 2 + 1) * random.choice([2.0**-9, 1.0, 2.0**14], width)
    if kind == "wide":
        return sign * np.exp2(random.uniform(-40, 40, width))
    if kind == "huge":  # products overflow
        return sign * np.exp2(random.uniform(58, 66, width))
    if kind == "cancel":
        half = normal[: (width + 1) // 2] * np.exp2(random.integers(-6, 20, (width + 1) // 2))
        return np.concatenate([half, -half[::-1]])[:width] + np.exp2(-20.0) * normal
    if kind in ("nan", "inf"):
        normal[random.integers(0, width)] = np.nan if kind == "nan" else np.inf * sign[0]
        return normal
    raise ValueError(kind)


FINITE = ["ordinary", "tiny", "zeros", "ties", "subnormal", "wide", "edge", "cancel"]
ALL = FINITE + ["huge", "inf", "nan"]


def reals(random, shape, kinds=("ordinary",), scale=1.0):
    """f32 of the shape; the rows (last axis) take the kinds in turn."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    if rows * shape[-1] == 0:
        return np.zeros(shape, F32)
    return np.stack([_row(random, kinds[i % len(kinds)], shape[-1]) * scale for i in range(rows)]).astype(F32).reshape(shape)


def half(x):
    """bf16 by cutting, so that subnormals and odd last bits survive; NaN becomes 0x7FC0."""
    return np.where(np.isnan(x), np.uint16(0x7FC0), (x.view(np.uint32) >> np.uint32(16)).astype(np.uint16))


def both(name):
    """The two dtypes as (suffix, conversion of an operand)."""
    return [(name + " f32", lambda x: x), (name + " bf16", half)]


def i32(values):
    return np.array(values, np.int32)


RAGGED = i32([0, 3, 3, 10, 11, 11, 17])  # 6 samples, two empty, the rows from 17 on are padding
FIVE = i32([0, 2, 4, 5, 9, 12])
NO_SAMPLE = i32([0])


def poison(x, samples):
    """NaN in the padding rows: they take part in nothing."""
    x = x.copy()
    x[samples[-1] :] = np.nan
    return x


# --- values in which one rule alone decides ---------------------------------------------------------------------------------------------

# Columns (a, b) of dot products of at most four terms, every number a bf16.
PATTERNS = [
    # 2^-126 − m·2^-151: kept up to m = 1, flushed beyond, where "round as IEEE, then flush" keeps 2^-126 up to m = 2
    *[[(2.0**-75, -m * 2.0**-76), (2.0**-63, 2.0**-63)] for m in (0.9921875, 1.0, 1.0078125, 1.5, 1.9921875, 2.0)],
    [(1, 2.0**23), (1, 2.0**23), (1, -(2.0**24)), (1, 1)],  # the odd index first: 0, else 1
    [(2.0**-130, 2.0**100), (2.0**-20, 2.0**-20)],  # a subnormal operand
    [(2.0**100, -(2.0**-127)), (2.0**-20, 2.0**-20)],
    [(2.0**-64, 2.0**-64)] * 4,  # each too small, the sum is not
    [(2.0**-64, 2.0**-63), (2.0**-63, 2.0**-63)],
    [(2.0**-64, -(2.0**-63))] * 4,  # −0 in the chain
    [(2.0**-100, -(2.0**-100))] * 4,
    [(0.0, -1.0), (-0.0, 1.0)],
    [(2.0**12 + 2.0**5, 2.0**12 + 2.0**5), (-(2.0**24), 1)],  # fused or not
]


def patterns():
    """a, b [pattern, 4]: DOT over the last axis."""
    both_sides = np.zeros((2, len(PATTERNS), 4), F32)
    for i, columns in enumerate(PATTERNS):
        for k, column in enumerate(columns):
            both_sides[:, i, k] = column
    return both_sides


def five_segments(random):
    """Five segments of zeros with few terms: the squares' sum is another one with any other tree or length of a segment.

    2^24 | 1 1 1 1 | 1 | 1 | 1 gives 2^24 + 8; a chain of segments 2^24 + 4, segments of 1024 2^24 + 2 (the four ones are in the lane of 2^24).
    """
    x = np.zeros(TREE, F32)
    lane = random.integers(0, 64)
    x[lane + 64 * random.integers(0, 8)] = 2.0**12
    x[512 + lane + 64 * random.permutation(8)[:4]] = 1
    for begin in (1024, 1536, 2048):
        x[random.integers(begin, min(TREE, begin + 512))] = 1
    return x


TREE = 2100  # five segments: the shortest length whose tree is no chain, and one more
# Rows of 2^24, 1, 1 with an absent sample: only the aligned tree gives 2^24 + 2.
TREE_SAMPLES = i32([0, 1, 1, 2, 3])
TREE_TERMS = np.array([[2.0**24], [1], [1]], F32)
ONES = np.ones((3, 1), F32)


# --- the manifest -----------------------------------------------------------------------------------------------------------------------


def tensor(name, x):
    x = np.ascontiguousarray(x)
    return {"name": name, "dtype": DTYPES[x.dtype], "shape": list(x.shape), "bits": x.astype(x.dtype.newbyteorder("<")).tobytes().hex()}


def case(op, name, inputs, **attributes):
    inputs = [np.ascontiguousarray(x) for x in inputs]
    results = ops.OPS[op](*inputs, **attributes)
    names, outputs = ops.INPUTS[op], []
    for output, result in zip(ops.OUTPUTS[op], results, strict=True):
        outputs.append(tensor(output, result))
    if op in UPDATES:
        outputs[ops.OUTPUTS[op].index(UPDATES[op])]["initial"] = tensor("", inputs[0])["bits"]
        names, inputs = names[1:], inputs[1:]
    names = names[:-1] + [names[-1]] * (len(inputs) - len(names) + 1)
    manifest.append({
        "name": name,
        "attributes": attributes,
        "inputs": [tensor(n, x) for n, x in zip(names, inputs, strict=True)],
        "outputs": outputs,
    })
    return results


# --- cases, one function per op ---------------------------------------------------------------------------------------------------------


def special_singles(random, count):
    """Bit patterns: every exponent edge, ties of the cut to bf16, NaNs with payloads, then random bits."""
    exponents = np.array([0, 1, 2, 126, 127, 128, 253, 254, 255], np.uint32)
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x17FFF, 0x18000, 0x18001, 0x3F8000, 0x400000, 0x7F7FFF, 0x7F8000, 0x7FFFFF], np.uint32)
    edges = ((exponents[:, None] << np.uint32(23)) | low).reshape(-1)
    edges = np.concatenate([edges, edges | np.uint32(0x80000000)])
    return from_bits32(np.concatenate([edges, random.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32)]))


@cases
def cast(random):
    x = special_singles(random, 748).reshape(-1, 4)
    case("cast", "to bf16", [x], to=1)
    case("cast", "to f32", [random.permutation(2**16)[:2048].astype(np.uint16).reshape(32, 64)], to=0)
    case("cast", "to f32, special", [half(x) | np.uint16(1)], to=0)


@cases
def mxint8(random):
    # Every exponent as the largest of a block; halves, of which the even number is taken; magnitudes that round to 128 and stop at 127.
    exponents = (random.permutation(256).astype(np.uint32) << np.uint32(23))[:, None] | random.integers(0, 2**23, (256, 1)).astype(np.uint32)
    smaller = exponents - np.minimum(exponents, random.integers(0, 12 << 23, (256, 32)).astype(np.uint32))
    signs = random.integers(0, 2, (256, 33)).astype(np.uint32) << np.uint32(31)
    every = from_bits32(np.concatenate([exponents, smaller], axis=1) | signs)
    halves = F32(np.arange(-255, 256, 2) / 2).reshape(8, 32)
    halves[:, 0] = 64
    ends = F32(np.array([[1.9999999, 1.9921875, 1.9960938, -1.9960937, -0.0, 1e-40, 3e-39], [-127.5, 127.49999, 126.5, 0.5, -0.5, 1.5, -2.5]]))
    for to in (0, 1):
        case("mxint8", f"every exponent, to {to}", [every], to=to)
        case("mxint8", f"halves, to {to}", [halves], to=to)
        case("mxint8", f"ends, to {to}", [ends], to=to)
        case("mxint8", f"special, to {to}", [special_singles(random, 68).reshape(-1, 40)], to=to)


@cases
def add(random):
    for width in (1, 7):
        case("add", f"kinds, width {width}", [reals(random, (24, width), ALL), reals(random, (24, width), ALL[::-1])])
    case("add", "subnormal results and ties", [reals(random, (4, 33), ["edge", "subnormal", "ties", "zeros"]),
                                               reals(random, (4, 33), ["edge", "subnormal", "wide", "zeros"])])
    wide = random.integers(-(2**31), 2**31, (3, 9)).astype(np.int32)
    case("add", "i32 wraps", [wide, wide[::-1].copy()])


@cases
def split_columns(random):
    for suffix, of in both("kinds"):
        case("split_columns", suffix, [of(reals(random, (11, 9), ALL))], left=4)
    case("split_columns", "one column each", [reals(random, (1, 2))], left=1)


@cases
def concat_columns(random):
    for suffix, of in both("kinds"):
        case("concat_columns", suffix, [of(reals(random, (11, 5), ALL)), of(reals(random, (11, 3), ALL))])


@cases
def gather_rows(random):
    for suffix, of in both("in and out of range"):
        case("gather_rows", suffix, [of(reals(random, (11, 5), ALL)), i32([3, 3, -1, 0, 10, 11, 2**31 - 1, -(2**31), 9])])
    case("gather_rows", "one row of no rows asked", [reals(random, (1, 3)), i32([0, 1])])


@cases
def embedding(random):
    case("embedding", "ids in and out of range", [reals(random, (7, 5), ALL), i32([0, 6, 7, -1, 3, 3, 2**31 - 1, 2]), i32([0, 3, 3, 6])])


@cases
def embedding_backward(random):
    ids = i32(random.integers(-1, 5, 20))
    case("embedding_backward", "ragged", [ids, poison(reals(random, (20, 3)), RAGGED), RAGGED], vocabulary=4)
    case("embedding_backward", "kinds", [i32([1, 0] * 11), reals(random, (22, 5), ALL), i32([0, 8, 22])], vocabulary=3)
    many = i32(np.where(random.random(1400) < 0.8, 1, 0))
    case("embedding_backward", "segments count ranks", [many, reals(random, (1400, 1), ["ordinary", "cancel"]), i32([0, 1290, 1390])],
         vocabulary=2)
    terms = five_segments(random)[:, None] ** 2
    case("embedding_backward", "five segments", [i32([0] * TREE), terms, i32([0, TREE])], vocabulary=1)
    case("embedding_backward", "tree over samples", [i32([0, 0, 0]), TREE_TERMS, TREE_SAMPLES], vocabulary=1)
    # a sample without the id is absent: it keeps its place in the tree
    case("embedding_backward", "sample without the id", [i32([0, 1, 0, 0]), np.vstack([TREE_TERMS[:1], ONES]), i32([0, 1, 2, 3, 4])], vocabulary=2)
    case("embedding_backward", "no sample", [i32([0, 1]), reals(random, (2, 3), ["nan"]), NO_SAMPLE], vocabulary=2)


@cases
def rms_norm(random):
    for width in (1, 63, 64, 65, 513, 1537):
        rows = 2 if width > 100 else 11
        case("rms_norm", f"width {width}", [reals(random, (rows, width), ALL), reals(random, width), i32([0, 2])], eps=1e-6)
    lanes = np.ones((4, 512), F32) * (2.0 ** np.arange(4)).astype(F32)[:, None]
    lanes[:, :2] *= F32(2.0**12)  # two lanes swallow what arrives behind
    case("rms_norm", "sixty-four lanes", [lanes, reals(random, 512), i32([0, 2])], eps=1e-6)
    case("rms_norm", "no eps", [reals(random, (3, 8), ["zeros", "tiny", "ordinary"]), reals(random, 8), i32([0, 3])], eps=0.0)


@cases
def rms_norm_backward(random):
    x, ones = five_segments(random), np.ones(TREE, F32)
    case("rms_norm_backward", "five segments", [x[None], ones, np.ones(1, F32), x[None]])
    for width in (1, 63, 65, 512):
        rows = 2 if width > 100 else 11
        x, w = reals(random, (rows, width), ALL), reals(random, width)
        _, r = ops.rms_norm(x, w, RAGGED, eps=1e-6)
        case("rms_norm_backward", f"width {width}", [x, w, r, reals(random, (rows, width), ["ordinary", "tiny", "ties"])])


@cases
def rms_norm_weight_backward(random):
    def one(name, x, dy, samples):
        _, r = ops.rms_norm(x, np.ones(x.shape[1], F32), samples, eps=1e-6)
        case("rms_norm_weight_backward", name, [x, r, dy, samples])

    one("ragged", poison(reals(random, (20, 9), ["ordinary", "tiny", "ties"]), RAGGED), reals(random, (20, 9), ["ordinary", "tiny"]), RAGGED)
    one("kinds", reals(random, (12, 5), ALL[:-1]), reals(random, (12, 5), FINITE), FIVE)
    one("long samples", reals(random, (1200, 1)), reals(random, (1200, 1)), i32([0, 513, 513, 576, 1200]))
    x = five_segments(random)[:, None]
    case("rms_norm_weight_backward", "five segments", [x, np.ones(TREE, F32), x, i32([0, TREE])])
    case("rms_norm_weight_backward", "tree over samples", [TREE_TERMS, ONES[:, 0], ONES, TREE_SAMPLES])
    a, b = patterns()
    case("rms_norm_weight_backward", "one rule decides", [a.T, np.ones(4, F32), b.T, i32([0, 4])])
    one("no sample", reals(random, (2, 3), ["nan"]), reals(random, (2, 3)), NO_SAMPLE)


OPERANDS = ["ordinary", "tiny", "ties", "subnormal", "wide", "edge", "cancel", "zeros", "huge", "nan"]


@cases
def linear(random):
    for suffix, of in both("kinds"):
        case("linear", suffix, [of(reals(random, (22, 16), ALL)), of(reals(random, (12, 16), OPERANDS)), RAGGED])
    for width in LENGTHS:
        for suffix, of in both(f"in {width}"):
            kinds = ["ordinary", "tiny"] if width < 600 else ["cancel"]
            rows = 2 if width < 600 else 1
            case("linear", suffix, [of(reals(random, (rows, width), kinds)), of(reals(random, (rows, width), kinds)), i32([0, rows])])
    a, b = patterns()
    x = five_segments(random)[None]
    for suffix, of in both("one rule decides"):
        case("linear", suffix, [of(a), of(b), i32([0, len(a)])])
    for suffix, of in both("five segments"):
        case("linear", suffix, [of(x), of(x), i32([0, 1])])


@cases
def linear_backward_input(random):
    for suffix, of in both("kinds"):
        case("linear_backward_input", suffix, [of(reals(random, (11, 7), ALL)), of(reals(random, (7, 10), OPERANDS))])
    a, b = patterns()
    for suffix, of in both("one rule decides"):
        case("linear_backward_input", suffix, [of(a), of(b.T)])
    x = five_segments(random)[None]
    for suffix, of in both("five segments"):
        case("linear_backward_input", suffix, [of(x), of(x.T)])
    for width in (1, 511, 513):
        for suffix, of in both(f"out {width}"):
            case("linear_backward_input", suffix, [of(reals(random, (2, width), ["ordinary", "tiny"])),
                                                   of(reals(random, (width, 2), ["ordinary"]) * F32(2.0**-60 if width == 513 else 1))])


TOKEN_SAMPLES = [("ragged", 20, RAGGED), ("five samples", 12, FIVE), ("one row", 1, i32([0, 1])), ("no sample", 2, NO_SAMPLE),
                 ("513, 0, 63 and 600 rows", 1180, i32([0, 513, 513, 576, 1176])),
                 ("11 samples", 40, i32([0, 1, 2, 5, 5, 5, 9, 16, 20, 21, 30, 39]))]


@cases
def linear_backward_weight(random):
    for name, rows, samples in TOKEN_SAMPLES:
        for suffix, of in both(name):
            kinds = ["ordinary", "ordinary", "tiny", "ties", "edge"] if rows < 100 else ["ordinary"]
            width = 5 if rows < 100 else 1
            case("linear_backward_weight", suffix, [of(poison(reals(random, (rows, width), kinds), samples)),
                                                    of(poison(reals(random, (rows, width + 1), kinds), samples)), samples])
    for suffix, of in both("every term near the flush threshold"):
        case("linear_backward_weight", suffix, [of(reals(random, (23, 8), ["tiny"])), of(reals(random, (23, 8), ["tiny"])), i32([0, 11, 23])])
    a, b = patterns()
    x = five_segments(random)[:, None]
    for suffix, of in both("one rule decides"):
        case("linear_backward_weight", suffix, [of(a.T), of(b.T), i32([0, 4])])
        case("linear_backward_weight", suffix + ", odd first row", [of(np.vstack([0 * a.T[:1], a.T])),
                                                                    of(np.vstack([b.T[:1], b.T])), i32([0, 1, 5])])
    for suffix, of in both("five segments"):
        case("linear_backward_weight", suffix, [of(x), of(x), i32([0, TREE])])
    for suffix, of in both("tree over samples"):
        case("linear_backward_weight", suffix, [of(TREE_TERMS), of(ONES), TREE_SAMPLES])
    for suffix, of in both("non-finite in one sample"):
        case("linear_backward_weight", suffix, [of(reals(random, (12, 4), ["ordinary", "huge", "nan", "inf"])),
                                                of(reals(random, (12, 4), ["ordinary", "huge", "zeros"])), FIVE])


# 3 experts, 4 samples; expert 1 has no row, samples 1 and 3 are partly empty, two rows are unused
GROUPS = i32([0, 4, 4, 9, 10, 10, 10, 10, 10, 10, 13, 16, 16])
NO_GROUP = i32([0])


@cases
def grouped_linear(random):
    for suffix, of in both("kinds"):
        case("grouped_linear", suffix, [of(poison(reals(random, (18, 7), ALL), GROUPS)), of(reals(random, (3, 5, 7), OPERANDS)), GROUPS])
    a, b = patterns()
    x = five_segments(random)[None]
    for suffix, of in both("one rule decides"):
        case("grouped_linear", suffix, [of(a), of(b[None]), i32([0, len(a)])])
    for suffix, of in both("five segments"):
        case("grouped_linear", suffix, [of(x), of(x[None]), i32([0, 1])])
    case("grouped_linear", "no sample", [reals(random, (2, 3), ["nan"]), reals(random, (2, 2, 3)), NO_GROUP])


@cases
def grouped_linear_backward_input(random):
    for suffix, of in both("kinds"):
        case("grouped_linear_backward_input", suffix,
             [of(poison(reals(random, (18, 5), ALL), GROUPS)), of(reals(random, (3, 5, 7), OPERANDS)), GROUPS])
    a, b = patterns()
    x = five_segments(random)[None]
    for suffix, of in both("one rule decides"):
        case("grouped_linear_backward_input", suffix, [of(a), of(b.T[None]), i32([0, len(a)])])
    for suffix, of in both("five segments"):
        case("grouped_linear_backward_input", suffix, [of(x), of(x.T[None]), i32([0, 1])])


@cases
def grouped_linear_backward_weight(random):
    for suffix, of in both("ragged"):
        case("grouped_linear_backward_weight", suffix, [of(poison(reals(random, (18, 5), ["ordinary", "tiny", "ties"]), GROUPS)),
                                                        of(poison(reals(random, (18, 4), ["ordinary", "tiny"]), GROUPS)), GROUPS], experts=3)
    offsets = i32([0, 515, 578, 1100, 1103, 1103, 1104])
    for suffix, of in both("ranks beyond 512"):
        case("grouped_linear_backward_weight", suffix, [of(reals(random, (1104, 1))), of(reals(random, (1104, 2))), offsets], experts=2)
    a, b = patterns()
    x = five_segments(random)[:, None]
    for suffix, of in both("one rule decides"):
        case("grouped_linear_backward_weight", suffix, [of(np.vstack([a.T[:1], a.T])), of(np.vstack([b.T[:1], b.T])), i32([0, 1, 5])], experts=2)
    for suffix, of in both("five segments"):
        case("grouped_linear_backward_weight", suffix, [of(x), of(x), i32([0, TREE])], experts=1)
    for suffix, of in both("tree over samples"):
        case("grouped_linear_backward_weight", suffix, [of(TREE_TERMS), of(ONES), TREE_SAMPLES], experts=1)
    case("grouped_linear_backward_weight", "no sample", [reals(random, (2, 3), ["nan"]), reals(random, (2, 3)), NO_GROUP], experts=2)


def _rope(random, op):
    angles = np.outer(np.arange(6), [1.0, 0.1, 0.01])
    cos, sin = np.cos(angles).astype(F32), np.sin(angles).astype(F32)
    positions = i32([0, 1, 5, 6, 2**31 - 1, -1, 3, 2, 4, 1, 5])
    case(op, "two heads", [reals(random, (11, 20), ALL), positions, cos, sin], heads=2, offset=4)
    case(op, "whole head", [reals(random, (5, 18), ["ordinary", "edge", "ties", "cancel", "zeros"]), positions[:5], cos, sin], heads=3, offset=0)
    case(op, "columns behind the pairs", [reals(random, (11, 9), FINITE), positions, cos, sin], heads=1, offset=1)


@cases
def rope(random):
    _rope(random, "rope")


@cases
def rope_backward(random):
    _rope(random, "rope_backward")


# name, rows, samples, heads, nope, rotary, value, scale, size of q
ATTENTION = [
    ("ragged", 20, RAGGED, 2, 3, 2, 3, 0.4472135954999579, 1.0),
    ("one row, one head", 1, i32([0, 1]), 1, 1, 2, 1, 0.5, 1.0),
    ("no sample", 2, NO_SAMPLE, 1, 2, 2, 2, 0.5, 1.0),
    ("steep: probabilities underflow", 14, i32([0, 14]), 3, 2, 4, 2, 1.0, 30.0),
    ("66 rows", 66, i32([0, 66]), 1, 2, 2, 3, 0.5, 1.0),
]
ATTENTION_LONG = [
    ("513 rows bf16", 513, i32([0, 513]), 1, 1, 2, 1, 0.6, 2.0),
    ("1030 rows f32", 1030, i32([0, 1030]), 1, 1, 2, 1, 0.6, 2.0),
]


def _attention_inputs(random, shape, of, kinds=("ordinary",)):
    name, rows, samples, heads, nope, rotary, value, scale, size = shape
    q = reals(random, (rows, heads * (nope + rotary)), kinds, size)
    kv = reals(random, (rows, heads * (nope + value)), kinds)
    k_pe = reals(random, (rows, rotary), kinds)
    attributes = dict(heads=heads, nope=nope, value=value, scale=scale)
    return [of(poison(x, samples)) for x in (q, kv, k_pe)] + [samples], attributes


def _attention_cases(random):
    """(name, inputs, attributes, conversion)."""
    a, b = patterns()
    alone = i32(np.arange(len(a) + 1))  # every row sees itself only: m shows the score
    for scale in (1.0, -1.0):
        for suffix, of in both(f"one rule decides, scale {scale}"):
            kv = np.concatenate([b[:, :2], b[:, :1]], axis=1)
            yield suffix, [of(a), of(kv), of(b[:, 2:]), alone], dict(heads=1, nope=2, value=1, scale=scale), of
    values = np.zeros((4, 1 + len(a)), F32)  # scores of 0: every probability is 1
    values[:, 1:] = (a * b).T
    for suffix, of in both("one rule decides, values"):
        yield suffix, [of(np.zeros((4, 2), F32)), of(values), of(ONES[[0, 0, 0, 0]]), i32([0, 4])], dict(heads=1, nope=1, value=len(a), scale=1.0), of
    for shape in ATTENTION:
        for suffix, of in both(shape[0]):
            yield (suffix, *_attention_inputs(random, shape, of), of)
    for shape in ATTENTION_LONG:
        of = half if shape[0].endswith("bf16") else lambda x: x
        yield (shape[0], *_attention_inputs(random, shape, of), of)
    for suffix, of in both("kinds"):
        shape = ("", 18, i32([0, 8, 18]), 2, 2, 2, 2, 0.5, 1.0)
        yield (suffix, *_attention_inputs(random, shape, of, FINITE), of)
    for suffix, of in both("NaN and infinity in the middle"):
        inputs, attributes = _attention_inputs(random, ("", 14, i32([0, 7, 14]), 1, 2, 2, 2, 0.5, 1.0), lambda x: x)
        inputs[0][2, 0] = np.inf
        inputs[1][4, 1] = np.nan
        inputs[1][10, 3] = np.inf  # a value
        inputs[2][12, 0] = -np.inf
        yield (suffix, [of(x) for x in inputs[:3]] + inputs[3:], attributes, of)


@cases
def attention(random):
    for name, inputs, attributes, _ in _attention_cases(random):
        case("attention", name, inputs, **attributes)


@cases
def attention_backward(random):
    for name, inputs, attributes, of in _attention_cases(random):
        o, m, l = ops.attention(*inputs, **attributes)
        do = poison(reals(random, o.shape, ["ordinary", "tiny", "subnormal", "ties"] if len(o) < 100 else ["ordinary"]), inputs[3])
        case("attention_backward", name, inputs[:3] + [o, m, l, do, inputs[3]], **attributes)


def _gates(random, shape):
    steep = reals(random, shape, ["ordinary", "wide", "tiny", "zeros", "subnormal", "ordinary", "huge", "inf", "nan"])
    steep[5 % len(steep)] *= F32(30)
    return steep


@cases
def swiglu(random):
    case("swiglu", "kinds", [_gates(random, (18, 33)), reals(random, (18, 33), ALL)])
    case("swiglu", "one", [reals(random, (1, 1)), reals(random, (1, 1))])


@cases
def swiglu_backward(random):
    case("swiglu_backward", "kinds", [_gates(random, (18, 33)), reals(random, (18, 33), ALL), reals(random, (18, 33), ["ordinary", "tiny", "ties"])])


ROUTERS = [
    ("one group", 12, 8, dict(top_k=2, groups=1, top_groups=1, normalize=1, scaling=2.5)),
    ("not normalized", 12, 8, dict(top_k=3, groups=1, top_groups=1, normalize=0, scaling=1.1)),
    ("four groups", 12, 16, dict(top_k=4, groups=4, top_groups=2, normalize=1, scaling=2.5)),
    ("groups of one", 12, 4, dict(top_k=2, groups=4, top_groups=3, normalize=1, scaling=1.0)),
    ("every expert", 6, 3, dict(top_k=3, groups=1, top_groups=1, normalize=1, scaling=1.0)),
    ("one expert", 6, 1, dict(top_k=1, groups=1, top_groups=1, normalize=1, scaling=1.0)),
    ("65 experts", 6, 65, dict(top_k=8, groups=1, top_groups=1, normalize=1, scaling=2.5)),
]


def _router_logits(random, rows, experts):
    logits = reals(random, (rows, experts), ["ordinary", "ties", "zeros", "wide", "nan", "inf"])
    logits[1] = logits[1, 0]  # all equal: ties to the lower index
    return logits


@cases
def router(random):
    for name, rows, experts, attributes in ROUTERS:
        for bias_kind in ("ordinary", "zeros"):
            bias = reals(random, experts, [bias_kind], 0.1)
            case("router", f"{name}, bias {bias_kind}", [_router_logits(random, rows, experts), bias], **attributes)
    bias = reals(random, 8)
    bias[1], bias[2], bias[3], bias[6] = np.nan, np.inf, -np.inf, -np.inf
    for groups in (1, 4):
        case("router", f"non-finite bias, groups {groups}", [_router_logits(random, 12, 8), bias], top_k=3, groups=groups,
             top_groups=min(groups, 2), normalize=1, scaling=1.0)


@cases
def router_backward(random):
    for name, rows, experts, attributes in ROUTERS:
        logits = _router_logits(random, rows, experts)
        chosen, _ = ops.router(logits, np.zeros(experts, F32), **attributes)
        dweights = reals(random, chosen.shape, ["ordinary", "tiny", "ties", "inf"])
        case("router_backward", name, [logits, chosen, dweights], normalize=attributes["normalize"], scaling=attributes["scaling"])
    low = reals(random, (3, 4), ["ordinary"]) - F32(60)  # the sum of s meets 1e-20
    case("router_backward", "all scores near zero", [low, i32([[0, 1], [1, 3], [2, 3]]), reals(random, (3, 2))], normalize=1, scaling=2.5)


@cases
def router_bias_update(random):
    for counts in ([3, 0, 5, 4], [2, 2, 2], [7], [2**30, 2**30, 5, 0, 1], [0, 0], list(range(11))):
        case("router_bias_update", f"counts {counts}", [reals(random, len(counts), ["ordinary"], 0.01), i32(counts), np.array([0.001], F32)])


def _balance_inputs(random):
    for name, rows, experts, top_k, samples in [("ragged", 20, 5, 2, RAGGED), ("66 experts", 4, 66, 3, i32([0, 1, 4])),
                                                ("515 rows", 520, 3, 1, i32([0, 515, 515, 518])), ("no sample", 2, 3, 1, NO_SAMPLE),
                                                ("seven samples", 12, 4, 2, i32([0, 1, 3, 3, 4, 7, 9, 12]))]:
        kinds = ["ordinary", "zeros", "wide", "ties"] if rows < 100 else ["ordinary"]
        logits = poison(reals(random, (rows, experts), kinds), samples)
        chosen = np.sort(np.stack([random.permutation(experts)[:top_k] for _ in range(rows)]), axis=1).astype(np.int32)
        yield name, logits, chosen, samples
    logits = reals(random, (6, 4))
    logits[1, 2], logits[4] = np.nan, -200
    yield "NaN in a sample, all scores underflow in another", logits, i32([[0, 1]] * 6), i32([0, 3, 6])


@cases
def balance_loss(random):
    for name, *inputs in _balance_inputs(random):
        case("balance_loss", name, [*inputs, np.array([0.001], F32)])


@cases
def balance_loss_backward(random):
    for name, *inputs in _balance_inputs(random):
        case("balance_loss_backward", name, [*inputs, np.array([0.001], F32)])


def _plans(random):
    """(name, experts of tokens, samples, E); some experts and samples stay empty."""
    for name, rows, count, top_k, samples in [("ragged", 20, 6, 2, RAGGED), ("one token", 1, 4, 3, i32([0, 1])), ("no sample", 3, 2, 1, NO_SAMPLE),
                                              ("five samples", 14, 5, 3, FIVE), ("one expert", 5, 1, 1, i32([0, 2, 4]))]:
        available = np.delete(np.arange(count), 1) if count > 4 else np.arange(count)
        chosen = np.sort(np.stack([random.permutation(available)[:top_k] for _ in range(rows)]), axis=1).astype(np.int32)
        yield name, chosen, samples, count


@cases
def dispatch_plan(random):
    for name, chosen, samples, count in _plans(random):
        case("dispatch_plan", name, [chosen, samples], experts=count)


@cases
def dispatch(random):
    for name, chosen, samples, count in _plans(random):
        _, row_of_slot, slot_of_row, _ = ops.dispatch_plan(chosen, samples, experts=count)
        for suffix, of in both(name):
            case("dispatch", suffix, [of(poison(reals(random, (len(chosen), 3), ALL), samples)), slot_of_row, row_of_slot],
                 top_k=chosen.shape[1])


@cases
def dispatch_backward(random):
    for name, chosen, samples, count in _plans(random):
        offsets, row_of_slot, _, _ = ops.dispatch_plan(chosen, samples, experts=count)
        case("dispatch_backward", name, [poison(reals(random, (chosen.size, 5), FINITE), offsets), row_of_slot])


@cases
def combine(random):
    for name, chosen, samples, count in _plans(random):
        offsets, row_of_slot, slot_of_row, _ = ops.dispatch_plan(chosen, samples, experts=count)
        weights = reals(random, chosen.shape, ["positive", "tiny", "ties"])
        case("combine", name, [poison(reals(random, (chosen.size, 5), FINITE), offsets), weights, row_of_slot, slot_of_row])
    case("combine", "-0 in the chain", [np.full((2, 1), -(2.0**-100), F32), np.full((2, 1), 2.0**-100, F32), i32([[1], [0]]), i32([1, 0])])
    a, b = patterns()
    place = i32(np.arange(a.size)).reshape(a.shape)
    case("combine", "one rule decides", [b.reshape(-1, 1), a, place, place.reshape(-1)])


@cases
def combine_backward(random):
    for width in (5, 66):
        for name, chosen, samples, count in list(_plans(random))[: 5 if width == 5 else 1]:
            offsets, row_of_slot, slot_of_row, _ = ops.dispatch_plan(chosen, samples, experts=count)
            weights = reals(random, chosen.shape, ["positive", "tiny", "ties"])
            y = poison(reals(random, (chosen.size, width), FINITE), offsets)
            dx = poison(reals(random, (len(chosen), width), FINITE + ["huge"]), samples)
            case("combine_backward", f"{name}, width {width}", [y, weights, row_of_slot, slot_of_row, dx])
    x = five_segments(random)[None]
    case("combine_backward", "five segments", [x, np.ones((1, 1), F32), i32([[0]]), i32([0]), x])
    lanes = np.ones((1, 256), F32)
    lanes[0, 3] = 2.0**12
    case("combine_backward", "sixty-four lanes", [lanes, np.ones((1, 1), F32), i32([[0]]), i32([0]), lanes])


def _logits(random, rows, width):
    logits = reals(random, (rows, width), ["ordinary", "ties", "zeros", "wide", "tiny", "inf", "nan"])
    logits[0] *= F32(20)
    return logits


@cases
def log_sum_exp(random):
    sparse = np.full((1, TREE), -np.inf, F32)
    sparse[0, [519, 583, 711, 903, 1100, 1600, 2099, 7]] = [-16.64] * 7 + [0]  # exp(−16.64) is less than half the last place of 1
    case("log_sum_exp", "five segments", [sparse])
    lanes = np.full((1, 256), -16.64, F32)
    lanes[0, 5] = 0
    case("log_sum_exp", "sixty-four lanes", [lanes])
    for width in (1, 63, 64, 65, 513):
        case("log_sum_exp", f"width {width}", [_logits(random, 8 if width < 100 else 2, width)])
    case("log_sum_exp", "only -Inf", [np.full((1, 3), -np.inf, F32)])


def _labels(random, rows, width):
    labels = i32(random.integers(0, width, rows))
    labels[::4] = -1
    labels[1] = width
    return labels


@cases
def cross_entropy(random):
    for name, rows, samples in [("ragged", 20, RAGGED), ("515 rows", 530, i32([0, 515, 527])), ("no sample", 2, NO_SAMPLE), ("five", 12, FIVE)]:
        width = 5 if rows < 100 else 2
        logits = reals(random, (rows, width))
        (lse,) = ops.log_sum_exp(logits)
        labels, weights = _labels(random, rows, width), reals(random, rows, ["ordinary"], 0.01)
        weights[labels < 0] = np.nan
        weights[samples[-1] :] = np.inf
        case("cross_entropy", name, [logits, lse, labels, weights, samples])
    case("cross_entropy", "tree over samples", [np.zeros((3, 1), F32), np.ones(3, F32), i32([0, 0, 0]), TREE_TERMS[:, 0], TREE_SAMPLES])
    logits = _logits(random, 14, 5)
    (lse,) = ops.log_sum_exp(logits)
    case("cross_entropy", "kinds", [logits, lse, i32(np.arange(14) % 5), np.full(14, 0.25, F32), i32([0, 5, 14])])


@cases
def cross_entropy_backward(random):
    for rows, width in ((16, 7), (3, 130)):
        logits = _logits(random, rows, width)
        (lse,) = ops.log_sum_exp(logits)
        labels, weights = _labels(random, rows, width), reals(random, rows, ["ordinary"], 0.01)
        weights[labels < 0] = np.nan
        case("cross_entropy_backward", f"width {width}", [logits, lse, labels, weights])


@cases
def sum_of_squares(random):
    for count in LENGTHS:
        case("sum_of_squares", f"{count} elements", [reals(random, (1, count), ["cancel" if count > 1 else "ordinary"])])
    case("sum_of_squares", "rows run on", [reals(random, (13, 50), FINITE)])
    case("sum_of_squares", "five segments", [five_segments(random)[None]])
    lanes = np.ones((1, 512), F32)
    lanes[0, 3] = 2.0**12  # one lane swallows what arrives behind
    case("sum_of_squares", "sixty-four lanes", [lanes])
    for kind in ("tiny", "zeros", "edge", "huge", "inf", "nan"):
        case("sum_of_squares", kind, [reals(random, (3, 3), [kind])])


@cases
def global_norm(random):
    for name, sums in [("three", [1.5, 2e-3, 30.25]), ("one", [0.25]), ("small", [1e-3, 1e-40]), ("zero", [0.0, 0.0]), ("NaN", [1.0, np.nan]),
                       ("infinite", [np.inf, 1.0]), ("order", [1.0, 2.0**-24, 2.0**-24, 2.0**-24])]:
        for clip in (1.0, 0.3, 0.0):
            case("global_norm", f"{name}, clip {clip}", [np.array([s], F32) for s in sums], clip=clip)


@cases
def adamw(random):
    def one(name, shape, kinds, scale, lr, step, **attributes):
        w, m, v, g = (reals(random, shape, kinds[i]) for i in range(4))
        c1, c2 = (np.array([1 - attributes[b] ** step], np.float64).astype(F32) for b in ("beta1", "beta2"))
        case("adamw", name, [w, m, v, g] + [np.array([s], F32) for s in (scale, lr)] + [c1, c2], **attributes)

    usual = dict(beta1=0.9, beta2=0.95, eps=1e-8, decay=0.1)
    one("first step", (5, 9), [["ordinary"], ["zeros"], ["zeros"], ["ordinary", "tiny", "subnormal", "zeros", "ties"]], 1.0, 3e-4, 1, **usual)
    one("kinds", (11, 7), [FINITE, FINITE, ["positive", "tiny"], ALL], 0.37, 2e-3, 9, **usual)
    one("no decay", (4, 3), [["ordinary"], ["ordinary"], ["positive"], ["ordinary"]], 0.5, 1e-3, 100,
        beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0)
    one("vector", (7,), [["ordinary"], ["ordinary"], ["positive"], ["ordinary"]], float("nan"), 1e-3, 3, **usual)


@cases
def cache_write(random):
    for suffix, of in both("streams"):
        cache = of(reals(random, (3, 5, 4), ALL))
        case("cache_write", suffix, [cache, of(reals(random, (9, 4), ALL)), i32([0, 2, -1, 2, 1, 0, 1, 3, 1]),
                                    i32([0, 4, 1, 3, 5, 1, -1, 2, 0])], streams=3, capacity=5)


# name, rows' (slot, position), streams, capacity
STREAMS = [("ragged", [(0, 0), (2, 3), (-1, 2), (1, 4), (0, 1), (2, 0), (3, 1), (0, 5), (1, -1)], 3, 5), ("one", [(0, 0)], 1, 1),
           ("prefill and decode", [(1, 0), (1, 1), (1, 2), (0, 5)], 2, 6)]
STREAMS_LONG = [("512, 513 and five segments of keys", [(0, 511), (0, 512), (0, 2047), (0, 2099), (0, 1700)], 1, TREE)]


def _stream_cases(random):
    for name, rows, streams, capacity in STREAMS + STREAMS_LONG:
        for suffix, of in both(name):
            yield suffix, of, i32([r[0] for r in rows]), i32([r[1] for r in rows]), streams, capacity, 2 if capacity < 100 else 1


def _poison_unwritten(cache, slots, positions):
    """NaN behind the last position any row looks at."""
    cache = cache.copy()
    for slot in range(len(cache)):
        last = max([p for s, p in zip(slots, positions) if s == slot and p < cache.shape[1]], default=-1)
        cache[slot, last + 1 :] = np.nan
    return cache


@cases
def attention_cached(random):
    for name, of, slots, positions, streams, capacity, heads in _stream_cases(random):
        nope, rotary, value = (3, 2, 3) if heads > 1 else (1, 2, 2)
        kv = _poison_unwritten(reals(random, (streams, capacity, heads * (nope + value))), slots, positions)
        k_pe = _poison_unwritten(reals(random, (streams, capacity, rotary)), slots, positions)
        q = reals(random, (len(slots), heads * (nope + rotary)), scale=2.0)
        case("attention_cached", name, [of(q), of(kv), of(k_pe), slots, positions], heads=heads, nope=nope, value=value, scale=0.4)


def _pages(caches):
    """The caches in pages, the last page of all first and two that nobody has; the table that finds them."""
    streams, capacity = caches[0].shape[:2]
    page = max(d for d in range(1, 65) if capacity % d == 0)
    table = np.arange(streams * capacity // page)[::-1].reshape(streams, -1) + 1
    paged = []
    for cache in caches:
        pages = np.full((table.size + 2, page, cache.shape[2]), np.nan, cache.dtype)
        pages[table.reshape(-1)] = cache.reshape(-1, page, cache.shape[2])
        paged.append(pages)
    return paged, table


@cases
def attention_latent(random):
    for name, of, slots, positions, streams, capacity, heads in _stream_cases(random):
        latent = _poison_unwritten(reals(random, (streams, capacity, 3 if heads > 1 else 2)), slots, positions)
        k_pe = _poison_unwritten(reals(random, (streams, capacity, 2)), slots, positions)
        q = reals(random, (len(slots), heads * (latent.shape[-1] + 2)), scale=2.0)
        (latent, k_pe), table = _pages([latent, k_pe])
        case("attention_latent", name, [of(q), of(latent), of(k_pe), slots, positions, i32(table)], heads=heads, scale=0.4)
        if len(table) > 1 and table.shape[1] > 1:
            table[1, -1] = -1
            case("attention_latent", name + ", a page missing", [of(q), of(latent), of(k_pe), slots, positions, i32(table)], heads=heads, scale=0.4)


@cases
def absorb_query(random):
    for suffix, of in both("kinds"):
        case("absorb_query", suffix, [of(reals(random, (11, 2 * 5), ALL)), of(reals(random, (2 * 5, 6), OPERANDS))], heads=2, nope=3, value=2)
    a, b = patterns()
    x = five_segments(random)[None]
    for suffix, of in both("one rule decides"):
        case("absorb_query", suffix, [of(a), of(np.vstack([b.T, b.T[:1]]))], heads=1, nope=4, value=1)
    for suffix, of in both("five segments"):
        case("absorb_query", suffix, [of(np.hstack([x, x[:, :2]])), of(np.vstack([x.T, ONES[:1]]))], heads=1, nope=TREE, value=1)


@cases
def absorb_value(random):
    for suffix, of in both("kinds"):
        case("absorb_value", suffix, [of(reals(random, (11, 2 * 6), ALL)), of(reals(random, (2 * 5, 6), OPERANDS))], heads=2, nope=3, value=2)
    a, b = patterns()
    x = five_segments(random)[None]
    for suffix, of in both("one rule decides"):
        case("absorb_value", suffix, [of(a), of(np.vstack([b[:1], b]))], heads=1, nope=1, value=len(b))
    for suffix, of in both("five segments"):
        case("absorb_value", suffix, [of(x), of(np.vstack([x, x]))], heads=1, nope=1, value=1)


# --- elementary functions ---------------------------------------------------------------------------------------------------------------


def bits_of(x):
    return np.ascontiguousarray(x).astype(x.dtype.newbyteorder("<")).tobytes().hex()


def singles(random):
    near_one = from_bits32(np.arange(0x3F800000 - 40, 0x3F800000 + 40, dtype=np.uint32))
    thresholds = np.array([88.72283, 88.72284, -87.33655, -103.97208, -103.97209, -104.5, 89.5, 9.0, 17.0, 0.5, 0.34657359, 0.70710678], F32)
    around = (thresholds.view(np.uint32)[:, None] + np.arange(-3, 4).astype(np.uint32)).reshape(-1)
    ranges = [random.uniform(-low, high, 200) for low, high in ((1, 1), (20, 20), (104.5, 89), (0.001, 0.001))]
    values = np.concatenate([special_singles(random, 300), near_one, from_bits32(around), *(r.astype(F32) for r in ranges)])
    return np.concatenate([values, -values]).astype(F32)


SPECIAL_DOUBLES = [0.0, 1.0, 2.0, 0.5, 0.25, 1.5, 10.0, 1e-300, 5e-324, 1e300, 2.2250738585072014e-308, 1.7976931348623157e308, float("inf"),
                   float("nan"), 709.78, 709.79, 745.13, 745.14, 708.4, 1024.0, 1023.999, 1074.0, 1075.0, 1e-20, 2.0**27, 2.0**27 + 1]


def doubles(random, limit):
    values = np.concatenate([SPECIAL_DOUBLES, random.uniform(0, 2, 60), random.uniform(0, limit, 150), np.exp2(random.uniform(-60, 20, 60)),
                             np.arange(1, 40) * (np.pi / 4), np.arange(1, 30) * 0.25])
    return np.concatenate([values, -values])


def write_functions():
    random = np.random.default_rng(1)
    x = singles(random)
    golden = {"f32": {}, "f64": {}}
    for name in ("exp", "log", "sigmoid", "tanh"):
        golden["f32"][name] = {"inputs": [bits_of(x)], "output": bits_of(getattr(functions, name)(x))}
    for name, limit in (("exp", 750.0), ("exp2", 1080.0), ("log", 1e6), ("sin", 2e5), ("cos", 2e5), ("cos_pi", 1e4)):
        x = doubles(random, limit)
        golden["f64"][name] = {"inputs": [bits_of(x)], "output": bits_of(getattr(functions, name + ("_64" if name.endswith("2") else "64"))(x))}
    base = np.concatenate([[1e4, 1e4, 1e6, 2.0, 0.5, 1.0, -1.0, 0.0, 3.0, np.inf, np.nan, 10.0, 10.0], np.exp2(random.uniform(-30, 30, 200))])
    power = np.concatenate([[0.0, -0.5, -0.9375, 3.0, -4.0, 5.0, 2.0, 1.0, np.inf, 1.0, 1.0, 400.0, -400.0], random.uniform(-20, 20, 200)])
    golden["f64"]["pow"] = {"inputs": [bits_of(base), bits_of(power)], "output": bits_of(functions.pow64(base, power))}
    base = np.concatenate([[0.9, 0.95, 0.999, 0.0, 2.0, 1.0, 0.9], random.uniform(0.5, 1.1, 100)])
    power = np.concatenate([[0.0, 1.0, 2.0, 0.0, 1030.0, 2.0**53, 1e6], random.integers(0, 5000, 100).astype(np.float64)])
    golden["f64"]["power"] = {"inputs": [bits_of(base), bits_of(power)], "output": bits_of(functions.power64(base, power))}
    (BITS / "functions.json").write_text(json.dumps(golden, indent=1) + "\n")


def main():
    BITS.joinpath("ops").mkdir(parents=True, exist_ok=True)
    asked = sys.argv[1:]
    missing = set(ops.OPS) ^ set(makers)
    assert not missing, f"ops without cases, or cases without op: {missing}"
    for name in asked or makers:
        manifest.clear()
        makers[name](np.random.default_rng(zlib.crc32(name.encode())))
        text = json.dumps({"op": name, "cases": manifest}, indent=1, ensure_ascii=False) + "\n"
        (BITS / "ops" / f"{name}.json").write_text(text)
        print(f"{name}: {len(manifest)} cases, {len(text)} bytes", flush=True)
    if not asked:
        write_functions()


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
