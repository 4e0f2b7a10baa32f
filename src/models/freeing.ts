import type { Freeable } from '../engine/index.js';

/** Frees a tensor that `work` was to use up, where that fails. */
export function freeing<T>(tensor: Freeable, work: () => T): T {
  try {
    return work();
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}
