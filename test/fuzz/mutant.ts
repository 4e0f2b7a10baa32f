import { mkdirSync, rmSync } from 'node:fs';
import { mutateFile } from './mutate/index.js';
import { Random } from './random.js';
import { writeFiles, type Files, type Target } from './target.js';
import { commandTargets } from './targets/commands.js';
import { ggufTargets } from './targets/gguf.js';
import { modelTargets } from './targets/models.js';
import { recordTargets } from './targets/records.js';
import { sweepTargets } from './targets/sweeps.js';
import { taskTargets } from './targets/tasks.js';
import { textTargets } from './targets/texts.js';
import { tokenizerTargets } from './targets/tokenizers.js';

export const targets: readonly Target[] = [
  ...[
    ...modelTargets,
    ...ggufTargets,
    ...tokenizerTargets,
    ...textTargets,
    ...taskTargets,
    ...recordTargets,
    ...sweepTargets,
    ...commandTargets,
  ],
];

const inputsOf = new Map<Target, Promise<readonly Files[]>>();

/** A changed input, and who reads it. */
export interface Mutant {
  readonly target: Target;
  readonly files: Files;
  /** The file that was changed. */
  readonly changed: string;
}

/** Mutant `number` of a seed: the same wherever and whenever it is made. */
export async function makeMutant(seed: number, number: number, of: readonly Target[] = targets): Promise<Mutant> {
  const random = new Random(seed, number);
  const total = of.reduce((sum, { share }) => sum + share, 0);
  let left = random.uniform() * total;
  const target = of.find(({ share }) => (left -= share) < 0) ?? of[0];
  if (!inputsOf.has(target)) inputsOf.set(target, target.inputs());
  const files = random.pick((await inputsOf.get(target))!);
  const names = Object.keys(files).filter((name) => target.changes?.test(name) ?? true);
  const changed = random.pick(names);
  const original = files[changed];
  const bytes = mutateFile(random, changed, typeof original === 'string' ? Buffer.from(original) : original.slice());
  return { target, files: { ...files, [changed]: bytes }, changed };
}

/** Writes a mutant's files into a folder of no other. */
export function writeMutant({ files }: Mutant, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFiles(folder, files);
}
