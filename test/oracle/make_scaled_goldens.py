"""Small weights of 8 bits with scales, as their own programs store and decode them: test/fixtures/scaled/goldens.json.

usage: python make_scaled_goldens.py > test/fixtures/scaled/goldens.json
                                      (needs torch, compressed-tensors 0.20, transformers 5.18)

A case gives the quantization_config, the tensors of one weight as they lie in a file (dtype, shape, and the data in
hexadecimal, little-endian), and the weight that the program decodes, in bfloat16.
"""
import json
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

NAMES = {
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
}
torch.manual_seed(11)


def stored(tensor):
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data": raw.hex()}


def blocks(weight, rows, columns, of):
    """`of` each block of a weight, as a grid."""
    return torch.stack([torch.stack([of(part) for part in band.split(columns, 1)]) for band in weight.split(rows, 0)])


def compressed(name, kind, weight, format, **scheme):
    args = QuantizationArgs(num_bits=8, type=kind, **scheme)
    strategy = scheme["strategy"]
    rows, columns = weight.shape
    sizes = {"tensor": (rows, columns), "channel": (1, columns), "group": (1, scheme.get("group_size", 0))}
    size = scheme.get("block_structure") or sizes[strategy]
    low, high = (blocks(weight, *size, of) for of in (torch.min, torch.max))
    scale, zero = calculate_qparams(low, high, args)
    if strategy == "tensor":
        scale, zero = scale.reshape(1), zero.reshape(1)
    state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
    whole = QuantizationScheme(targets=["Linear"], weights=args)
    compressor = BaseCompressor.get_value_from_registry(format)
    tensors = compressor.compress(state, whole)
    floats = compressor.decompress(tensors, whole)["weight"]
    weights = {"num_bits": 8, "type": kind, "symmetric": True, **scheme}
    config = {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}
    return case(name, config, tensors, floats)


def deepseek(name, weight, block):
    scale = blocks(weight.float(), *block, lambda part: part.abs().max() / 448).float()
    spread = scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    tensors = {"weight": (weight.float() / spread).to(torch.float8_e4m3fn), "weight_scale_inv": scale}
    floats = Fp8Dequantize(None)._dequantize_one(tensors["weight"], scale, torch.bfloat16)
    config = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": block}
    return case(name, config, tensors, floats)


def case(name, config, tensors, floats):
    return {"name": name, "config": config, "tensors": {k: stored(v) for k, v in tensors.items()},
            "floats": stored(floats.to(torch.bfloat16))}


def weight(rows, columns):
    return (torch.randn(rows, columns) * torch.linspace(0.2, 2, rows)[:, None]).to(torch.bfloat16)


cases = [
    deepseek("float8 in blocks, as DeepSeek has them", weight(8, 32), [4, 16]),
    compressed("float8, a scale for each row", "float", weight(6, 20), "float-quantized", strategy="channel"),
    compressed("float8, one scale", "float", weight(6, 20), "float-quantized", strategy="tensor"),
    compressed("float8 in blocks, the last ones smaller", "float", weight(6, 20), "float-quantized",
               strategy="block", block_structure=[4, 8]),
    compressed("int8, a scale for each row", "int", weight(6, 20), "int-quantized", strategy="channel"),
    compressed("int8 with zero points", "int", weight(6, 20) + 0.5, "int-quantized", strategy="channel", symmetric=False),
    compressed("int8 in groups", "int", weight(6, 32), "naive-quantized", strategy="group", group_size=8),
]
json.dump({"cases": cases}, sys.stdout, indent=1)
print()
