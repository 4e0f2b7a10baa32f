"""Random GGUF blocks of every quantized type and the floats that they are, by the Python package gguf (0.19):
test/unit/gguf/decodedBlocks.json.

usage: python make_gguf_decoded.py > test/unit/gguf/decodedBlocks.json      (needs gguf and numpy)
Blocks are random bytes, but for scales, which are ordinary float16. Both are hexadecimal: the type's blocks, little-endian float32.
"""
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# Bytes at which a block of each type has float16.
halves = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
}
rng = np.random.default_rng(17)


def golden(name):
    kind = Type[name]
    size = GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (2, size), dtype=np.uint8)
    for at in halves[name]:
        blocks[:, at:at + 2] = (rng.standard_normal(2) * 0.05).astype(np.float16).view(np.uint8).reshape(2, 2)
    return {"blocks": blocks.tobytes().hex(), "values": dequantize(blocks, kind).astype(np.float32).tobytes().hex()}


print(json.dumps({name: golden(name) for name in halves}, indent=2))
