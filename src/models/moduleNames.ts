import { allWeights, type ModelDescription } from './description.js';
import { isLinear, ownNames, tensorNames } from './weights.js';

/** How formats of linear layers name a model's modules. */
export interface ModuleNames {
  /** The output projection, also where it is the embedding. */
  readonly head: string;
  /** The module of a tensor: all but the last part of its name. */
  of(tensor: string): string;
  /** A module's name without the number of its layer. */
  short(module: string): string;
}

export function moduleNames(description: ModelDescription): ModuleNames {
  const of = (tensor: string): string => tensor.slice(0, tensor.lastIndexOf('.'));
  const short = new Map<string, string>();
  for (const weight of allWeights(description).filter(isLinear)) {
    if (weight.layer === undefined) continue;
    const behindLayer = weight.names.hf.indexOf('*') + `${weight.layer}.`.length;
    for (const name of [...tensorNames(weight), ...ownNames(weight)]) short.set(of(name), of(name.slice(behindLayer)));
  }
  return { head: description.conventions.head, of, short: (module) => short.get(module) ?? module };
}
