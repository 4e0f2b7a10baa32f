import { host } from './hosts/index.js';

/** Bytes that the machine, or the container, has. */
export function systemMemory(): number {
  return host.memoryBytes();
}
