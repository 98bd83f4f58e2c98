"""binary32 and bf16 arithmetic of the profile exact/1, element by element (docs/arithmetic.md, section 1).

Arrays: f32 is numpy.float32, bf16 its raw bits in numpy.uint16, i32 numpy.int32. Plain + - * / and numpy.sqrt on numpy.float32 arrays are
IEEE binary32, rounded once, subnormals kept; what numpy lacks is here.
"""

import numpy as np

F32 = np.float32
NAN32 = np.array(0x7FC00000, np.uint32).view(F32)[()]
SMALLEST_NORMAL = F32(2.0**-126)


def f32(x):
    """Rounds reals (Python or binary64) to binary32 once; integers too."""
    x = np.asarray(x)
    if x.dtype.kind in "iu":
        x = x.astype(np.int64)
    return x.astype(F32)


def bits32(x):
    return np.ascontiguousarray(x, F32).view(np.uint32)


def from_bits32(bits):
    return np.asarray(bits, np.uint32).view(F32)


def bits64(x):
    return np.ascontiguousarray(x, np.float64).view(np.uint64)


def from_bits64(bits):
    return np.asarray(bits, np.uint64).view(np.float64)


def _sum_to_odd(a, b, c):
    """a·b + c of binary32 operands in binary64, rounded to odd.

    The product of two binary32 is exact in binary64. The sum is not; its error, exact by TwoSum, says on which side of the rounded sum the
    true value lies. Of the two binary64 neighbours that enclose an inexact value the odd one remembers "not exact, not a tie", so that
    rounding it again, to 24 bits or fewer, gives what rounding the true value once would.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend = np.asarray(c, np.float64)
    product, addend = np.broadcast_arrays(product, addend)
    total = product + addend
    shadow = total - product
    error = (product - (total - shadow)) + (addend - shadow)
    bits = bits64(total).reshape(total.shape).copy()
    inexact = np.isfinite(total) & (error != 0) & ((bits & np.uint64(1)) == 0)
    outward = (error > 0) == (total > 0)
    step = np.where(outward, np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF))
    bits = np.where(inexact, bits + step, bits)
    return from_bits64(bits).reshape(total.shape)


def fma(a, b, c):
    """a·b + c rounded once to binary32."""
    return _sum_to_odd(a, b, c).astype(F32)


def flush(x):
    """A subnormal counts as zero of its sign."""
    x = np.asarray(x, F32)
    return np.where(np.abs(x) < SMALLEST_NORMAL, np.copysign(F32(0), x), x)


def ffma(a, b, c):
    """fma under FTZ and DAZ: subnormal operands are zeros; tiny after rounding to 24 bits with unbounded exponent becomes zero."""
    exact = _sum_to_odd(flush(a), flush(b), flush(c))
    small = np.abs(exact) < 2.0**-100
    lift = 2.0**200
    rounded = np.where(small, exact * lift, 0.0).astype(F32)  # 24 bits, far from binary32's own subnormals
    tiny = small & (np.abs(rounded) < F32(2.0**-126 * lift))
    return np.where(tiny, np.copysign(F32(0), exact.astype(F32)), exact.astype(F32))


def max32(a, b):
    """max of section 1.3: NaN if either is, −0 counts as +0."""
    a, b = np.asarray(a, F32), np.asarray(b, F32)
    larger = np.where(a > b, a, b)
    larger = np.where(larger == 0, F32(0), larger)
    return np.where(np.isnan(a) | np.isnan(b), NAN32, larger)


def to_bf16(x):
    """The cast: nearest even, subnormals to signed zero, NaN to 0x7FC0."""
    bits = bits32(x).astype(np.uint64).reshape(np.shape(x))
    rounded = ((bits + np.uint64(0x7FFF) + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)
    magnitude = bits & np.uint64(0x7FFFFFFF)
    sign = (bits >> np.uint64(16)).astype(np.uint16) & np.uint16(0x8000)
    rounded = np.where(magnitude < 0x00800000, sign, rounded)
    return np.where(magnitude > 0x7F800000, np.uint16(0x7FC0), rounded)


def widen(x):
    """bf16 bits (or f32, unchanged) as f32, exactly, NaN payloads and subnormals included."""
    if x.dtype == np.uint16:
        return from_bits32(x.astype(np.uint32) << np.uint32(16)).reshape(x.shape)
    return np.asarray(x, F32)


def is_bf16(x):
    return x.dtype == np.uint16


def rounded(x, bf16):
    """A value as it enters a product: cast to bf16 and widened again, or as it is."""
    return widen(to_bf16(x)) if bf16 else np.asarray(x, F32)
