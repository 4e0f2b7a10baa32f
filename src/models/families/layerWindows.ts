import { shownValue } from '../../checkpoint/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';

/** How many keys a query sees in each layer, by `layer_types` where the config has it; undefined is all. */
export function layerWindows(
  read: ConfigReader,
  { numHiddenLayers, slidingWindow }: ModelConfig,
): (number | undefined)[] {
  const types = read.value('layer_types');
  if (types === undefined) return Array.from({ length: numHiddenLayers }, () => slidingWindow);
  if (!Array.isArray(types) || types.length !== numHiddenLayers)
    read.fail(`layer_types must name the kind of each of the ${numHiddenLayers} layers, found ${shownValue(types)}`);
  return types.map((type: unknown, layer) => {
    if (type === 'full_attention') return undefined;
    if (type === 'sliding_attention') return slidingWindow;
    return read.fail(
      `layer_types names ${shownValue(type)} for layer ${layer}`,
      'full_attention and sliding_attention are known',
    );
  });
}
