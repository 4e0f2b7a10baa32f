/** What keys mean that a config leaves out: each family's table beside the config class that transformers has for it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/checkpoint/index.js';
import { ConfigReader } from '../../../src/models/configReader.js';
import { families } from '../../../src/models/families/index.js';
import { describeModel } from '../../../src/models/index.js';

/** By test/oracle/make_config_defaults.py. */
const classes = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/config_defaults.json', import.meta.url)), 'utf8'),
) as Record<string, JsonObject>;

/** Types that transformers has no class for: their tables are of the code that their authors publish. */
const foreign: readonly string[] = ['baichuan', 'deepseek'];

/** The tokenizer knows them. */
const tokenIds = ['bos_token_id', 'eos_token_id'];

describe.each(families.flatMap((family) => family.types.map((type) => ({ type, family }))))('$type', (o) => {
  const { type, family } = o;
  const read = new ConfigReader({ model_type: type }, 'config.json', undefined, family.defaults);
  family.describe(read);

  it('of no other key is described by its defaults alone, each of which is asked for', () =>
    expect(Object.keys(family.defaults).filter((key) => !read.asked.has(key))).toEqual([]));

  it.skipIf(foreign.includes(type))("means by absent keys what transformers' class means", () => {
    const theirs = classes[type];
    // What is null or false there is so here without being said.
    const said = [...read.asked].filter(
      (key) => !tokenIds.includes(key) && ![undefined, null, false].includes(theirs[key] as null),
    );
    const wanted = Object.fromEntries(said.map((key) => [key, theirs[key]]));
    expect(family.defaults).toEqual(wanted);
  });
});

describe('a config that leaves keys out', () => {
  const sizes = {
    ...{ vocab_size: 64, hidden_size: 64, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 8 },
  };
  const described = (config: JsonObject): unknown => describeModel({ ...sizes, ...config }, 'config.json').layers;

  it.each<[string, JsonObject]>([
    ['llama', { num_key_value_heads: 8, rms_norm_eps: 1e-6, rope_theta: 1e4, sliding_window: null }],
    ['mistral', { num_key_value_heads: 8, rms_norm_eps: 1e-6, rope_theta: 1e4, sliding_window: 4096 }],
    [
      'mixtral',
      {
        ...{ num_key_value_heads: 8, rms_norm_eps: 1e-5, rope_theta: 1e6, sliding_window: null },
        ...{ num_local_experts: 8, num_experts_per_tok: 2 },
      },
    ],
    ['qwen3', { num_key_value_heads: 32, num_attention_heads: 32, head_dim: 128, rms_norm_eps: 1e-6, rope_theta: 1e4 }],
  ])('as a %s is the one that says %j', (type, keys) => {
    const own = type === 'qwen3' ? { num_attention_heads: 32 } : {};
    expect(described({ model_type: type, ...own })).toEqual(described({ model_type: type, ...keys }));
  });

  it('has no value for a key that is null, whatever the default is', () => {
    const windows = (keys: JsonObject): unknown[] =>
      describeModel({ ...sizes, model_type: 'mistral', ...keys }, 'x').layers.map(({ attention }) => attention.window);
    expect(windows({ sliding_window: null })).toEqual([undefined, undefined]);
    expect(windows({})).toEqual([4096, 4096]);
    // As many key-value heads as heads, not eight.
    expect(
      describeModel({ ...sizes, num_attention_heads: 4, model_type: 'mistral', num_key_value_heads: null }, 'x'),
    ).toMatchObject({ config: { numKeyValueHeads: 4 } });
  });

  it('of a llama that has a window is noted, and has none: its class knows no such key', () => {
    const { layers, notes } = describeModel({ ...sizes, model_type: 'llama', sliding_window: 8 }, 'x');
    expect(layers[0].attention.window).toBeUndefined();
    expect(notes).toEqual(['sliding_window of config.json is not used: a llama has no window']);
  });

  it('is told which of them do not fit it', () =>
    expect(() => described({ model_type: 'mistral', num_attention_heads: 4 })).toThrow(
      /4 does not divide by num_key_value_heads 8 \(num_key_value_heads is absent, so it is this model type's default\)$/,
    ));
});
