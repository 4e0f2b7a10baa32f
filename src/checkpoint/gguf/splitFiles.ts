import { UserError } from '../../engine/index.js';
import { fileSystem } from '../files/index.js';

/** The other files of one that is split. */
export interface OtherParts {
  readonly paths: readonly string[];
  /** UserError where the files together hold another number of tensors than the first says. */
  check(tensors: number): void;
}

/** `model-00001-of-00003.gguf` */
const partName = /-\d{5}-of-(\d{5})\.gguf$/;

/** All files of one that is split, by the name of any; of one that is whole itself alone. */
export function splitParts(path: string): string[] {
  const [ending, count] = partName.exec(path) ?? [];
  if (ending === undefined) return [path];
  const name = path.slice(0, -ending.length);
  return Array.from({ length: Number(count) }, (_, i) => `${name}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`);
}

/** By the metadata of the first file, which llama.cpp's `gguf-split` writes. UserError for a later one, and for one that was renamed. */
export function partsOf(path: string, metadata: Readonly<Record<string, unknown>>): OtherParts {
  const [number, count, tensors] = ['no', 'count', 'tensors.count'].map((key) => metadata[`split.${key}`]);
  if (typeof count !== 'number' || count <= 1) return { paths: [], check: () => undefined };
  const parts = splitParts(path);
  if (parts.length !== count || parts[Number(number)] !== path)
    throw new UserError(`${path} is a part of ${count} files, which must be named as they were written`, {
      hint: `such as model-00001-of-${String(count).padStart(5, '0')}.gguf`,
    });
  if (number !== 0)
    throw new UserError(`${path} is part ${Number(number) + 1} of ${count}`, {
      hint: `give ${fileSystem.basename(parts[0])}`,
    });
  return {
    paths: parts.slice(1),
    check: (found) => {
      if (typeof tensors === 'number' && found !== tensors)
        throw new UserError(`${path} says that its ${count} files hold ${tensors} tensors, but they hold ${found}`);
    },
  };
}
