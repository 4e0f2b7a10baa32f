import { UserError } from '../engine/index.js';
import type { HiddenStates } from './hiddenStates.js';

/** In place of `diskStates.ts`, where there is no disk: a browser (package.json, `browser`). */
export class DiskStates implements HiddenStates {
  constructor() {
    throw new UserError('hidden states do not fit in memory, and a browser has no disk for them', {
      hint: 'load the model whole, or use fewer rows',
    });
  }

  declare readonly read: HiddenStates['read'];
  declare readonly write: HiddenStates['write'];
  declare readonly keep: HiddenStates['keep'];
  declare readonly sync: HiddenStates['sync'];
  declare readonly [Symbol.dispose]: () => void;
}
