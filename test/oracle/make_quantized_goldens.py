"""Small int4 weights in the layouts of AutoAWQ, GPTQ and compressed-tensors: test/fixtures/quantized/goldens.json.

usage: python make_quantized_goldens.py > test/fixtures/quantized/goldens.json      (needs numpy)

Written from the formats' descriptions alone (docs/formats.md, 'Weights of 4 bits in files'), one integer at a time, and shares nothing
with the TypeScript. A case gives the integers q [out, in], the scales [out, groups] and the zero points [out, groups],
and each layout's tensors as they lie in a file: dtype, shape, and the data in hexadecimal, little-endian.
"""
import json
import sys

import numpy as np

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
rng = np.random.default_rng(11)


def word(nibbles):
    value = sum(int(nibble) << (4 * i) for i, nibble in enumerate(nibbles))
    return value - (1 << 32) if value >= 1 << 31 else value


def words(rows):
    return np.array([[word(nibbles) for nibbles in row] for row in rows], dtype="<i4")


def groups_of(width, size):
    return 1 if size == -1 else -(-width // size)


def awq(q, scales, zeros, size):
    out, width = q.shape
    count = groups_of(width, size)
    return {
        "qweight": words([[[q[8 * c + n, k] for n in AWQ_ORDER] for c in range(out // 8)] for k in range(width)]),
        "qzeros": words([[[zeros[8 * c + n, g] for n in AWQ_ORDER] for c in range(out // 8)] for g in range(count)]),
        "scales": scales.T.astype("<f2"),
    }


def gptq(q, scales, zeros, size, version):
    out, width = q.shape
    count = groups_of(width, size)
    less = 1 if version == 1 else 0
    span = width if size == -1 else size
    return {
        "qweight": words([[[q[n, 8 * r + i] for i in range(8)] for n in range(out)] for r in range(width // 8)]),
        "qzeros": words([[[zeros[8 * c + i, g] - less for i in range(8)] for c in range(out // 8)] for g in range(count)]),
        "scales": scales.T.astype("<f2"),
        "g_idx": np.array([k // span for k in range(width)], dtype="<i4"),
    }


def compressed_tensors(q, scales, zeros, size, symmetric):
    out, width = q.shape
    count = groups_of(width, size)
    at = lambda values, *place: values[place] if all(p < s for p, s in zip(place, values.shape)) else 0
    tensors = {
        "weight_packed": words(
            [[[at(q, n, 8 * c + i) for i in range(8)] for c in range(-(-width // 8))] for n in range(out)]
        ),
        "weight_scale": scales.astype("<f2"),
        "weight_shape": np.array([out, width], dtype="<i8"),
    }
    if not symmetric:
        tensors["weight_zero_point"] = words(
            [[[at(zeros, 8 * r + i, g) for i in range(8)] for g in range(count)] for r in range(-(-out // 8))]
        )
    return tensors


def listed(tensors):
    names = {"<i4": "I32", "<f2": "F16", "<i8": "I64"}
    return {
        name: {"dtype": names[array.dtype.str], "shape": list(array.shape), "data": np.ascontiguousarray(array).tobytes().hex()}
        for name, array in tensors.items()
    }


def case(out, width, size, symmetric, least_zero=0):
    count = groups_of(width, size)
    q = rng.integers(0, 16, (out, width))
    scales = (rng.standard_normal((out, count)) * 0.02).astype(np.float16)
    zeros = np.full((out, count), 8) if symmetric else rng.integers(least_zero, 16, (out, count))
    layouts = {"compressed-tensors": listed(compressed_tensors(q, scales, zeros, size, symmetric))}
    if out % 8 == 0:
        layouts["awq"] = listed(awq(q, scales, zeros, size))
    if out % 32 == 0 and width % 32 == 0:
        if zeros.min() > 0:
            layouts["gptq"] = listed(gptq(q, scales, zeros, size, 1))
        layouts["gptq_v2"] = listed(gptq(q, scales, zeros, size, 2))
    if symmetric and "gptq" in layouts:
        packed = layouts["compressed-tensors"]["weight_packed"]
        turned = np.frombuffer(bytes.fromhex(packed["data"]), "<i4").reshape(packed["shape"]).T
        assert np.ascontiguousarray(turned).tobytes().hex() == layouts["gptq"]["qweight"]["data"]
    return {
        "out": out,
        "in": width,
        "groupSize": size,
        "symmetric": symmetric,
        "q": "".join(f"{value:x}" for value in q.flat),
        "scales": scales.astype("<f2").tobytes().hex(),
        "zeros": "".join(f"{value:x}" for value in zeros.flat),
        "layouts": layouts,
    }


cases = [
    case(32, 64, 32, True),
    case(32, 64, 32, False),
    case(64, 128, 64, False, least_zero=1),
    case(32, 256, 128, True),
    case(32, 96, -1, True),
    case(32, 160, -1, False),
    case(32, 192, 96, False),
    case(8, 64, 32, False),
    case(16, 37, -1, False),
    case(5, 64, 32, False),
    case(3, 45, -1, True),
]
json.dump(cases, sys.stdout, separators=(",", ":"))
print()
