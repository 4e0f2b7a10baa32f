import { UserError } from '../engine/index.js';
import {
  allWeights,
  holdsWeight,
  isDropped,
  recordedDrops,
  tensorName,
  type Drops,
  type ModelConfig,
  type OpenedModel,
} from '../models/index.js';

/** A dropped model, and the whole one that its refit aims at, with the folders as they were named. */
export interface RefitPair {
  readonly dropped: OpenedModel;
  readonly base: OpenedModel;
  readonly folder: string;
  /** undefined where the whole model's weights lie in the dropped one's folder. */
  readonly baseFolder?: string;
}

/** Fails before any work if nothing was dropped, or if the two models do not belong together. */
export function checkPair({ dropped, base, folder, baseFolder }: RefitPair): void {
  const drops = recordedDrops(dropped.config);
  const count = drops.attention.length + drops.mlp.length;
  if (count === 0)
    throw new UserError(`${folder} has dropped nothing, so there is nothing to give back`, {
      hint: 'llm-drop drop writes a model without some modules, and refits it with --compensate',
    });
  if (baseFolder === undefined) {
    const missing = missingTensor(dropped, drops);
    if (missing !== undefined)
      throw new UserError(`${folder} does not hold ${missing}, which was dropped: a refit aims at what it did`, {
        hint: 'name the whole model with `base`',
      });
    return;
  }
  const differs = differences(dropped.config, base.config);
  if (differs.length)
    throw new UserError(`${folder} did not come from ${baseFolder}: they differ in ${differs.join(', ')}`);
  const { dropAttention, dropMlp } = base.config;
  if (dropAttention.some((i) => !drops.attention.includes(i)) || dropMlp.some((i) => !drops.mlp.includes(i)))
    throw new UserError(`${baseFolder} has dropped modules that ${folder} has not`);
}

function missingTensor({ description, source }: OpenedModel, drops: Drops): string | undefined {
  const lost = allWeights(description).find((weight) => isDropped(drops, weight) && !holdsWeight(source, weight));
  return lost && tensorName(lost);
}

/** Fields of a config that change neither shapes nor arithmetic. */
const incidental = ['dropAttention', 'dropMlp', 'dtype', 'bosTokenId', 'eosTokenIds', 'maxPositionEmbeddings'];

const differences = (a: ModelConfig, b: ModelConfig): string[] =>
  (Object.keys({ ...a, ...b }) as (keyof ModelConfig)[]).filter(
    (key) => !incidental.includes(key) && JSON.stringify(a[key]) !== JSON.stringify(b[key]),
  );
