import { readConfig } from '../config.js';
import type { Family } from './family.js';
import { layerWindows } from './layerWindows.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Qwen3 (Qwen Team, 2025): a Llama whose queries and keys are normed head by head before they turn. */
export const qwen3: Family = {
  types: ['qwen3'],
  varies: ['attentionBias'],
  gguf: { architectures: ['qwen3'] },
  describe: (read) => {
    // A number in `sliding_window` means nothing without the switch; with it, layers from `max_window_layers` on slide.
    const [slides, first] = [read.flag('use_sliding_window'), read.number('max_window_layers', 28)];
    const config = readConfig(read, {
      headDim: read.count('head_dim', 128),
      ...(slides ? {} : { slidingWindow: undefined }),
    });
    const activation = readActivation(read);
    const named = read.value('layer_types') !== undefined;
    return {
      config,
      ...vocabulary(config),
      layers: layerWindows(read, config).map((window, layer) => ({
        attention: groupedAttention(config, layer, {
          window: named || layer >= first ? window : undefined,
          queryKeyNorm: 'head',
        }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture: 'Qwen3ForCausalLM',
        head: 'lm_head',
        gguf: { architecture: 'qwen3', rotaryPairs: false },
      },
    };
  },
};
