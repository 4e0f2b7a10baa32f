import { totalmem } from 'node:os';

/** Bytes that the machine, or the container, has. */
export function systemMemory(): number {
  const contained = process.constrainedMemory?.() ?? 0;
  return contained > 0 ? Math.min(contained, totalmem()) : totalmem();
}
