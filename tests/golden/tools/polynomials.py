"""Where the polynomial constants of src/base/math.h come from: least-squares fits, made here.

    python3 polynomials.py            prints every array as hex floats, with the fit's error in bits
    python3 polynomials.py --check    fails unless src/base/math.h and docs/arithmetic.md (or its section) hold these very constants

Needs mpmath. Each fit is weighted least squares on Chebyshev's nodes, which is within a bit of minimax. Coefficients are rounded one
at a time, lowest order first, and the remaining ones fitted again after each, so that a later one absorbs an earlier one's rounding.
"""

import math
import pathlib
import re
import sys

from mpmath import mp, mpf

mp.dps = 60
GRID = 300
EXP_F32, LOG_F32, TANH_F32 = 6, 9, 8
EXP_F64, LOG_F64, SIN_F64, COS_F64 = 11, 8, 6, 6


def round_f32(value):
    """The nearest float (ties to even), exactly, as a Python float."""
    scaled, exponent = mp.frexp(value)
    return math.ldexp(int(mp.nint(scaled * 2**24)), exponent - 24)


def round_f64(value):
    scaled, exponent = mp.frexp(value)
    return math.ldexp(int(mp.nint(scaled * 2**53)), exponent - 53)


def chebyshev(low, high, count):
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def fit(target, count, low, high, weight, rounding, fixed=()):
    """`count` rounded coefficients of 1, x, x², … (`fixed` gives the first ones) and the largest weight · |error|."""
    grid = chebyshev(low, high, GRID)
    weights = [weight(x) for x in grid]
    done = list(fixed)
    while len(done) < count:
        powers = range(len(done), count)
        columns = [[w * x**k for x, w in zip(grid, weights)] for k in powers]
        right = [w * (target(x) - series(done, x)) for x, w in zip(grid, weights)]
        normal = mp.matrix([[mp.fdot(a, b) for b in columns] for a in columns])
        solution = mp.lu_solve(normal, mp.matrix([mp.fdot(a, right) for a in columns]))
        done.append(rounding(solution[0]))
    return done, max(weight(x) * abs(series(done, x) - target(x)) for x in chebyshev(low, high, 1000))


def series(coefficients, x):
    return sum((mpf(c) * x**k for k, c in enumerate(coefficients)), mpf(0))


def exp_tail(r):
    """(exp(r) − 1) / r"""
    return mp.expm1(r) / r if r else mpf(1)


def log_tail(f):
    """(log(1+f) − f) / f²"""
    return (mp.log1p(f) - f) / f**2 if abs(f) > mpf("1e-12") else mpf(-1) / 2 + f / 3


def tanh_tail(u):
    """(tanh(x) − x) / x³ with u = x²"""
    x = mp.sqrt(u)
    return (mp.tanh(x) - x) / x**3 if u > mpf("1e-12") else mpf(-1) / 3 + 2 * u / 15


def atanh_tail(u):
    """(log((1+s)/(1−s)) − 2s) / s³ with u = s²"""
    s = mp.sqrt(u)
    return (2 * mp.atanh(s) - 2 * s) / s**3 if u > mpf("1e-12") else mpf(2) / 3 + 2 * u / 5


def sin_tail(u):
    """(sin(r) − r) / r³ with u = r²"""
    r = mp.sqrt(u)
    return (mp.sin(r) - r) / r**3 if u > mpf("1e-12") else mpf(-1) / 6 + u / 120


def cos_tail(u):
    """(cos(r) − 1 + r²/2) / r⁴ with u = r²"""
    r = mp.sqrt(u)
    return (mp.cos(r) - 1 + u / 2) / u**2 if u > mpf("1e-10") else mpf(1) / 24 - u / 720


def chop(value, lowest):
    """value rounded to a multiple of 2^lowest: a constant with trailing zeros, so that a product with a small integer is exact."""
    return math.ldexp(int(mp.nint(value * mpf(2) ** -lowest)), lowest)


def constants():
    """name → (list of hex-exact Python floats, is_f32, note)."""
    table = {}
    ln2 = mp.log(2)
    bound = ln2 / 2 * mpf("1.001")  # a little past ln2/2: n is chosen by a rounded product

    def scalar(name, value, f32, note=""):
        table[name] = ([value], f32, note)

    def array(name, result, f32):
        coefficients, worst = result
        table[name] = (coefficients, f32, f"fit error 2^{float(mp.log(worst, 2)):.2f}")

    scalar("log2e", round_f32(1 / ln2), True)
    scalar("ln2_hi", chop(ln2, -16), True)
    scalar("ln2_lo", round_f32(ln2 - mpf(chop(ln2, -16))), True)
    array("exp_poly", fit(exp_tail, EXP_F32, -bound, bound, lambda r: abs(r) / mp.exp(r), round_f32), True)
    third = mpf(1) / 3
    array("log_poly", fit(log_tail, LOG_F32, -third, third, lambda f: f**2 / abs(mp.log1p(f)), round_f32, fixed=[-0.5]), True)
    array("tanh_poly", fit(tanh_tail, TANH_F32, mpf(0), mpf(1), lambda u: u * mp.sqrt(u) / mp.tanh(mp.sqrt(u)), round_f32), True)

    scalar("log2e64", round_f64(1 / ln2), False)
    scalar("ln2_hi64", chop(ln2, -42), False)
    scalar("ln2_lo64", round_f64(ln2 - mpf(chop(ln2, -42))), False)
    scalar("ln2_64", round_f64(ln2), False)
    array("exp64_poly", fit(exp_tail, EXP_F64, -bound, bound, lambda r: abs(r) / mp.exp(r), round_f64, fixed=[1.0, 0.5]), False)
    reach = mpf("0.04001")  # s = f / (2+f) lies in [−1/5, 1/7]
    array("log64_poly", fit(atanh_tail, LOG_F64, mpf(0), reach, lambda u: u / 2, round_f64), False)
    scalar("two_over_pi", round_f64(2 / mp.pi), False)
    part1 = chop(mp.pi / 2, -25)
    part2 = chop(mp.pi / 2 - mpf(part1), -52)
    scalar("half_pi_1", part1, False)
    scalar("half_pi_2", part2, False)
    part3 = round_f64(mp.pi / 2 - mpf(part1) - mpf(part2))
    scalar("half_pi_3", part3, False)
    scalar("half_pi_4", round_f64(mp.pi / 2 - mpf(part1) - mpf(part2) - mpf(part3)), False)
    scalar("pi64", round_f64(mp.pi), False)
    reach = (mp.pi / 4 * mpf("1.0001")) ** 2
    array("sin_poly", fit(sin_tail, SIN_F64, mpf(0), reach, lambda u: u * mp.sqrt(u) / mp.sin(mp.sqrt(u)), round_f64), False)
    array("cos_poly", fit(cos_tail, COS_F64, mpf(0), reach, lambda u: u**2, round_f64), False)
    return table


def hex_float(value, f32):
    """C's shortest hex float."""
    text = float(value).hex()
    sign = "-" if text[0] == "-" else ""
    digits, exponent = re.fullmatch(r"-?0x1\.([0-9a-f]*)p([+-]\d+)", text).groups()
    digits = digits.rstrip("0")
    return f"{sign}0x1{'.' + digits if digits else ''}p{int(exponent)}{'f' if f32 else ''}"


def main():
    table = constants()
    for name, (values, f32, note) in table.items():
        print(f"{name}: {note}")
        for value in values:
            print(f"    {hex_float(value, f32)},")
    if "--check" not in sys.argv:
        return 0
    root = pathlib.Path(__file__).resolve().parents[3]
    section = root / "docs/arithmetic-functions.md"
    missing = 0
    for path in (root / "src/base/math.h", section if section.exists() else root / "docs/arithmetic.md"):
        words = set(re.findall(r"-?0x1[0-9a-f.]*p-?\d+f?", path.read_text()))
        for name, (values, f32, _) in table.items():
            for value in values:
                if hex_float(value, f32) not in words:
                    print(f"{path.name}: {name} lacks {hex_float(value, f32)}")
                    missing += 1
    print("the files hold these constants" if not missing else f"{missing} constants differ")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
