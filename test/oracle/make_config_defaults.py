#!/usr/bin/env python3
"""Makes test/fixtures/config_defaults.json: what transformers' config classes mean by keys that a config.json leaves out.

{model type: {key: value}} of every causal language model that transformers has a config class for, with the fields that
each class declares itself, null where the default is None. `rope_theta` is the class's base of the rotary angles.

usage: make_config_defaults.py [OUT_FILE]      (default: that of this checkout), with transformers 5.18
"""

import dataclasses
import json
import sys
from pathlib import Path

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TYPES = """
deepseek_v2 deepseek_v3 gemma gemma2 gemma3_text glm4 granite granitemoe llama mistral mixtral olmo2 olmoe phi3 qwen2
qwen2_moe qwen3 qwen3_moe smollm3
""".split()


def plain(value):
    return value is None or isinstance(value, (bool, int, float, str)) or (isinstance(value, list) and len(value) < 9)


def defaults(config_class):
    """Of the fields that the class declares, without those of all configs."""
    bases = [base for base in config_class.__mro__ if issubclass(base, PreTrainedConfig) and base is not PreTrainedConfig]
    own = {name for base in bases for name in vars(base).get("__annotations__", {})}
    found = {}
    for field in dataclasses.fields(config_class):
        value = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        if field.name in own and plain(value):
            found[field.name] = value
    theta = config_class.default_theta
    if isinstance(theta, dict):  # Gemma 3: layers that see all, and those of a window
        return {**found, "rope_theta": theta["global"], "rope_local_base_freq": theta["local"]}
    return {**found, "rope_theta": theta}


here = Path(__file__).resolve().parent
out = Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "fixtures" / "config_defaults.json"
table = {name: dict(sorted(defaults(CONFIG_MAPPING[name]).items())) for name in TYPES}
out.write_text("{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in table.items()) + "\n}\n")
