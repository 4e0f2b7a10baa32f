import { shownValue } from '../../engine/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type { Conventions } from '../description.js';

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

/**
 * How many keys a query sees in each layer, undefined being all, where those slide that `layer_types` names, or else
 * `slides`; and these kinds, to be written out.
 */
export function slidingWindows(
  read: ConfigReader,
  config: ModelConfig,
  slides: (layer: number) => boolean,
): { readonly windows: readonly (number | undefined)[]; readonly layerKeys: Conventions['layerKeys'] } {
  const sliding = slidingLayers(read, config, slides);
  return {
    windows: sliding.map((one) => (one ? config.slidingWindow : undefined)),
    layerKeys: config.slidingWindow === undefined ? {} : layerTypes(sliding),
  };
}

/** The same where all layers slide unless `layer_types` says otherwise. */
export const layerWindows = (read: ConfigReader, config: ModelConfig): readonly (number | undefined)[] =>
  slidingWindows(read, config, () => true).windows;

/** Qwen's: a number in `sliding_window` means nothing without the switch. */
export const switchedWindow = (read: ConfigReader): Pick<Partial<ModelConfig>, 'slidingWindow'> =>
  read.flag('use_sliding_window') ? {} : { slidingWindow: undefined };
