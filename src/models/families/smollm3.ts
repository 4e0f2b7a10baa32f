import { shownValue } from '../../engine/index.js';
import { readConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type { Family } from './family.js';
import { anyOf, unlikeUnbiased } from './ggufAssumptions.js';
import { slidingWindows, switchedWindow } from './layerWindows.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Which layers turn queries and keys: those whose number in `no_rope_layers` is not 0, or all but every fourth. */
function turningLayers(read: ConfigReader, count: number): boolean[] {
  const interval = read.count('no_rope_layer_interval');
  const list = read.value('no_rope_layers');
  if (list === undefined) return Array.from({ length: count }, (_, layer) => (layer + 1) % interval !== 0);
  if (!Array.isArray(list) || list.length !== count || !list.every((value) => value === 0 || value === 1))
    read.fail(`no_rope_layers must hold 0 or 1 for each of the ${count} layers, found ${shownValue(list)}`);
  return list.map((value) => value === 1);
}

const unlike = anyOf(
  (layers) =>
    layers.some(({ attention }, layer) => (attention.rope === undefined) !== ((layer + 1) % 4 === 0))
      ? 'that every fourth layer, and no other, knows no positions'
      : undefined,
  unlikeUnbiased,
);

/** SmolLM3 (Hugging Face, 2025): a Llama of which some layers know no positions. */
export const smollm3: Family = {
  types: ['smollm3'],
  defaults: {
    ...{ vocab_size: 128256, hidden_size: 2048, intermediate_size: 11008, num_hidden_layers: 36 },
    ...{ num_attention_heads: 16, num_key_value_heads: 4, max_position_embeddings: 32768 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 2e6, tie_word_embeddings: true },
    ...{ no_rope_layer_interval: 4 },
  },
  varies: ['attentionBias', 'mlpBias'],
  gguf: { architectures: ['smollm3'] },
  describe: (read) => {
    const config = readConfig(read, switchedWindow(read));
    const activation = readActivation(read);
    const turns = turningLayers(read, config.numHiddenLayers);
    const { windows, layerKeys } = slidingWindows(read, config, (layer) => !turns[layer]);
    return {
      config,
      ...vocabulary(config),
      layers: turns.map((turns, layer) => ({
        attention: groupedAttention(config, layer, { rope: turns ? config.rope : undefined, window: windows[layer] }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture: 'SmolLM3ForCausalLM',
        head: 'lm_head',
        gguf: {
          architecture: 'smollm3',
          rotaryPairs: true,
          unlike,
        },
        layerKeys: { no_rope_layers: turns.map(Number), ...layerKeys },
      },
    };
  },
};
