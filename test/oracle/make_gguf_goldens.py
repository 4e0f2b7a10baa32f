"""Blocks of the GGUF types for small vectors, by the Python package gguf (0.19): test/unit/export/goldenBlocks.json.

usage: python make_gguf_goldens.py > test/unit/export/goldenBlocks.json      (needs gguf and numpy)
Values and blocks are hexadecimal bytes, little-endian float32 and the type's blocks.
"""
import json

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

rng = np.random.default_rng(7)
vectors = {
    "normal": rng.standard_normal(96),
    "small": rng.standard_normal(64) * 1e-3,
    "tiny, subnormal scales": rng.standard_normal(64) * 3e-7,
    "large": rng.standard_normal(64) * 4e3,
    "zeros": np.zeros(32),
    "constant": np.full(32, 0.37),
    "negative only": -np.abs(rng.standard_normal(32)),
    "positive only": np.abs(rng.standard_normal(32)),
    "one value": np.eye(1, 32, 5)[0] * -2.5,
    "equal magnitudes, the first decides": np.tile([1.5, -1.5], 16),
    "ties between steps": (np.arange(32) - 16) / 16 * 127 / 128,
    "halves": (np.arange(32) - 15.5) / 2,
}
types = {"F16": Type.F16, "BF16": Type.BF16, "Q8_0": Type.Q8_0, "Q4_0": Type.Q4_0, "Q4_1": Type.Q4_1}


def golden(values):
    values = values.astype(np.float32)
    return {"values": values.tobytes().hex(), **{name: quantize(values, kind).tobytes().hex() for name, kind in types.items()}}


print(json.dumps({name: golden(values) for name, values in vectors.items()}, indent=2))
