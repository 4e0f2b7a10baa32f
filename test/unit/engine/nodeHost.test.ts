import { describe, expect, it } from 'vitest';
import type { WorkerSide } from '../../../src/engine/host.js';
import { host } from '../../../src/engine/hosts/index.js';
import { addressSpaceIn } from '../../../src/engine/hosts/node.js';

/** Polls, as the engine does: what workers send is no event. */
async function received(receive: () => unknown): Promise<unknown> {
  for (let turn = 0; turn < 20_000; turn++) {
    const message = receive();
    if (message !== undefined) return message;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error('nothing came');
}

/** Sends each number that it gets, times `data.factor`, without ever giving its events a turn. */
const multiplier = `(worker) => {
  for (let left = 3; left > 0; ) {
    const number = worker.receive();
    if (number === undefined) continue;
    worker.send(number * worker.data.factor);
    left--;
  }
}`;

describe('Node as a host', () => {
  it('has cores, and less memory than there are addresses', () => {
    expect(host.cores()).toBeGreaterThanOrEqual(1);
    expect(host.memoryBytes()).toBeGreaterThan(2 ** 26);
    expect(host.memoryBytes()).toBeLessThan(2 ** 53);
  });

  it('reads what is left of addresses, where they are limited', () => {
    const limits = (soft: string): string =>
      `Limit                     Soft Limit           Hard Limit           Units\nMax address space         ${soft.padEnd(20)} unlimited            bytes\n`;
    const status = 'Name:\tnode\nVmPeak:\t  800000 kB\nVmSize:\t  761856 kB\n';
    expect(addressSpaceIn(limits('4096000000'), status)).toEqual({ limit: 4096000000, taken: 780140544 });
    expect(addressSpaceIn(limits('unlimited'), status)).toBeUndefined();
    expect(addressSpaceIn('', '')).toBeUndefined();
  });

  it('says which V8 compiles kernels, to the minor version', () => {
    expect(host.v8?.version).toBe(Number(/^\d+\.\d+/.exec(process.versions.v8)?.[0]));
  });

  it("tells a worker's messages from none, and hands them on in order, also while it computes", async () => {
    const worker = host.spawn(multiplier, { factor: 7 }, () => undefined);
    expect(worker.receive()).toBeUndefined();
    for (const number of [1, 2, 3]) worker.send(number);
    for (const product of [7, 14, 21]) expect(await received(() => worker.receive())).toBe(product);
    worker.terminate();
  });

  it('shares memory with a worker, and copies the rest', async () => {
    const data = { shared: new Int32Array(new SharedArrayBuffer(4)), copied: [1] };
    const write = (worker: WorkerSide<typeof data>): void => {
      worker.data.shared[0] = 5;
      worker.data.copied[0] = 5;
      worker.send('written');
    };
    const worker = host.spawn(write.toString(), data, () => undefined);
    expect(await received(() => worker.receive())).toBe('written');
    expect([data.shared[0], data.copied[0]]).toEqual([5, 1]);
    worker.terminate();
  });

  it('hears of the error that ends a worker', async () => {
    const error = await new Promise<unknown>((resolve) => {
      host.spawn('() => { throw new Error("over"); }', {}, resolve);
    });
    expect(error).toMatchObject({ message: 'over' });
  });

  it('keeps the values of contexts apart over awaits', async () => {
    const context = host.createContext<number>();
    const seen = async (value: number): Promise<unknown> =>
      context.run(value, async () => {
        await host.nextTurn();
        return [context.get(), context.run(value + 10, () => context.get())];
      });
    expect(await Promise.all([seen(1), seen(2)])).toEqual([
      [1, 11],
      [2, 12],
    ]);
    expect(context.get()).toBeUndefined();
  });

  it("lets timers have their turn before the next turn's end", async () => {
    const seen = { timer: false };
    setTimeout(() => (seen.timer = true), 1);
    for (const end = performance.now() + 5000; !seen.timer && performance.now() < end;) await host.nextTurn();
    expect(seen.timer).toBe(true);
  });

  it('knows what is installed', () => {
    expect(host.isInstalled('vitest')).toBe(true);
    expect(host.isInstalled('llm-drop-is-not-installed')).toBe(false);
  });
});
