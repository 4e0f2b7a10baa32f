import { shownValue } from '../../checkpoint/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';

const kinds = { full: 'full_attention', sliding: 'sliding_attention' };

/** Whether each layer has a window by `layer_types`; where the config lacks it, by `slides`. */
export function slidingLayers(
  read: ConfigReader,
  { numHiddenLayers }: Pick<ModelConfig, 'numHiddenLayers'>,
  slides: (layer: number) => boolean,
): boolean[] {
  const types = read.value('layer_types');
  if (types === undefined) return Array.from({ length: numHiddenLayers }, (_, layer) => slides(layer));
  if (!Array.isArray(types) || types.length !== numHiddenLayers)
    read.fail(`layer_types must name the kind of each of the ${numHiddenLayers} layers, found ${shownValue(types)}`);
  return types.map((type: unknown, layer) => {
    if (type !== kinds.full && type !== kinds.sliding)
      read.fail(
        `layer_types names ${shownValue(type)} for layer ${layer}`,
        'full_attention and sliding_attention are known',
      );
    return type === kinds.sliding;
  });
}

/** `layer_types` of layers, written out. */
export const layerTypes = (slides: readonly boolean[]): { readonly layer_types: readonly string[] } => ({
  layer_types: slides.map((one) => (one ? kinds.sliding : kinds.full)),
});

/** How many keys a query sees in each layer, by `layer_types` where the config has it; undefined is all. */
export const layerWindows = (read: ConfigReader, config: ModelConfig): (number | undefined)[] =>
  slidingLayers(read, config, () => true).map((slides) => (slides ? config.slidingWindow : undefined));

/** Qwen's: a number in `sliding_window` means nothing without the switch. */
export const switchedWindow = (read: ConfigReader): Pick<Partial<ModelConfig>, 'slidingWindow'> =>
  read.flag('use_sliding_window') ? {} : { slidingWindow: undefined };
