import { UseAfterFreeError, UserError } from '../../errors.js';
import type { Storage } from '../../tensor.js';
import type { Device } from './device.js';
import { usage, type GpuBuffer } from './gpu.js';

/** A buffer of the device. */
export interface Slab {
  readonly id: number;
  readonly buffer: GpuBuffer;
  readonly bytes: number;
  /** The last submit whose commands use it. */
  usedIn: number;
  /** Where it waits to be taken again; undefined if it is destroyed when it is freed. */
  readonly home?: Shelf;
  /** Bind groups made of it. */
  readonly bindGroups: Set<string>;
}

/** Free slabs by their size. What is recorded has a shelf of its own: nobody else may write to what it uses. */
export class Shelf {
  /** Nothing is put here any more. */
  closed = false;
  readonly #bySize = new Map<number, Slab[]>();

  /**
   * The oldest that no command uses from submit `idleBefore` on. So passes that take and give back the same get the
   * same slabs, and bind groups that are there already.
   */
  take(bytes: number, idleBefore: number): Slab | undefined {
    const slabs = this.#bySize.get(bytes) ?? [];
    let oldest = -1;
    slabs.forEach(({ id, usedIn }, i) => {
      if (usedIn < idleBefore && (oldest < 0 || id < slabs[oldest].id)) oldest = i;
    });
    return oldest < 0 ? undefined : slabs.splice(oldest, 1)[0];
  }

  put(slab: Slab): void {
    const slabs = this.#bySize.get(slab.bytes);
    if (slabs) slabs.push(slab);
    else this.#bySize.set(slab.bytes, [slab]);
  }

  /** Takes out all that no submit has used since `since`. */
  old(since: number): Slab[] {
    const out: Slab[] = [];
    for (const [bytes, slabs] of this.#bySize) {
      out.push(...slabs.filter(({ usedIn }) => usedIn < since));
      this.#bySize.set(
        bytes,
        slabs.filter(({ usedIn }) => usedIn >= since),
      );
    }
    return out;
  }
}

/** A tensor's, a weight's or a cache's memory. */
export class Block implements Storage, Disposable {
  #slab: Slab | undefined;

  constructor(
    private readonly memory: Memory,
    slab: Slab,
    readonly bytes: number,
  ) {
    this.#slab = slab;
  }

  get slab(): Slab {
    if (!this.#slab) throw new UseAfterFreeError(`a buffer of ${this.bytes} bytes`);
    return this.#slab;
  }

  free(): void {
    if (!this.#slab) return;
    this.memory.release(this.#slab);
    this.#slab = undefined;
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** Slabs that no pass has used for so many submits are given back to the device. */
const keptFor = 64;

/** Slabs come in four sizes between powers of two, so that one serves many tensors and a fifth at most is lost. */
export function slabBytes(bytes: number): number {
  const step = 2 ** Math.max(8, Math.floor(Math.log2(Math.max(1, bytes - 1))) - 2);
  return Math.max(step, Math.ceil(bytes / step) * step);
}

/** The buffers of a device. Commands run in order, so a slab serves the next tensor as soon as the last is freed. */
export class Memory {
  /** Of what is being recorded, else everyone's. */
  shelf = new Shelf();
  /** The submit that takes the commands recorded now. */
  submit = 1;
  #made = 0;
  readonly #live = new Set<Slab>();
  #doomed: Slab[] = [];

  constructor(
    private readonly device: Device,
    private readonly forget: (slab: Slab) => void,
  ) {}

  /** For a result: its contents are whatever was there. */
  take(bytes: number): Block {
    return this.#taken(bytes, Infinity);
  }

  /** The same, of a slab that no waiting command uses: what is written to it overtakes those. */
  takeIdle(bytes: number): Block {
    return this.#taken(bytes, this.submit);
  }

  #taken(bytes: number, idleBefore: number): Block {
    this.device.check();
    const most = this.device.largestBinding;
    const size = Math.min(slabBytes(bytes), Math.max(most, bytes));
    return new Block(this, this.shelf.take(size, idleBefore) ?? this.#create(size, this.shelf), bytes);
  }

  /** Zeros, in a buffer of their own that is destroyed when it is freed. */
  create(bytes: number): Block {
    this.device.check();
    return new Block(this, this.#create(Math.max(16, Math.ceil(bytes / 16) * 16)), bytes);
  }

  #create(bytes: number, home?: Shelf): Slab {
    const most = this.device.largestBinding;
    if (bytes > most)
      throw new UserError(`a tensor of ${bytes} bytes does not fit this adapter, whose buffers end at ${most}`, {
        hint: 'shorter rows or fewer at a time take less',
      });
    const buffer = this.device.gpu.createBuffer({
      size: bytes,
      usage: usage.storage | usage.copySource | usage.copyTarget,
    });
    const slab = { id: ++this.#made, buffer, bytes, usedIn: 0, home, bindGroups: new Set<string>() };
    this.#live.add(slab);
    return slab;
  }

  release(slab: Slab): void {
    if (slab.home && !slab.home.closed) slab.home.put(slab);
    else this.#doomed.push(slab);
  }

  /** After a submit: destroys what is no longer needed. */
  submitted(): void {
    this.submit++;
    const since = this.submit - keptFor;
    for (const slab of [...this.#doomed, ...this.shelf.old(since)]) this.destroy(slab);
    this.#doomed = [];
  }

  destroy(slab: Slab): void {
    this.forget(slab);
    this.#live.delete(slab);
    slab.buffer.destroy();
  }

  /** A shelf's slabs are gone with the next submit, those that are in use once they are freed. */
  dissolve(shelf: Shelf): void {
    shelf.closed = true;
    this.#doomed.push(...shelf.old(Infinity));
  }

  dispose(): void {
    for (const slab of [...this.#live]) this.destroy(slab);
  }
}
