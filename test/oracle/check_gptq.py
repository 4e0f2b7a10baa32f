#!/usr/bin/env python3
"""GPTQ of llm-drop against a NumPy float64 implementation of the same algorithm, on projections of real models.

usage: check_gptq.py MODEL_DIR TEXT [--layers 20] [--group-size 64] [--asymmetric]     (llm-drop built)

The algorithm is written here from Frantar et al., 2022, column by column, with the inverse and its Cholesky factor taken
as the paper has them; grids are those of the weights as they were, columns go by descending diagonal, damping 0.01. The
Gram matrices G of the inputs are llm-drop's. What is compared is tr(D G D^T), the squared error of the outputs: rounding
a tie the other way changes integers, but hardly it. Fails where one is off by more than TOLERANCE, the NumPy one is no
better than rounding to nearest, or a projection is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LAYERS_TOOL = Path(__file__).with_name("gptq_layers.mjs")
TOLERANCE = 0.01
DAMPING = 0.01


def read_safetensors(path):
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "F64": np.float64}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def half_above(needed):
    """The least float16 that is not below."""
    half = needed.astype(np.float16)
    below = half.astype(np.float64) < needed
    half[below] = np.nextafter(half[below], np.float16(np.inf))
    return half.astype(np.float64)


def grid_of(weight, group_size, symmetric):
    """Scales, and integers that stand for 0, of each group of a row: a column for each column of the weight.

    Symmetric: max |w| / 7.5 and 8. Else (max - min) / 15 over the weights and 0, and the integer nearest to -min / scale.
    """
    width = weight.shape[1]
    group_size = width if group_size < 0 else group_size
    scales, zeros = np.empty_like(weight), np.full_like(weight, 8)
    for start in range(0, width, group_size):
        columns = slice(start, start + group_size)
        low = np.minimum(weight[:, columns].min(axis=1), 0)
        high = np.maximum(weight[:, columns].max(axis=1), 0)
        scale = half_above(np.maximum(-low, high) / 7.5 if symmetric else (high - low) / 15)
        scales[:, columns] = scale[:, None]
        if not symmetric:
            safe = np.where(scale == 0, 1, scale)
            zeros[:, columns] = np.minimum(np.floor(-low / safe + 0.5), 15)[:, None]
    return scales, zeros


def nearest(values, scales, zeros):
    q = np.clip(np.floor(values / np.where(scales == 0, 1, scales) + 0.5) + zeros, 0, 15)
    return scales * (q - zeros)


def gptq(weight, gram, scales, zeros):
    width = gram.shape[0]
    hessian = gram.copy()
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = np.diag(gram).mean()
    hessian += DAMPING * np.diag(hessian).mean() * np.eye(width)
    order = np.argsort(-np.diag(gram), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    left, steps, middles = weight[:, order], scales[:, order], zeros[:, order]
    rounded = np.empty_like(left)
    for i in range(width):
        rounded[:, i] = nearest(left[:, i], steps[:, i], middles[:, i])
        error = (left[:, i] - rounded[:, i]) / upper[i, i]
        left[:, i:] -= np.outer(error, upper[i, i:])
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result


def output_error(difference, gram):
    return float(np.sum((difference @ gram) * difference))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--asymmetric", action="store_true")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/layers.safetensors"
        grid = "asymmetric" if o.asymmetric else "symmetric"
        sizes = [str(o.layers), str(o.group_size)]
        subprocess.run(["node", str(LAYERS_TOOL), o.model, o.text, file, *sizes, grid], check=True)
        tensors = read_safetensors(file)
    names = sorted(name.removesuffix(":weight") for name in tensors if name.endswith(":weight"))
    ratios, gains = [], []
    print("ours / NumPy  NumPy / rounded to nearest  equal weights  tensor")
    for name in names:
        weight, gram, ours = (tensors[f"{name}:{part}"].astype(np.float64) for part in ("weight", "gram", "rounded"))
        grids = grid_of(weight, o.group_size, not o.asymmetric)
        theirs = gptq(weight, gram, *grids)
        errors = [output_error(values - weight, gram) for values in (ours, theirs, nearest(weight, *grids))]
        ratios.append(errors[0] / errors[1])
        gains.append(errors[1] / errors[2])
        print(f"{ratios[-1]:12.6f}  {gains[-1]:26.4f}  {np.mean(ours == theirs):13.6f}  {name}")
    off = np.abs(np.array(ratios) - 1)
    print(f"{Path(o.model).name}: {len(names)} projections, off by at most {100 * off.max():.4f} %")
    # Comparisons that are false for what is no number, too.
    sys.exit(not (len(names) == o.layers and np.all(off <= TOLERANCE) and np.all(np.array(gains) < 1)))


main()
