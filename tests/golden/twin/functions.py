"""The elementary functions of docs/arithmetic-functions.md. Names without a suffix are binary32, with 64 the host's binary64.

Run this file to compare with the checksums that the page states: python3 functions.py
"""

import re
from fractions import Fraction

import numpy as np

from numbers32 import F32, NAN32, bits32, bits64, fma, from_bits32, from_bits64

F64 = np.float64


def _singles(text):
    return [F32(float.fromhex(word[:-1])) for word in text.split()]


def _doubles(text):
    return [float.fromhex(word) for word in text.split()]


# --- binary32 ---------------------------------------------------------------------------------------------------------------------------

LOG2E, LN2_HI, LN2_LO = _singles("0x1.715476p0f 0x1.62e4p-1f 0x1.7f7d1cp-20f")
EXP_POLY = _singles("0x1p0f 0x1.fffff8p-2f 0x1.55548ep-3f 0x1.555b9ap-5f 0x1.123bfp-7f 0x1.684fe4p-10f")
LOG_POLY = _singles("-0x1p-1f 0x1.5555p-2f -0x1.ffff6ap-3f 0x1.99d268p-3f -0x1.55884ep-3f 0x1.1eb8dep-3f -0x1.f56284p-4f 0x1.1ee68ap-3f "
                    "-0x1.03037ap-3f")
TANH_POLY = _singles("-0x1.555552p-2f 0x1.111044p-3f -0x1.b9f8acp-5f 0x1.64d3f4p-6f -0x1.194358p-7f 0x1.91c5e2p-9f -0x1.b4d302p-11f "
                     "0x1.f5564p-14f")
ROUNDER = F32(1.5 * 2.0**23)


def _horner(poly, x, fused=fma):
    s = poly[-1]
    for coefficient in reversed(poly[:-1]):
        s = fused(s, x, coefficient)
    return s


def _shaped(function):
    """Calls `function` with a flat array of at least one dimension, gives back the shape that came."""

    def call(x):
        x = np.asarray(x, F32)
        return function(x.reshape(-1)).reshape(x.shape)

    return call


def _reduce(x):
    t = fma(x, LOG2E, ROUNDER)
    n = t - ROUNDER
    whole = bits32(t).astype(np.int64) - int(bits32(ROUNDER.reshape(1))[0])
    r = fma(n, -LN2_HI, x)
    r = fma(n, -LN2_LO, r)
    return whole, r, _horner(EXP_POLY, r)


def _power_of_two(k):
    return from_bits32(((k + 127) << 23).astype(np.uint32))


def _scale(v, n):
    half = n >> 1
    return (v * _power_of_two(half)) * _power_of_two(n - half)


@_shaped
def exp(x):
    safe = np.where(np.isnan(x), F32(0), x)
    safe = np.where(safe < F32(-104), F32(-104), safe)
    safe = np.where(safe > F32(89), F32(89), safe)
    n, r, h = _reduce(safe)
    return np.where(np.isnan(x), NAN32, _scale(fma(h, r, F32(1)), n))


@_shaped
def log(x):
    small = x < F32(2.0**-126)
    normal = np.where((x > 0) & np.isfinite(x), np.where(small, x * F32(2.0**23), x), F32(1))
    b = bits32(normal)
    k = (b - np.uint32(0x3F2AAAAB)).view(np.int32) >> 23
    m = from_bits32(b - (k.view(np.uint32) << np.uint32(23)))
    f = m - F32(1)
    e = (np.where(small, -23, 0) + k.astype(np.int64)).astype(F32)
    hi = e * LN2_HI + f
    lo = f - (hi - e * LN2_HI)
    w = (f * f) * _horner(LOG_POLY, f)
    w = fma(e, LN2_LO, w)
    y = hi + (lo + w)
    y = np.where(x == 0, F32(-np.inf), y)
    y = np.where(x == F32(np.inf), F32(np.inf), y)
    return np.where(np.isnan(x) | (x < 0), NAN32, y)


@_shaped
def sigmoid(x):
    safe = np.where(np.isnan(x), F32(0), x)
    negative = safe < 0
    a = np.where(negative, safe, -safe)
    a = np.where(a < F32(-104), F32(-104), a)
    n, r, h = _reduce(a)
    p = fma(h, r, F32(1))
    q_lo = fma(h, r, F32(1) - p)
    t = _scale(p, n)
    d = F32(1) + t
    d_lo = (t - (d - F32(1))) + _scale(q_lo, n)
    top = np.where(negative, p, F32(1))
    top_lo = np.where(negative, q_lo, F32(0))
    g = F32(1) / d
    q = top * g
    s = fma(-q, d, top)
    s = fma(-q, d_lo, s)
    s = s + top_lo
    y = fma(s, g, q)
    return np.where(np.isnan(x), NAN32, np.where(negative, _scale(y, n), y))


@_shaped
def tanh(x):
    a = np.abs(x)
    u = a * a
    near = fma(a * u, _horner(TANH_POLY, u), a)
    far = fma(F32(-2), sigmoid(F32(-2) * a), F32(1))
    return np.where(np.isnan(x), NAN32, np.copysign(np.where(a <= F32(1), near, far), x))


# --- binary64 ---------------------------------------------------------------------------------------------------------------------------

LOG2E64, LN2_HI64, LN2_LO64, LN2_64 = _doubles("0x1.71547652b82fep0 0x1.62e42fefa38p-1 0x1.ef35793c7673p-45 0x1.62e42fefa39efp-1")
EXP64_POLY = _doubles("0x1p0 0x1p-1 0x1.55555555554bbp-3 0x1.555555555309ep-5 0x1.11111111388f9p-7 0x1.6c16c17d2e454p-10 "
                      "0x1.a01a00cb68039p-13 0x1.a019a9eb41c53p-16 0x1.71dfff2008edep-19 0x1.28a0c0f05f159p-22 0x1.ac20789ee2a0bp-26")
LOG64_POLY = _doubles("0x1.555555555554fp-1 0x1.999999999c14ap-2 0x1.24924921e8862p-2 0x1.c71c748b450b6p-3 0x1.745c4c0429a45p-3 "
                      "0x1.3b35989239b65p-3 0x1.0dce55b7d4e3bp-3 0x1.1b6e6fc60ba7dp-3")
TWO_OVER_PI, PI64 = _doubles("0x1.45f306dc9c883p-1 0x1.921fb54442d18p1")
HALF_PI = _doubles("0x1.921fb58p0 -0x1.dde974p-27 0x1.1a62633145c07p-54 -0x1.f1976b7ed8fbcp-110")
SIN_POLY = _doubles("-0x1.5555555555548p-3 0x1.111111110f75cp-7 -0x1.a01a019bf1fc4p-13 0x1.71de355ee5043p-19 -0x1.ae5e545b758bcp-26 "
                    "0x1.5d8e2f8d91d3p-33")
COS_POLY = _doubles("0x1.555555555554bp-5 -0x1.6c16c16c1504bp-10 0x1.a01a019c9773cp-16 -0x1.27e4f7f8e48edp-22 0x1.1ee9e1583270bp-29 "
                    "-0x1.8fa99010a4496p-37")
ROUNDER64 = 1.5 * 2.0**52


def _fma64_once(a, b, c):
    plain = a * b + c
    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(c)):
        return plain
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return plain  # a zero's sign is the plain sum's: a·b = −c is then exact
    try:
        return exact.numerator / exact.denominator  # Python's quotient of integers is rounded once
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


_fma64_each = np.frompyfunc(lambda a, b, c: _fma64_once(float(a), float(b), float(c)), 3, 1)


def fma64(a, b, c):
    return np.asarray(_fma64_each(a, b, c), F64)


def _horner64(poly, x):
    return _horner(poly, x, fma64)


def _integer(t):
    return bits64(t).view(np.int64) - bits64(np.array([ROUNDER64])).view(np.int64)[0]


def _power_of_two64(k):
    return from_bits64(((k + 1023) << 52).view(np.uint64))


def _scaled_exp(n, r):
    v = fma64(_horner64(EXP64_POLY, r), r, 1.0)
    half = n >> 1
    return (v * _power_of_two64(half)) * _power_of_two64(n - half)


def _exp_pair(x, x_lo):
    safe = np.where((x < -746) | (x > 710), 0.0, x)
    t = fma64(safe, LOG2E64, ROUNDER64)
    n = t - ROUNDER64
    r = fma64(n, -LN2_HI64, safe)
    r = fma64(n, -LN2_LO64, r)
    r = r + x_lo
    y = _scaled_exp(_integer(t), r)
    return np.where(x < -746, 0.0, np.where(x > 710, np.inf, y))


def exp64(x):
    safe = np.where(np.isnan(x), 0.0, x)
    return np.where(np.isnan(x), np.nan, _exp_pair(safe, 0.0))


def exp2_64(x):
    safe = np.where(np.isnan(x) | (x < -1076) | (x > 1025), 0.0, x)
    t = safe + ROUNDER64
    n = t - ROUNDER64
    y = _scaled_exp(_integer(t), (safe - n) * LN2_64)
    return np.where(np.isnan(x), np.nan, np.where(x < -1076, 0.0, np.where(x > 1025, np.inf, y)))


def _log_pair(x):
    small = x < 2.0**-1022
    b = bits64(np.where(small, x * 2.0**52, x))
    k = (b - np.uint64(0x3FE5555555555555)).view(np.int64) >> 52
    f = from_bits64(b - (k << 52).view(np.uint64)) - 1.0
    e = (np.where(small, -52, 0) + k).astype(F64)
    d = 2.0 + f
    d_lo = f - (d - 2.0)
    s = f / d
    s_lo = fma64(-s, d_lo, fma64(-s, d, f)) / d
    u = s * s
    w = fma64(s * u, _horner64(LOG64_POLY, u), 2.0 * s_lo)
    a = e * LN2_HI64
    c = 2.0 * s
    hi = a + c
    lo = c - (hi - a)
    w = fma64(e, LN2_LO64, w) + lo
    total = hi + w
    return total, w - (total - hi)


def _positive(x):
    return np.where((x > 0) & np.isfinite(x), x, 1.0)


def log64(x):
    y = _log_pair(_positive(x))[0]
    y = np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, y))
    return np.where(np.isnan(x) | (x < 0), np.nan, y)


def pow64(base, y):
    valid = (base > 0) & np.isfinite(base) & np.isfinite(y)
    base, y = np.where(valid, base, 1.0), np.where(valid, y, 0.0)
    l, l_lo = _log_pair(base)
    x = y * l
    inside = (x > -746) & (x < 710)
    rest = fma64(y, l, -x) + y * l_lo
    return np.where(valid, _exp_pair(x, np.where(inside, rest, 0.0)), np.nan)


def _power_once(base, t):
    t, result = int(t), 1.0
    while t:
        if t & 1:
            result = result * base
        base, t = base * base, t >> 1
    return result


def power64(base, t):
    return np.array([_power_once(float(b), k) for b, k in zip(base, t)], F64)


def _quadrant(count, r):
    u = r * r
    odd = (count & 1) == 1
    sine = fma64(r * u, _horner64(SIN_POLY, u), r)
    cosine = fma64(u * u, _horner64(COS_POLY, u), fma64(-0.5, u, 1.0))
    v = np.where(odd, cosine, sine)
    return np.where((count & 2) == 2, -v, v)


def _turn(x):
    a = np.abs(x)
    valid = a <= 2.0**27
    a = np.where(valid, a, 0.0)
    t = fma64(a, TWO_OVER_PI, ROUNDER64)
    n = t - ROUNDER64
    r = a
    for part in HALF_PI:
        r = fma64(n, -part, r)
    return valid, _integer(t), r


def sin64(x):
    valid, count, r = _turn(x)
    y = _quadrant(count, r)
    y = np.where(x == 0, x, np.where(x < 0, -y, y))
    return np.where(valid, y, np.nan)


def cos64(x):
    valid, count, r = _turn(x)
    return np.where(valid, _quadrant(count + 1, r), np.nan)


def cos_pi64(x):
    a = np.abs(x)
    valid = a <= 2.0**27
    a = np.where(valid, a, 0.0)
    t = 2.0 * a + ROUNDER64
    n = t - ROUNDER64
    r = fma64(n, -0.5, a) * PI64
    return np.where(valid, _quadrant(_integer(t) + 1, r), np.nan)


# --- the page's checksums ---------------------------------------------------------------------------------------------------------------


def checksum(words):
    place = np.arange(len(words), dtype=np.uint64)
    with np.errstate(over="ignore"):
        return int(np.sum(words.astype(np.uint64) * ((place * np.uint64(2) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)), dtype=np.uint64))


def main():
    import pathlib

    page = (pathlib.Path(__file__).resolve().parents[3] / "docs/arithmetic-functions.md").read_text().split("## Checksums")[1]
    x = from_bits32(np.arange(0, 2**32, 4093, dtype=np.uint64).astype(np.uint32))
    failed = False
    for name, stated in re.findall(r"\| (\w+) \| (0x[0-9A-F]{16}) \|", page):
        ours = checksum(bits32(globals()[name](x)))
        failed |= ours != int(stated, 16)
        print(f"{name}: {ours:#018x}, page {stated}")
    i = np.arange(10000, dtype=np.float64)
    x = 0.001 * i
    columns = [exp64(x), exp2_64(-x), log64(x), pow64(np.full(10000, 1e4), -x), power64(np.full(10000, 0.999), i), sin64(1000 * x),
               cos64(1000 * x), cos_pi64(x)]
    ours = checksum(bits64(np.stack(columns, axis=1)).reshape(-1))
    stated = re.search(r"in this order: (0x[0-9A-F]{16})", page).group(1)
    print(f"double: {ours:#018x}, page {stated}")
    return 1 if failed or ours != int(stated, 16) else 0


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        raise SystemExit(main())
