import type { Engine, Tensor } from '../engine/index.js';
import type { AttentionDescription } from './description.js';

/** ALiBi's slopes on the device, [H] for each way in which layers have them. */
export type Slopes = ReadonlyMap<readonly number[], Tensor>;

/** Made once for all passes, outside of them: one that is recorded must not make any. */
export class SlopeTables implements Disposable {
  readonly all: Slopes;

  constructor(engine: Engine, layers: readonly Pick<AttentionDescription, 'slopes'>[]) {
    const lists = new Set(layers.flatMap(({ slopes }) => (slopes ? [slopes] : [])));
    this.all = new Map(
      [...lists].map((slopes) => {
        using made = engine.tensor(slopes);
        return [slopes, made.detach()];
      }),
    );
  }

  [Symbol.dispose](): void {
    for (const slopes of this.all.values()) slopes.dispose();
  }
}
