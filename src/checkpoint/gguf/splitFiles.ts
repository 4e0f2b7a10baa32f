import { basename } from 'node:path';
import { UserError } from '../../engine/index.js';

/** The other files of one that is split. */
export interface OtherParts {
  readonly paths: readonly string[];
  /** UserError where the files together hold another number of tensors than the first says. */
  check(tensors: number): void;
}

/** `model-00001-of-00003.gguf` */
const partName = /-(\d{5})-of-(\d{5})\.gguf$/;

/** By the metadata of the first file, which llama.cpp's `gguf-split` writes. UserError for a later one, and for one that was renamed. */
export function partsOf(path: string, metadata: Readonly<Record<string, unknown>>): OtherParts {
  const [number, count, tensors] = ['no', 'count', 'tensors.count'].map((key) => metadata[`split.${key}`]);
  if (typeof count !== 'number' || count <= 1) return { paths: [], check: () => undefined };
  const nameOf = (part: number): string =>
    path.replace(partName, `-${String(part).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`);
  if (nameOf(Number(number) + 1) !== path || !partName.test(path))
    throw new UserError(`${path} is a part of ${count} files, which must be named as they were written`, {
      hint: `such as model-00001-of-${String(count).padStart(5, '0')}.gguf`,
    });
  if (number !== 0)
    throw new UserError(`${path} is part ${Number(number) + 1} of ${count}`, { hint: `give ${basename(nameOf(1))}` });
  return {
    paths: Array.from({ length: count - 1 }, (_, i) => nameOf(i + 2)),
    check: (found) => {
      if (typeof tensors === 'number' && found !== tensors)
        throw new UserError(`${path} says that its ${count} files hold ${tensors} tensors, but they hold ${found}`);
    },
  };
}
