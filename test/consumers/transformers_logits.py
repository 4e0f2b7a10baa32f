"""Writes the logits of each folder of a list for its tokens: jobs.json holds [{"folder", "tokens", "out"}]; out is float32 [T, V]."""
import json
import sys

import torch
import transformers

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
for job in json.load(open(sys.argv[1])):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        job["folder"], dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[what]:
            sys.exit(f"{job['folder']}: {what}: {sorted(info[what])[:3]}")
    with torch.no_grad():
        logits = model(torch.tensor([job["tokens"]])).logits[0]
    logits.float().numpy().tofile(job["out"])
print(transformers.__version__)
