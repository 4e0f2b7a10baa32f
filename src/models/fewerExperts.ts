import { SourceView, derived, pickedSource, quantizationKeys, type ModelSource } from '../checkpoint/index.js';
import { UserError, type WeightSource } from '../engine/index.js';
import { expertCount, type MixtureDescription, type ModelDescription } from './description.js';
import { moduleNames } from './moduleNames.js';
import { examineSource, type OpenedModel } from './openModel.js';
import { fusedNames, tensorNames, theWeight, type WeightSpec } from './weights.js';

/** The experts of each layer that are dropped, by their numbers in it; null where it has none to drop. */
export type ExpertDrops = readonly (readonly number[] | null)[];

/**
 * A mixture without some of its experts, as many of each layer: those that stay move up, and the router has a row for each
 * of them, so that its softmax is over what is left. Nothing is copied, and the model as it was opened stays. UserError
 * where fewer are left than a token visits, and where a file's integers are of all experts at once.
 */
export async function fewerExperts({ source, description }: OpenedModel, dropped: ExpertDrops): Promise<OpenedModel> {
  const left = expertsLeft(description, dropped);
  refuseNamedExperts(source, description);
  const names = new Map<string, string>();
  const without = new Set<string>();
  const replaced = new Map<string, () => WeightSource>();
  for (const [layer, { mlp }] of description.layers.entries()) {
    if (mlp.kind !== 'mixture') continue;
    const gone = dropped[layer];
    const all = [...Array(mlp.experts).keys()];
    // Of a layer whose MLP is dropped, any will do.
    const stay = gone ? all.filter((expert) => !gone.includes(expert)) : all.slice(0, left);
    for (const weight of expertWeights(mlp)) {
      const own = tensorNames(weight);
      if (weight.use === 'experts' && source.has(own[0])) {
        own.forEach((name, expert) => stay.includes(expert) || without.add(name));
        stay.forEach((from, to) => from !== to && names.set(own[to], own[from]));
      } else
        for (const name of [...own, ...fusedNames(weight)].filter((one) => source.has(one))) {
          refusePacked(source, name);
          replaced.set(name, () => pickedSource(source.source(name), stay));
        }
    }
  }
  const config = derived({ ...source.config, [description.conventions.experts!]: left }, source.config);
  // First without those that go, so that their names are free.
  const staying = new SourceView(source, { without, replaced });
  return examineSource(new SourceView(staying, { names, config }));
}

/** What has a part for each expert. */
const expertWeights = ({ weights }: MixtureDescription): WeightSpec[] => [
  theWeight(weights, 'router'),
  ...weights.filter(({ use }) => use === 'experts'),
];

/** How many are left in each layer. UserError where that is not one number, or too few. */
function expertsLeft(description: ModelDescription, dropped: ExpertDrops): number {
  const experts = expertCount(description);
  if (experts === 0) throw new UserError(`a ${description.config.modelType} without mixtures has no experts to drop`);
  const counts = dropped.flatMap((gone, layer) => {
    if (!gone) return [];
    const bad = gone.find((expert) => !(Number.isInteger(expert) && expert >= 0 && expert < experts));
    if (bad !== undefined || description.layers[layer]?.mlp.kind !== 'mixture')
      throw new UserError(`layer ${layer} has no expert ${bad ?? gone[0]}`, { hint: 'experts count from 0' });
    return [new Set(gone).size];
  });
  const [count = 0] = counts;
  if (counts.some((other) => other !== count))
    throw new UserError(`${[...new Set(counts)].join(' and ')} experts of a layer are dropped`, {
      hint: 'a config has one number of experts for all layers: drop as many of each',
    });
  const left = experts - count;
  const topK = Math.max(...description.layers.map(({ mlp }) => (mlp.kind === 'mixture' ? mlp.topK : 1)));
  if (left < topK)
    throw new UserError(
      `without ${count} of ${experts} experts a layer has ${left}, but each token visits ${topK} of them`,
      { hint: `drop at most ${experts - topK}` },
    );
  return left;
}

/** Parts can be picked of floats alone. */
function refusePacked(source: ModelSource, name: string): void {
  if (source.int4(name))
    throw new UserError(`${source.folder}: ${name} holds the integers of all experts of a layer, which stay together`, {
      hint: 'drop experts of the model of floats that it was made from',
    });
}

/** A quantization that names single experts would name others once they have moved up. */
function refuseNamedExperts({ folder, config }: ModelSource, description: ModelDescription): void {
  const said = JSON.stringify(Object.keys(quantizationKeys).map((key) => config[key] ?? null)).replaceAll('\\', '');
  const modules = moduleNames(description);
  const stacks = description.layers.flatMap(({ mlp }) => mlp.weights.filter(({ use }) => use === 'experts'));
  const named = stacks
    .flatMap(tensorNames)
    .map((tensor) => modules.of(tensor))
    .find((name) => said.includes(`${name}"`) || said.includes(`${name}$`));
  if (named !== undefined)
    throw new UserError(
      `${folder}: its quantization config names the expert ${named}, which would be another one then`,
      {
        hint: 'drop experts of the model of floats that it was made from, and quantize that',
      },
    );
}
