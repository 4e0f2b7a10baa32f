"""Scoring attention, MLP and all windows of blocks with PyTorch: scoring_torch.py '{"folder", "threads", "rows": FILE, "how"}'

how: "passes", LLM-Drop's algorithm, a pass over the hidden states for each target; "hooked", all in one pass.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
import transformers

given = json.loads(sys.argv[1])
torch.set_num_threads(given["threads"])
model = transformers.AutoModelForCausalLM.from_pretrained(given["folder"], dtype=torch.float32, attn_implementation="sdpa")
decoder = model.eval().model
layers = decoder.layers
with open(given["rows"]) as file:
    rows = torch.tensor(json.load(file))


def first(output):
    return output[0] if isinstance(output, tuple) else output


def similarity(a, b):
    return F.cosine_similarity(a, b, dim=-1).mean().item()


# LLM-Drop: get_layer_similarities and get_block_similarities_consecutive. The layers run one by one over all rows on
# cached hidden states; hooks copy what a target needs, and a similarity is computed over the tokens of all rows.


class Caught(Exception):
    pass


def calibration_input():
    """What enters the first layer, by row."""
    inputs = []

    def catch(_, args, kwargs):
        inputs.append((args[0], kwargs))
        raise Caught

    handle = layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for row in rows:
        try:
            decoder(row[None], use_cache=False)
        except Caught:
            pass
    handle.remove()
    return [hidden for hidden, _ in inputs], [kwargs for _, kwargs in inputs]


def recorder(into, which):
    def record(_, args, output):
        into.append((args[0] if which == "input" else first(output)).squeeze(0).clone())

    return record


def run_layer(layer, inputs, kwargs, hooks):
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    outputs = [first(layer(hidden, **more)) for hidden, more in zip(inputs, kwargs)]
    for handle in handles:
        handle.remove()
    return outputs


def layer_similarities(norm_of, module_of):
    hidden, kwargs = calibration_input()
    similarities = []
    for layer in layers:
        inputs, outputs = [], []
        hooks = [(norm_of(layer), recorder(inputs, "input")), (module_of(layer), recorder(outputs, "output"))]
        hidden = run_layer(layer, hidden, kwargs, hooks)
        before, delta = torch.cat(inputs), torch.cat(outputs)
        similarities.append(similarity(before, before + delta))
    return similarities


def window_similarities():
    hidden, kwargs = calibration_input()
    recorded = [[] for _ in range(len(layers) + 1)]
    for i, layer in enumerate(layers):
        hooks = [(layer, recorder(recorded[i], "input"))]
        if i == len(layers) - 1:
            hooks.append((layer, recorder(recorded[i + 1], "output")))
        hidden = run_layer(layer, hidden, kwargs, hooks)
    streams = [torch.cat(states) for states in recorded]
    return [[similarity(a, b) for b in streams[i + 1 :]] for i, a in enumerate(streams[:-1])]


def passes():
    return {
        "attention": layer_similarities(lambda layer: layer.input_layernorm, lambda layer: layer.self_attn),
        "mlp": layer_similarities(lambda layer: layer.post_attention_layernorm, lambda layer: layer.mlp),
        "windows": window_similarities(),
    }


# One pass: hooks see each row's residual streams, from which everything follows. With unit vectors u of each token, the
# mean cosine of two streams is the product of all their u, so a matrix product gives all windows of a row at once.


def hooked():
    count = len(layers)
    similarities = {"attention": [0.0] * count, "mlp": [0.0] * count}
    windows = torch.zeros(count + 1, count + 1, dtype=torch.float64)
    entering, middle = [], []
    handles = [layer.input_layernorm.register_forward_pre_hook(lambda _, args: entering.append(args[0][0])) for layer in layers]
    handles += [layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: middle.append(args[0][0])) for layer in layers]
    handles.append(decoder.norm.register_forward_pre_hook(lambda _, args: entering.append(args[0][0])))
    for row in rows:
        entering.clear()
        middle.clear()
        decoder(row[None], use_cache=False)
        for i in range(count):
            similarities["attention"][i] += similarity(entering[i], middle[i]) / len(rows)
            similarities["mlp"][i] += similarity(middle[i], entering[i + 1]) / len(rows)
        units = F.normalize(torch.stack(entering), dim=-1).flatten(1)
        windows += (units @ units.T).double() / (len(rows) * row.numel())
    for handle in handles:
        handle.remove()
    return {**similarities, "windows": [windows[i, i + 1 :].tolist() for i in range(count)]}


@torch.inference_mode()
def score():
    start = time.perf_counter()
    similarities = {"passes": passes, "hooked": hooked}[given["how"]]()
    return {"rate": rows.numel() / (time.perf_counter() - start), "similarities": similarities}


def say(answer):
    print(json.dumps(answer), flush=True)


facts = {"name": given["how"], "torch": torch.__version__, "transformers": transformers.__version__}
say({**facts, "threads": torch.get_num_threads(), "dtype": "float32", "attention": "sdpa"})
for line in sys.stdin:
    if line.strip() == "quit":
        break
    say(score())
