import {
  SourceView,
  derived,
  quantizationKeys,
  rowsOf,
  widthOf,
  withoutKeys,
  type ModelSource,
} from '../checkpoint/index.js';
import { decodeFloats, type WeightSource } from '../engine/index.js';
import { allWeights, type ModelDescription } from './description.js';
import { describeModel } from './families/index.js';
import type { Held } from './held.js';
import { fusedNames, tensorName, tensorNames } from './weights.js';

/** A source as its description has it, and what was done for that. */
export interface Canonical {
  readonly source: ModelSource;
  readonly notes: readonly string[];
}

/**
 * A source under the names of its description, by a config that says what the file holds:
 * - checkpoints of base models lack the first part of their names, `model.`;
 * - where head and embedding are tied, the file may hold either, and a head of its own that differs is used;
 * - a quantization config beside floats is left over.
 */
export async function canonicalSource(
  given: ModelSource,
  description: ModelDescription,
  { where, held }: { where: string; held: Held },
): Promise<Canonical> {
  const notes: string[] = [];
  let source = given;
  const leftOver = Object.keys(quantizationKeys).filter((key) => key in source.config);
  if (leftOver.length && !source.quantization)
    source = new SourceView(source, { config: withoutKeys(source.config, leftOver) });
  const prefix = missingPrefix(source, description);
  if (prefix) {
    notes.push(`the names of the tensors lack ${prefix}: it is a base model's checkpoint`);
    source = withPrefix(source, description, prefix);
  }
  if (description.head.weight) return { source, notes };
  const untied = derived({ ...source.config, tie_word_embeddings: false }, source.config);
  const head = tensorName(describeModel(untied, where, held).head.weight!);
  const embedding = tensorName(description.embedding.weight);
  if (!source.has(head)) return { source, notes };
  if (!source.has(embedding)) return { source: new SourceView(source, { names: new Map([[embedding, head]]) }), notes };
  if (await areEqual(source, head, embedding)) {
    notes.push(`${head} is the embedding again, so it is left out`);
    return { source: new SourceView(source, { without: new Set([head]) }), notes };
  }
  notes.push(`${head} is used, which differs from the embedding, though the config says that they are tied`);
  return { source: new SourceView(source, { config: untied }), notes };
}

/** The first part of all names but the head's, where the tensors of the file do without. */
function missingPrefix(source: ModelSource, description: ModelDescription): string | undefined {
  const names = allWeights(description)
    .filter(({ role }) => role !== 'head')
    .map((weight) => tensorName(weight));
  const prefix = /^[^.]+\./.exec(names[0])?.[0];
  if (!prefix || names.some((name) => !name.startsWith(prefix))) return undefined;
  if (source.tensorNames().some((name) => name.startsWith(prefix))) return undefined;
  return names.some((name) => source.has(name.slice(prefix.length))) ? prefix : undefined;
}

function withPrefix(source: ModelSource, description: ModelDescription, prefix: string): ModelSource {
  const ours = new Set(allWeights(description).flatMap((weight) => [...tensorNames(weight), ...fusedNames(weight)]));
  const theirs = source.tensorNames().filter((name) => ours.has(`${prefix}${name}`));
  return new SourceView(source, { names: new Map(theirs.map((name) => [`${prefix}${name}`, name])) });
}

/** Values that are compared at a time. */
const chunk = 1 << 20;

/** Whether two matrices of floats have the same values; those of integers are taken to differ. */
async function areEqual(source: ModelSource, one: string, other: string): Promise<boolean> {
  if (source.info(one).shape.join() !== source.info(other).shape.join()) return false;
  if (source.int4(one) || source.int4(other)) return false;
  const [a, b] = [source.source(one), source.source(other)];
  const step = Math.max(1, Math.floor(chunk / widthOf(a)));
  for (let row = 0; row < rowsOf(a); row += step) {
    const end = Math.min(rowsOf(a), row + step);
    const values = await readFloats(a, row, end);
    const others = await readFloats(b, row, end);
    if (values.some((value, i) => !Object.is(value, others[i]) && value !== others[i])) return false;
  }
  return true;
}

/** Rows that stay when others of the source are read. */
const readFloats = async (source: WeightSource, start: number, end: number): Promise<Float32Array> =>
  decodeFloats((await source.readRows(start, end)).slice(), source.dtype);
