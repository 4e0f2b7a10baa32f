"""GPTQ of llm-drop against a NumPy float64 implementation of the same algorithm, on 20 projections of a real model.

    python test/oracle/check_gptq.py MODEL CALIBRATION [LAYERS] [GROUP_SIZE]

The algorithm is written here from Frantar et al., 2022, column by column, with the inverse and its Cholesky factor taken as
the paper has them; grids are those of the weights as they were, columns go by descending diagonal, damping 0.01. What is
compared is tr(D G D^T), the squared error of the outputs: rounding a tie the other way changes integers, but hardly it.
Needs a build of llm-drop, and NumPy. Fails where one is off by more than 1 %.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def read_safetensors(path):
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    kinds = {"F32": np.float32, "F64": np.float64}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def symmetric_scales(weight, group_size):
    """max |w| / 7.5 of each group, as the least float16 that is not below it; a column for each column of the weight."""
    rows, width = weight.shape
    columns = []
    for start in range(0, width, group_size):
        needed = np.abs(weight[:, start : start + group_size]).max(axis=1) / 7.5
        half = needed.astype(np.float16)
        below = half.astype(np.float64) < needed
        half[below] = np.nextafter(half[below], np.float16(np.inf))
        columns += [half.astype(np.float64)] * min(group_size, width - start)
    return np.stack(columns, axis=1)


def nearest(values, scales):
    safe = np.where(scales == 0, 1, scales)
    q = np.clip(np.floor(values / safe + 0.5), -8, 7)
    return np.where(scales == 0, 0, q * scales)


def gptq(weight, gram, scales, damping=0.01):
    width = gram.shape[0]
    hessian = gram.copy()
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = np.diag(gram).mean()
    hessian += damping * np.diag(hessian).mean() * np.eye(width)
    order = np.argsort(-np.diag(gram), kind="stable")
    hessian = hessian[np.ix_(order, order)]
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    left = weight[:, order].copy()
    steps = scales[:, order]
    rounded = np.empty_like(left)
    for i in range(width):
        rounded[:, i] = nearest(left[:, i], steps[:, i])
        error = (left[:, i] - rounded[:, i]) / upper[i, i]
        left[:, i:] -= np.outer(error, upper[i, i:])
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result


def output_error(difference, gram):
    return float(np.sum((difference @ gram) * difference))


def main():
    model, calibration, *rest = sys.argv[1:]
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/layers.safetensors"
        subprocess.run(["node", str(here / "gptq_layers.mjs"), model, calibration, file, *rest], check=True)
        tensors, metadata = read_safetensors(file)
    group_size = int(metadata["group_size"])
    names = [name.removesuffix(":weight") for name in tensors if name.endswith(":weight")]
    worst = 0.0
    print("ours / NumPy  NumPy / rounded to nearest  equal weights  tensor")
    for name in sorted(names):
        weight = tensors[f"{name}:weight"].astype(np.float64)
        gram = tensors[f"{name}:gram"]
        ours = tensors[f"{name}:rounded"].astype(np.float64)
        scales = symmetric_scales(weight, group_size)
        theirs = gptq(weight, gram, scales)
        errors = [output_error(values - weight, gram) for values in (ours, theirs, nearest(weight, scales))]
        ratio = errors[0] / errors[1]
        worst = max(worst, abs(ratio - 1))
        print(f"{ratio:12.6f}  {errors[1] / errors[2]:26.4f}  {np.mean(ours == theirs):13.6f}  {name}")
    print(f"{len(names)} projections, off by at most {100 * worst:.4f} %")
    sys.exit(worst > 0.01)


main()
