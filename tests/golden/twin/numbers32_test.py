"""fma and ffma against exact rationals, the casts against their definition. Run: python3 numbers32_test.py"""

from fractions import Fraction

import numpy as np

from numbers32 import F32, bits32, ffma, flush, fma, from_bits32, to_bf16, widen

FLUSH_EXPONENT = -126


def nearest(value, precision_bits, lowest_exponent):
    """Fraction → (nearest even with that precision, subnormals below 2^lowest_exponent unless None)."""
    if value == 0:
        return value
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent += 1 if Fraction(2) ** (exponent + 1) <= magnitude else 0
    exponent -= 1 if Fraction(2) ** exponent > magnitude else 0
    if lowest_exponent is not None:
        exponent = max(exponent, lowest_exponent)
    unit = Fraction(2) ** (exponent - precision_bits + 1)
    return round(value / unit) * unit  # Fraction's round is to even


def interesting(random, count):
    bits = random.integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32)
    near = random.integers(0, 6, count)
    exponents = np.array([0, 1, 127, 126, 64, 63], np.uint32)[near]
    few = random.integers(0, 3, count).astype(np.uint32) * np.uint32(0x3FFFFF)
    picked = (bits & np.uint32(0x80000000)) | (exponents << np.uint32(23)) | np.where(random.random(count) < 0.5, few, bits & np.uint32(0x7FFFFF))
    return from_bits32(np.where(random.random(count) < 0.6, picked, bits))


def main():
    random = np.random.default_rng(1)
    count = 60000
    a, b, c = (interesting(random, count) for _ in range(3))
    c = np.where(random.random(count) < 0.3, -(a * b), c).astype(F32)  # cancellation
    fused, flushed = fma(a, b, c), ffma(a, b, c)
    fa, fb, fc = flush(a), flush(b), flush(c)
    checked = 0
    for i in range(count):
        if not (np.isfinite(a[i]) and np.isfinite(b[i]) and np.isfinite(c[i]) and np.isfinite(fused[i])):
            continue
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        assert Fraction(float(fused[i])) == nearest(exact, 24, FLUSH_EXPONENT), (a[i], b[i], c[i], fused[i])
        exact = Fraction(float(fa[i])) * Fraction(float(fb[i])) + Fraction(float(fc[i]))
        expected = nearest(exact, 24, None)
        expected = Fraction(0) if abs(expected) < Fraction(2) ** FLUSH_EXPONENT else expected
        if np.isfinite(flushed[i]):
            assert Fraction(float(flushed[i])) == expected, (a[i], b[i], c[i], flushed[i])
            assert exact == 0 or np.signbit(flushed[i]) == (exact < 0)
        checked += 1
    assert checked > count // 2
    x = interesting(random, count)
    cast = widen(to_bf16(x))
    for i in range(count):
        if np.isnan(x[i]):
            assert bits32(cast[i : i + 1])[0] == 0x7FC00000
        elif np.isfinite(cast[i]):
            expected = Fraction(0) if abs(x[i]) < 2.0**-126 else nearest(Fraction(float(x[i])), 8, None)
            assert Fraction(float(cast[i])) == expected and np.signbit(cast[i]) == np.signbit(x[i])
    print("ok:", checked, "fused products,", count, "casts")


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
