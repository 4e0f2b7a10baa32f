/** A short slice of `bench/serve/load.ts`, which runs as long as one likes. */
import { describe, expect, it } from 'vitest';
import { fileURLToPath } from 'node:url';
import { memoryGrowth, runLoad } from '../../bench/serve/loadClients.js';
import { startServer } from '../../bench/serve/serverProcess.js';
import { built } from '../cli/builtProgram.js';

const model = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url));

describe.skipIf(!built)('64 clients, of which some leave, are slow, or ask for nonsense', () => {
  it('are all answered as they should be, and memory is given back', async () => {
    await using server = await startServer(model);
    const report = await runLoad({ url: server.url, clients: 64, seconds: 20 });
    expect(report.failures).toEqual([]);
    for (const count of Object.values(report.requests)) expect(count).toBeGreaterThan(0);
    expect(report.betweenTokens.p50).toBeGreaterThan(0);
    // Each request makes some megabytes of tensors and garbage, hundreds of times. The heap of V8 itself still grows in
    // the first seconds, from 150 MiB to 220.
    expect(memoryGrowth(report.memory)).toBeLessThan(1.5);
    // Slots are free once all have gone.
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('llm_drop_slots_busy{model="tiny-stories"} 0');
    expect(metrics).toContain('llm_drop_queue_length{model="tiny-stories"} 0');
  });
});
