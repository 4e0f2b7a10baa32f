"""Reads quantized folders as other programs do: jobs.json holds [{"folder", "values", "tokens", "out"}].

`values` is a safetensors file of the weights that llm-drop says the folder stands for, which must be equal, bit for bit:
compressed-tensors by the package of that name, AWQ and GPTQ by the two readers below, which follow the formats'
descriptions. Then transformers computes float32 logits [T, V], written to `out`: of compressed-tensors by loading the
folder as it is, else, and of mixtures of experts, from the decoded weights.
"""
import json
import os
import sys
import tempfile

import compressed_tensors
import torch
import transformers
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file, save_file

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
SHIFTS = torch.arange(0, 32, 4, dtype=torch.int32)


def nibbles(words):
    """int32 [a, b] -> [a, b, 8]"""
    return (words[..., None] >> SHIFTS) & 15


def dequantized(q, zeros, scales, groups):
    """q [in, out], zeros and scales [groups, out] -> [out, in]"""
    return ((q - zeros[groups]).float() * scales.float()[groups]).T.contiguous()


def awq(parts, config):
    q, zeros = (nibbles(parts[name])[..., torch.argsort(torch.tensor(AWQ_ORDER))].flatten(1) for name in ("qweight", "qzeros"))
    size = q.shape[0] if config["group_size"] == -1 else config["group_size"]
    return dequantized(q, zeros, parts["scales"], torch.arange(q.shape[0]) // size)


def gptq(parts, config):
    q = nibbles(parts["qweight"]).transpose(1, 2).flatten(0, 1)
    zeros = nibbles(parts["qzeros"]).flatten(1) + (1 if config["checkpoint_format"] == "gptq" else 0)
    return dequantized(q, zeros, parts["scales"], parts["g_idx"].long())


def packed(parts, config):
    scheme = QuantizationScheme(**config["config_groups"]["group_0"])
    state = {f"weight_{name}": tensor for name, tensor in parts.items()}
    # The package multiplies in the type of the scale.
    state["weight_scale"] = state["weight_scale"].float()
    return PackedQuantizationCompressor.decompress(state, scheme)["weight"]


READERS = {
    "awq": (awq, ".qweight", ("qweight", "qzeros", "scales")),
    "gptq": (gptq, ".qweight", ("qweight", "qzeros", "scales", "g_idx")),
    "compressed-tensors": (packed, ".weight_packed", ("packed", "scale", "shape", "zero_point")),
}


def decoded(folder, config):
    """All tensors of a folder as floats, and the names of those that were integers."""
    read, mark, ends = READERS[config["quant_method"]]
    stored = load_file(os.path.join(folder, "model.safetensors"))
    modules = [name[: -len(mark)] for name in stored if name.endswith(mark)]
    result, used = {}, set()
    for module in modules:
        names = {end: f"{module}.{'weight_' if mark == '.weight_packed' else ''}{end}" for end in ends}
        used.update(names.values())
        result[f"{module}.weight"] = read({end: stored[name] for end, name in names.items() if name in stored}, config)
    return {**result, **{name: tensor for name, tensor in stored.items() if name not in used}}, list(result)


def logits(folder, tokens):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[what]:
            sys.exit(f"{folder}: {what}: {sorted(info[what])[:3]}")
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float()


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    weights = 0
    for job in json.load(open(sys.argv[1])):
        folder = job["folder"]
        config = json.load(open(os.path.join(folder, "config.json")))
        quantization = config.pop("quantization_config")
        tensors, quantized = decoded(folder, quantization)
        expected = load_file(job["values"])
        if sorted(expected) != sorted(quantized):
            sys.exit(f"{folder}: {len(quantized)} weights are integers, expected {len(expected)}")
        for name in quantized:
            if not torch.equal(tensors[name], expected[name]):
                sys.exit(f"{folder}: {name} is decoded to other values")
        weights += len(quantized)
        if quantization["quant_method"] == "compressed-tensors" and config["model_type"] != "mixtral":
            found = logits(folder, job["tokens"])
        else:
            with tempfile.TemporaryDirectory() as plain:
                save_file(tensors, os.path.join(plain, "model.safetensors"), metadata={"format": "pt"})
                json.dump(config, open(os.path.join(plain, "config.json"), "w"))
                found = logits(plain, job["tokens"])
        found.numpy().tofile(job["out"])
    print(f"transformers {transformers.__version__}, compressed-tensors {compressed_tensors.__version__}: {weights} weights equal")


if __name__ == "__main__":
    main()
