"""A tiny Llama, LoRA adapters for it as PEFT saves them, and its logits with each of them merged: test/fixtures/adapters.

usage: python make_adapter_goldens.py test/fixtures/adapters      (needs torch, transformers 5.18, peft 0.21)
"""
import json
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

out = sys.argv[1]
torch.manual_seed(3)
config = LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=32, tie_word_embeddings=False, attention_bias=True,
)
base = LlamaForCausalLM(config)
for weight in base.parameters():
    weight.data.normal_(0, 0.4)
base.save_pretrained(f"{out}/base")

tokens = [1, 5, 2, 7, 3, 9, 4, 6]
usual = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 16}
patterns = {"rank_pattern": {"q_proj": 2, "model.layers.1.mlp.up_proj": 8}, "alpha_pattern": {"^model.layers.0.self_attn.v_proj": 3}}
adapters = {
    "rslora": {"use_rslora": True, "target_modules": "all-linear"},
    "patterns": {**patterns, "target_modules": ["q_proj", "v_proj", "up_proj"]},
    "dora": {"use_dora": True, "target_modules": ["q_proj", "up_proj", "o_proj"]},
    "whole": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "bias": "lora_only", "init_lora_weights": "gaussian"},
}
logits = {}
for name, keys in adapters.items():
    model = get_peft_model(LlamaForCausalLM.from_pretrained(f"{out}/base"), LoraConfig(**usual, **keys))
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.add_(0.2 * torch.randn_like(weight))
    model.eval().save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")
    with torch.no_grad():
        logits[name] = model.merge_and_unload()(torch.tensor([tokens])).logits[0].flatten().tolist()
with open(f"{out}/logits.json", "w") as file:
    json.dump({"tokens": tokens, "logits": {name: [round(x, 6) for x in values] for name, values in logits.items()}}, file)
    file.write("\n")
