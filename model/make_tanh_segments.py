#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the 32 cubic segments of tanh on [0, 8) and prints model/tanh_segments.inc.

Each segment spans 1/4, that is 1024 values of the Q3.12 argument. The cubic is evaluated as the
hardware does it, with three Q0.15 multiplications that round half up, so the search over the rounded
coefficients sees every rounding. It minimises the largest error in the segment.
"""
import itertools
import math

import numpy as np

ONE = 1 << 15
T = (np.arange(1024, dtype=np.int64)) << 5


def mul_q15(a, b):
    return (a * b + (1 << 14)) >> 15


def evaluate(c0, c1, c2, c3):
    p = c2 + mul_q15(np.int64(c3), T)
    p = c1 + mul_q15(p, T)
    return c0 + mul_q15(p, T)


def fit(segment):
    exact = np.array([math.tanh((segment * 1024 + i) / 4096) for i in range(1024)]) * ONE
    cubic = np.polynomial.chebyshev.Chebyshev.fit(T / ONE, exact, 3, domain=[0, 1])
    c = cubic.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef
    start = [int(round(v)) for v in c] + [0] * (4 - len(c))
    best = None
    for d0, d1, d2, d3 in itertools.product(range(-1, 2), range(-2, 3), range(-3, 4), range(-3, 4)):
        coefficients = (start[0] + d0, start[1] + d1, start[2] + d2, start[3] + d3)
        if segment == 0 and coefficients[0] != 0:
            continue  # tanh(0) = 0 exactly
        values = evaluate(*coefficients)
        if values.min() < 0 or values.max() > ONE - 1:
            continue
        key = (abs(values - exact).max(), sum(abs(values - exact)))
        if best is None or key < best[0]:
            best = (key, coefficients)
    return best


def main():
    fits = [fit(s) for s in range(32)]
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Made by make_tanh_segments.py. Largest error {max(f[0][0] for f in fits):.2f} LSB of Q0.15.")
    for k in range(4):
        row = ", ".join(str(f[1][k]) for f in fits)
        print(f"/* c{k} */ {{{row}}},")


if __name__ == "__main__":
    main()
