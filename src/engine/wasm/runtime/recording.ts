/** Records a pass while it runs, to replay it as one program without JavaScript between its kernels. */
import type { Operand, Recording, Replay } from '../../backend.js';
import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import { sizeOf } from '../../tensor.js';
import { Arena } from './arena.js';
import type { Machine } from './machine.js';
import { addressOf, type Block } from './memory.js';
import { ProgramState, type Program } from './program.js';
import { Recorder } from './recorder.js';
import { smallestJob } from './task.js';

/** The floats of x, which may lie in another memory: what a pass begins with, or ends. */
const floatsOf = (x: Operand): Float32Array =>
  (x.storage as Block).memory.replayable.floats(addressOf(x), sizeOf(x.shape));

/**
 * Two sizes for each doubling (1, 2, 3, 4, 6, 8, 12, 16, ...), so that few programs serve any number of tokens, and few rows
 * are computed in vain.
 */
export function recordedRows(tokens: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(tokens)) - 1);
  return Math.ceil(tokens / step) * step;
}

export class WasmRecording implements Recording {
  readonly #arena: Arena;
  readonly #recorder: Recorder;
  readonly #moves: number;
  #input = 0;

  constructor(private readonly machine: Machine) {
    this.#arena = new Arena(machine.memory.allocator);
    machine.memory.arena = this.#arena;
    this.#moves = machine.memory.moves;
    this.#recorder = machine.recorder = new Recorder(machine.memory, this.#arena, Math.max(1, machine.chunks / 2));
  }

  begin(x: Operand, rows: number): Block {
    const { memory } = this.machine;
    const count = rows * x.shape[1];
    const block = memory.allocate(4 * count);
    this.#input = block.address;
    memory.replayable.floats(block.address, count).fill(0).set(floatsOf(x));
    return block;
  }

  finish(output: Operand, rows: number): { result: Block; replay?: Replay } {
    const { machine } = this;
    this.#stop();
    const { memory } = machine;
    const count = rows * output.shape[1];
    const result = memory.allocate(4 * count);
    memory.floats(result.address, count).set(floatsOf(output).subarray(0, count));
    if (this.#arena.spoiled || memory.moves !== this.#moves) {
      this.#arena.dispose();
      return { result };
    }
    const ends = { input: this.#input, output: addressOf(output) };
    return { result, replay: new WasmReplay(machine, this.#arena, this.#recorder, ends) };
  }

  cancel(): void {
    this.#stop();
    this.#arena.dispose();
  }

  #stop(): void {
    this.machine.memory.arena = undefined;
    this.machine.recorder = undefined;
  }
}

class WasmReplay implements Replay {
  readonly #control: Block;
  readonly #state: ProgramState;
  readonly #program: Program;
  readonly #numbers: Recorder['numbers'];
  readonly #alone: boolean;
  readonly #moves: number;

  constructor(
    private readonly machine: Machine,
    private readonly arena: Arena,
    { phases, work, numbers }: Recorder,
    /** Addresses of the input and the output of the pass, whose rows are of one width. */
    private readonly ends: { readonly input: number; readonly output: number },
  ) {
    this.#moves = machine.memory.moves;
    this.#state = new ProgramState(phases);
    this.#control = machine.memory.allocate(this.#state.words.byteLength);
    this.#program = machine.executor.program(phases, this.#control.address, machine.memory);
    this.#numbers = numbers;
    // With less work in a phase than a job is worth, threads would mostly wait for each other.
    this.#alone = work < phases.length * smallestJob;
  }

  get stale(): boolean {
    return this.machine.memory.moves !== this.#moves;
  }

  run(x: Operand, batch: Batch, cache: KvCache): Block {
    const { memory } = this.machine;
    const { input, output } = this.ends;
    const count = sizeOf(x.shape);
    const words = this.#state.next(batch);
    memory.ints(this.#control.address, words.length).set(words);
    for (const { address, of } of this.#numbers) {
      const values = of(batch, cache);
      memory.ints(address, values.length).set(values);
    }
    memory.floats(input, count).set(floatsOf(x));
    this.machine.executor.runProgram(this.#program, this.#alone);
    const result = memory.allocate(4 * count);
    memory.floats(result.address, count).set(memory.floats(output, count));
    return result;
  }

  free(): void {
    this.machine.executor.forget(this.#program);
    this.#control.free();
    this.arena.dispose();
  }
}
