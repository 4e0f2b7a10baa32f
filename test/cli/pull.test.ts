/** Models of a hub: a local server that speaks its protocol, and the cache that Python's huggingface_hub shares. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checksumOf, commitOf, gitSha1, HubServer, type Files } from '../support/hubServer.js';
import { backend, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const gguf = 'GGUF'.padEnd(5000, '.');
let files: Files;
let sharded: Files;
let hub: HubServer;
let cache: string;

beforeAll(async () => {
  const model = await writeModel(join(folder, 'model'));
  const read = (name: string): Buffer => readFileSync(join(model, name));
  files = {
    'README.md': 'a card',
    'config.json': read('config.json'),
    'tokenizer.json': read('tokenizer.json'),
    'tokenizer_config.json': read('tokenizer_config.json'),
    'model.safetensors': read('model.safetensors'),
    'additional_chat_templates/tool.jinja': '{{ messages }}',
    'onnx/model.onnx': 'x'.repeat(2000),
    'pytorch_model.bin': 'x'.repeat(2000),
    'consolidated.safetensors': 'x'.repeat(2000),
  };
  const { 'model.safetensors': weights, ...beside } = files;
  sharded = {
    ...beside,
    'model-00001-of-00001.safetensors': weights,
    'model.safetensors.index.json': JSON.stringify({
      metadata: {},
      weight_map: Object.fromEntries(
        tensorsOf(weights as Buffer).map((name) => [name, 'model-00001-of-00001.safetensors']),
      ),
    }),
  };
});

/** The names in a safetensors header. */
function tensorsOf(bytes: Buffer): string[] {
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE()))) as object;
  return Object.keys(header).filter((name) => name !== '__metadata__');
}

beforeEach(async () => {
  hub = new HubServer({
    'org/name': {
      revisions: { main: files, 'v1.0': { ...files, 'config.json': `${files['config.json'].toString()}\n` } },
    },
    'org/sharded': { revisions: { main: sharded } },
    'org/gated': { revisions: { main: files }, gatedFor: 'hf_right' },
    'org/ggufs': {
      revisions: {
        main: { 'a.Q8_0.gguf': gguf, 'b-00001-of-00002.gguf': `${gguf}1`, 'b-00002-of-00002.gguf': `${gguf}2` },
      },
    },
    'org/pickles': { revisions: { main: { 'config.json': '{}', 'pytorch_model.bin': 'x' } } },
  });
  for (const name of Object.keys(process.env))
    if (/^(HF_|HUGGING|TRANSFORMERS_OFFLINE)/.test(name)) delete process.env[name];
  process.env.HF_HOME = mkdtempSync(join(folder, 'home-'));
  process.env.HF_ENDPOINT = await hub.start();
  cache = join(process.env.HF_HOME, 'hub');
  return () => hub.stop();
});
afterAll(() => {
  delete process.env.HF_HOME;
  delete process.env.HF_ENDPOINT;
});

async function pull(...argv: string[]): Promise<Record<string, never>> {
  const { code, stdout, stderr } = await llmDrop(['pull', ...argv, '--json']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, never>;
}
const failure = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await llmDrop(argv);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  return stderr;
};
const repository = (name: string): string => join(cache, `models--org--${name}`);
const wanted = [
  'additional_chat_templates/tool.jinja',
  'config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
];

describe('pull', () => {
  it('fetches what is read of a model, into the layout of huggingface_hub', async () => {
    const commit = commitOf(files);
    const record = await pull('org/name');
    const snapshot = join(repository('name'), 'snapshots', commit);
    const bytes = wanted.reduce((sum, name) => sum + Buffer.byteLength(files[name]), 0);
    expect(record).toMatchObject({
      repository: 'org/name',
      revision: 'main',
      commit,
      path: snapshot,
      bytes,
      downloaded: bytes,
    });
    expect(
      readdirSync(snapshot, { recursive: true, withFileTypes: true }).filter((one) => !one.isDirectory()),
    ).toHaveLength(wanted.length);
    for (const name of wanted) {
      expect(readFileSync(join(snapshot, name))).toEqual(Buffer.from(files[name]));
      const up = '../'.repeat(name.split('/').length + 1);
      expect(readlinkSync(join(snapshot, name))).toBe(`${up}blobs/${checksumOf(files[name])}`);
    }
    expect(readFileSync(join(repository('name'), 'refs/main'), 'utf8')).toBe(commit);
    expect(readdirSync(join(repository('name'), 'blobs'))).toHaveLength(wanted.length);
    // The content of large files comes from elsewhere.
    expect(
      hub
        .contents()
        .filter(({ path }) => path.startsWith('/cdn/'))
        .every(({ token }) => token === undefined),
    ).toBe(true);

    expect(await pull('hf:org/name')).toEqual({ ...record, downloaded: 0 });
    expect(hub.contents()).toEqual([]);
  });

  it('takes the shards that the index names', async () => {
    const record = await pull('org/sharded');
    expect(record.files).toHaveLength(6);
    expect(await llmDrop(['inspect', record.path, '--backend', backend])).toMatchObject({ code: 0 });
  });

  it('goes on where a connection broke', async () => {
    hub.breaks.set('model.safetensors', [20_000]);
    await pull('org/name', '--include', 'model.safetensors');
    const ranges = hub
      .contents()
      .filter(({ path, range }) => path.startsWith('/cdn/') && range !== 'bytes=0-0')
      .map(({ range }) => range);
    const size = files['model.safetensors'].length;
    expect(size).toBeGreaterThan(20_000);
    expect(ranges).toEqual([undefined, `bytes=20000-${size - 1}`]);
  });

  it('goes on where an earlier run ended', async () => {
    hub.breaks.set('model.safetensors', [20_000, 0, 0]);
    const error = await failure('pull', 'org/name');
    expect(error).toMatch(
      /^error: the download of model\.safetensors broke off after 20000 of \d+ bytes: .* \(the same command goes on from there\)\n$/,
    );
    const blob = join(repository('name'), 'blobs', checksumOf(files['model.safetensors']));
    expect(readFileSync(`${blob}.incomplete`)).toHaveLength(20_000);
    expect(existsSync(blob)).toBe(false);
    hub.contents();

    const { stderr, stdout } = await llmDrop(['pull', 'org/name', '--json']);
    expect(stderr).toBe('note: an earlier download goes on, of which 20 kB are there\n');
    const size = files['model.safetensors'].length;
    expect(JSON.parse(stdout)).toMatchObject({ downloaded: size - 20_000 });
    expect(readFileSync(blob)).toEqual(files['model.safetensors']);
    expect(hub.contents().map(({ range }) => range)).toEqual(
      // Each at the hub, and where it leads.
      ['bytes=0-0', 'bytes=0-0', ...[1, 2].map(() => `bytes=20000-${size - 1}`)],
    );
  });

  it('ends at Ctrl-C, also where nothing comes', async () => {
    hub.breaks.set('model.safetensors', [20_000]);
    hub.stalls = true;
    const partial = join(repository('name'), 'blobs', `${checksumOf(files['model.safetensors'])}.incomplete`);
    const interrupt = new AbortController();
    const came = setInterval(() => {
      if (existsSync(partial) && readFileSync(partial).length === 20_000) interrupt.abort();
    }, 10);
    const { code, stderr } = await llmDrop(['pull', 'org/name'], { signal: interrupt.signal });
    clearInterval(came);
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'interrupted\n' });
    expect(await pull('org/name')).toMatchObject({ downloaded: files['model.safetensors'].length - 20_000 });
  });

  it('refuses a content with another checksum, large or small, and keeps nothing of it', async () => {
    const right = files['model.safetensors'] as Buffer;
    const wrong = Buffer.from(right);
    wrong[wrong.length - 1] ^= 1;
    hub.forged.set('model.safetensors', wrong);
    expect(await failure('pull', 'org/name')).toMatch(
      /^error: model\.safetensors arrived with the checksum \w{64}, but the hub says \w{64} \(/,
    );
    const left = readdirSync(join(repository('name'), 'blobs'));
    expect(left.filter((name) => name.startsWith(checksumOf(right)))).toEqual([]);
    hub.forged.clear();
    expect(readFileSync(join((await pull('org/name')).path, 'model.safetensors'))).toEqual(right);
  });

  it('refuses what was left of another content', async () => {
    const blob = join(repository('name'), 'blobs', checksumOf(files['config.json']));
    mkdirSync(join(blob, '..'), { recursive: true });
    writeFileSync(`${blob}.incomplete`, 'something else');
    expect(await failure('pull', 'org/name')).toMatch(
      /\nerror: config\.json arrived with the checksum \w{40}, but the hub says \w{40} \(/,
    );
    await pull('org/name');
    expect(gitSha1(readFileSync(blob))).toBe(checksumOf(files['config.json']));
  });

  it('takes a revision, and keeps others', async () => {
    await pull('org/name');
    const other = await pull('org/name', '--revision', 'v1.0');
    expect(other.commit).not.toBe(commitOf(files));
    expect(readFileSync(join(other.path, 'config.json'), 'utf8')).toMatch(/\n$/);
    // The weights are the same content.
    expect(other.downloaded).toBe(files['config.json'].length + 1);
    expect(await pull('hf:org/name@v1.0')).toMatchObject({ revision: 'v1.0', downloaded: 0 });
    expect(await pull('org/name', '--revision', commitOf(files))).toMatchObject({ downloaded: 0 });
    expect(await failure('pull', 'org/name@v2')).toBe(
      `error: org/name has no revision v2 (its branches and tags are at ${hub.url}/org/name/tree/main)\n`,
    );
  });

  it('takes the files that patterns name', async () => {
    const { files: found } = await pull('org/name', '--include', '*.jinja', 'onnx/*');
    expect((found as { path: string }[]).map(({ path }) => path)).toEqual([
      'additional_chat_templates/tool.jinja',
      'onnx/model.onnx',
    ]);
    expect(await failure('pull', 'org/name', '--include', '*.gguf')).toMatch(
      /^error: org\/name has no file \*\.gguf \(it has README\.md, /,
    );
  });

  it('takes one GGUF file with all its parts, and asks which', async () => {
    const { path, files: found } = await pull('hf:org/ggufs/b-00001-of-00002.gguf');
    expect(readFileSync(path, 'utf8')).toBe(`${gguf}1`);
    expect(found).toHaveLength(2);
    expect(await failure('pull', 'org/ggufs')).toMatch(
      /^error: org\/ggufs holds GGUF files and no model\.safetensors \(choose one of them, such as hf:org\/ggufs\/a\.Q8_0\.gguf; /,
    );
    expect(await failure('pull', 'org/pickles')).toMatch(
      /^error: org\/pickles has neither .*, only pytorch_model\.bin \(/,
    );
  });

  it('says who may not read it, by the token that was given', async () => {
    expect(await failure('pull', 'org/gated')).toMatch(
      /^error: http:\S+ does not show org\/gated to everyone: Access to model org\/gated is restricted \(.*set HF_TOKEN\)\n$/,
    );
    process.env.HUGGING_FACE_HUB_TOKEN = 'hf_other';
    expect(await failure('pull', 'org/gated')).toMatch(
      /^error: access to org\/gated is restricted: .* \(ask for it at http:\S+\/org\/gated, /,
    );
    process.env.HF_TOKEN = 'right';
    expect(await failure('pull', 'org/gated')).toBe(
      'error: HF_TOKEN holds no access token of the hub: they begin with hf_\n',
    );
    delete process.env.HF_TOKEN;
    delete process.env.HUGGING_FACE_HUB_TOKEN;
    writeFileSync(join(process.env.HF_HOME!, 'token'), 'hf_right\n');
    await pull('org/gated');
  });

  it('says what is not there, and what does not answer', async () => {
    expect(await failure('pull', 'org/nothing')).toMatch(
      /^error: http:\S+ does not show org\/nothing to everyone: .*is the name right\?/,
    );
    process.env.HF_TOKEN = 'hf_right';
    expect(await failure('pull', 'org/nothing')).toBe(`error: there is no model org/nothing at ${hub.url}\n`);
    hub.status = 503;
    expect(await failure('pull', 'org/name')).toBe(
      `error: ${hub.url} fails with status 503: Internal Error (try again later)\n`,
    );
    const gone = new HubServer({});
    process.env.HF_ENDPOINT = await gone.start();
    await gone.stop();
    expect(await failure('pull', 'org/name')).toMatch(
      /^error: http:\S+ cannot be reached: .*ECONNREFUSED.* \(what was pulled before/,
    );
  });

  it('asks for room on the disk first', async () => {
    hub.sizes.set('model.safetensors', 1e18);
    expect(await failure('pull', 'org/name')).toMatch(
      /^error: the disk of \S+ has .* left, and 1000000 TB are to come \(/,
    );
    expect(existsSync(join(repository('name'), 'blobs'))).toBe(false);
  });

  it('refuses paths that lead out of the cache', async () => {
    hub.repositories['org/evil'] = { revisions: { main: { ...files, '../../../evil': 'x' } } };
    expect(await failure('pull', 'org/evil', '--include', '*')).toMatch(
      /does not answer as the hub does: it lists "\.\.\/\.\.\/\.\.\/evil"/,
    );
  });
});

describe('hf:ORG/NAME in place of a folder', () => {
  const text = join(folder, 'stories.txt');
  beforeAll(() => writeFileSync(text, stories));
  const evaluate = (model: string) =>
    llmDrop(['eval', model, '--text', text, '--held-out', '2', '--length', '32', '--backend', backend, '--json']);

  it('is pulled once, and then needs no network', async () => {
    const first = await evaluate('hf:org/name');
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toBe(`note: hf:org/name is pulled into ${cache}\n`);
    const snapshot = join(repository('name'), 'snapshots', commitOf(files));
    expect(JSON.parse(first.stdout)).toMatchObject({ model: snapshot });

    await hub.stop();
    const again = await evaluate('hf:org/name');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect((JSON.parse(again.stdout) as { loss: number }).loss).toBe(
      (JSON.parse(first.stdout) as { loss: number }).loss,
    );
    const { stdout } = await llmDrop(['inspect', 'hf:org/name', '--backend', backend]);
    expect(stdout).toContain(snapshot);
    await hub.start();
  });

  it('is found where Python has put it', async () => {
    // As huggingface_hub does, by hand.
    const commit = commitOf(files);
    const home = repository('name');
    for (const part of ['blobs', 'refs', `snapshots/${commit}`]) mkdirSync(join(home, part), { recursive: true });
    writeFileSync(join(home, 'refs/main'), commit);
    for (const name of wanted.filter((one) => !one.includes('/'))) {
      const checksum = checksumOf(files[name]);
      writeFileSync(join(home, 'blobs', checksum), files[name]);
      symlinkSync(`../../blobs/${checksum}`, join(home, 'snapshots', commit, name));
    }
    process.env.HF_HUB_OFFLINE = '1';
    expect(await evaluate('hf:org/name')).toMatchObject({ code: 0, stderr: '' });
    expect(await evaluate(`hf:org/name@${commit}`)).toMatchObject({ code: 0, stderr: '' });
    expect(hub.asked).toEqual([]);
    // What it lacks is fetched, and no more.
    delete process.env.HF_HUB_OFFLINE;
    expect(await pull('org/name')).toMatchObject({ downloaded: 14 });
  });

  it('is pulled where a part of it is missing, and refused offline', async () => {
    const { path } = await pull('org/name', '--include', 'config.json', 'tokenizer*');
    process.env.HF_HUB_OFFLINE = 'TRUE';
    expect(await failure('inspect', 'hf:org/name')).toBe(
      `error: hf:org/name is not in ${cache}, or not all of it, and HF_HUB_OFFLINE forbids to download it\n`,
    );
    expect(await failure('pull', 'org/name')).toMatch(
      /^error: hf:org\/name cannot be pulled: HF_HUB_OFFLINE forbids it/,
    );
    delete process.env.HF_HUB_OFFLINE;
    const { code } = await llmDrop(['inspect', 'hf:org/name', '--backend', backend]);
    expect(code).toBe(0);
    expect(realpathSync(join(path, 'model.safetensors'))).toContain('/blobs/');
  });

  it('may be a GGUF file', async () => {
    const out = join(folder, 'model.gguf');
    await llmDrop([
      'export',
      join(folder, 'model'),
      '--to',
      'gguf',
      '--type',
      'f32',
      '--out',
      out,
      '--backend',
      backend,
    ]);
    hub.repositories['org/gguf'] = { revisions: { main: { 'f32/model.gguf': readFileSync(out) } } };
    const here = await evaluate(join(folder, 'model'));
    const there = await evaluate('hf:org/gguf/f32/model.gguf');
    expect(there.code, there.stderr).toBe(0);
    const loss = ({ stdout }: { stdout: string }): number => (JSON.parse(stdout) as { loss: number }).loss;
    expect(loss(there)).toBe(loss(here));
    hub.asked.splice(0);
    expect((await llmDrop(['inspect', 'hf:org/gguf/f32/model.gguf', '--backend', backend])).stdout).toContain(
      'snapshots',
    );
    expect(hub.asked).toEqual([]);
  });

  it('is the base of a refit and a model to bench beside, too', async () => {
    const out = join(folder, 'dropped');
    expect(await llmDrop(['drop', 'hf:org/name', '--drop-mlp', '1', '--out', out, '--backend', backend])).toMatchObject(
      { code: 0 },
    );
    const { code, stdout } = await llmDrop([
      ...['bench', out, '--beside', 'hf:org/name@v1.0', '--prompt', '4', '--generate', '0', '--repeats', '1'],
      ...['--backend', backend, '--json'],
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain(join(repository('name'), 'snapshots'));
  });

  it('is refused where it is no name', async () => {
    for (const name of ['hf:name', 'hf:org/name@', 'hf:../name', 'hf:org/name@../x'])
      expect(await failure('inspect', name)).toMatch(/^error: \S+ names no model of the hub \(write hf:ORG\/NAME, /);
    expect(await failure('inspect', 'hf:org/name/config.json')).toMatch(
      /expected a \.gguf file behind the repository, found config\.json/,
    );
    expect(await failure('inspect', join('org', 'name'))).toMatch(
      /a model of the Hugging Face hub is hf:org\/name in a command/,
    );
  });
});
