/**
 * Records the kernels that a pass launches, to launch them again as they are: their pipelines, buffers and numbers stay,
 * and what differs from step to step is written to a buffer before.
 */
import type { Operand, Recording, Replay } from '../../backend.js';
import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import { sizeOf } from '../../tensor.js';
import { numbersBytes } from './commands.js';
import { usage, type GpuBuffer } from './gpu.js';
import type { HostNumbers, Launch, Listener, Machine } from './machine.js';
import { Shelf, type Block, type Slab } from './memory.js';

/** The buffers that a cache has, in the order of its layers. */
export type SlabsOf = (cache: KvCache) => readonly Slab[];

/** What a pass did. */
interface Pass {
  readonly launches: Omit<Launch, 'numbersAt'>[];
  /** Of each launch. */
  readonly numbers: Uint8Array[];
  /** What the host writes before each run. */
  readonly given: { readonly block: Block; readonly of: HostNumbers }[];
  /** Where results lie between kernels. */
  readonly shelf: Shelf;
}

export class GpuRecording implements Recording, Listener {
  readonly #pass: Pass = { launches: [], numbers: [], given: [], shelf: new Shelf() };
  readonly #outer: Shelf;
  #input: Slab | undefined;
  #cache: KvCache | undefined;
  #spoiled = false;

  constructor(
    private readonly machine: Machine,
    private readonly slabsOf: SlabsOf,
  ) {
    this.#outer = machine.memory.shelf;
    machine.memory.shelf = this.#pass.shelf;
    machine.listener = this;
  }

  launched(launch: Omit<Launch, 'numbersAt'>, numbers: DataView): void {
    this.#pass.launches.push(launch);
    this.#pass.numbers.push(new Uint8Array(numbers.buffer, numbers.byteOffset, numbersBytes).slice());
  }

  placed(block: Block, of: HostNumbers, cache: KvCache | undefined): void {
    this.#pass.given.push({ block, of });
    this.#cache = cache;
  }

  spoiled(): void {
    this.#spoiled = true;
  }

  begin(x: Operand): Block {
    const block = copyOf(this.machine, x);
    this.#input = block.slab;
    return block;
  }

  finish(output: Operand): { result: Block; replay?: Replay } {
    this.#stop();
    const result = copyOf(this.machine, output);
    const [input, cache] = [this.#input, this.#cache];
    if (this.#spoiled || !input || !cache) {
      release(this.machine, this.#pass);
      return { result };
    }
    const { slab } = output.storage as Block;
    const ends = { input, output: { slab, offset: 4 * output.offset, count: sizeOf(output.shape) } };
    return { result, replay: new GpuReplay(this.machine, this.#pass, ends, cache, this.slabsOf) };
  }

  cancel(): void {
    this.#stop();
    release(this.machine, this.#pass);
  }

  #stop(): void {
    this.machine.memory.shelf = this.#outer;
    this.machine.listener = undefined;
  }
}

interface Ends {
  readonly input: Slab;
  readonly output: { readonly slab: Slab; readonly offset: number; readonly count: number };
}

class GpuReplay implements Replay {
  readonly #numbers: GpuBuffer;
  readonly #slabs: readonly Slab[];
  /** Each launch's, with the buffers of a cache. */
  readonly #bindGroups = new WeakMap<KvCache, readonly object[]>();

  constructor(
    private readonly machine: Machine,
    private readonly pass: Pass,
    private readonly ends: Ends,
    cache: KvCache,
    private readonly slabsOf: SlabsOf,
  ) {
    this.#slabs = slabsOf(cache);
    const { gpu } = machine.device;
    const bytes = numbersBytes * Math.max(1, pass.numbers.length);
    this.#numbers = gpu.createBuffer({ size: bytes, usage: usage.uniform | usage.copyTarget });
    const all = new Uint8Array(bytes);
    pass.numbers.forEach((numbers, i) => all.set(numbers, numbersBytes * i));
    gpu.queue.writeBuffer(this.#numbers, 0, all.buffer, 0, bytes);
  }

  run(x: Operand, batch: Batch, cache: KvCache): Block {
    const { machine, pass, ends } = this;
    const { commands, memory } = machine;
    machine.device.check();
    for (const { block, of } of pass.given) machine.write(block, of(batch, cache));
    machine.copy(x, ends.input);
    const groups = this.#groupsOf(cache);
    pass.launches.forEach(({ compiled: { pipeline }, bounds, groups: count }, i) => {
      for (const { slab } of bounds) slab.usedIn = memory.submit;
      commands.dispatch({ pipeline, bindGroup: groups[i], numbersAt: numbersBytes * i, groups: count });
    });
    const { slab, offset, count } = ends.output;
    const result = machine.take(count);
    commands.copy(slab, offset, result.slab, 0, 4 * count);
    return result;
  }

  #groupsOf(cache: KvCache): readonly object[] {
    const found = this.#bindGroups.get(cache);
    if (found) return found;
    const now = this.slabsOf(cache);
    const moved = new Map(this.#slabs.map((slab, i) => [slab, now[i]]));
    const groups = this.pass.launches.map(({ compiled, bounds }) =>
      this.machine.pipelines.makeBindGroup(
        compiled,
        this.#numbers,
        bounds.map(({ slab, offset }) => ({ slab: moved.get(slab) ?? slab, offset })),
      ),
    );
    this.#bindGroups.set(cache, groups);
    return groups;
  }

  free(): void {
    this.machine.commands.flush(); // what waits may use the numbers
    this.#numbers.destroy();
    release(this.machine, this.pass);
  }
}

/** Gives back what a pass held. */
function release({ memory }: Machine, { given, shelf }: Pass): void {
  for (const { block } of given) block.free();
  memory.dissolve(shelf);
}

function copyOf(machine: Machine, x: Operand): Block {
  const copy = machine.take(sizeOf(x.shape));
  machine.copy(x, copy.slab);
  return copy;
}
