/** What bundlers make of the built package for browsers. `run.sh` runs it in one. */
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The paths of all files of the bundle, and what they import that is not in it. */
async function bundled(source: string): Promise<{ files: string[]; outside: string[] }> {
  const { metafile } = await build({
    stdin: { contents: source, resolveDir: root },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const outside = Object.values(metafile.inputs).flatMap(({ imports }) => imports.filter(({ external }) => external));
  return { files: Object.keys(metafile.inputs), outside: outside.map(({ path }) => path) };
}

describe('a bundle for browsers', () => {
  it.each(['llm-drop', 'llm-drop/engine'])('of %s holds all that it imports, and nothing of Node', async (name) => {
    const { files, outside } = await bundled(`export * from '${name}';`);
    expect(outside).toEqual([]);
    expect(files).toContain('dist/engine/hosts/browser.js');
    expect(files).not.toContain('dist/engine/hosts/node.js');
    expect(files.filter((file) => file.includes('checkpoint/output') || file.includes('node:'))).toEqual([]);
  });

  it('is refused where it would reach Node', async () => {
    await expect(bundled("export * from './dist/checkpoint/output/index.js';")).rejects.toThrow(
      /Could not resolve "node:/,
    );
  });
});
