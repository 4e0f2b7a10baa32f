import { stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, lockPlace, makeFolders, splitParts, weightFileNames } from '../checkpoint/index.js';
import { UserError, checkOptions, list, shownNames, text } from '../engine/index.js';
import {
  CachedRepository,
  HubClient,
  hubSettings,
  includedFiles,
  modelFiles,
  parseHubName,
  pulledName,
  pullFile,
  showHubName,
  type HubFile,
} from '../hub/index.js';
import { formatBytes } from './byteText.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { llmDropVersion } from './version.js';

export interface PullOptions extends JobOptions {
  /** A branch, a tag or a commit. @defaultValue what the name says, else `main` */
  readonly revision?: string;
  /** Patterns of files, `*.gguf` for one. @defaultValue what is read of a model: config, tokenizer, safetensors */
  readonly include?: readonly string[];
}

/** What is in the cache now. */
export interface PullRecord {
  /** Version of llm-drop. */
  readonly version: string;
  /** `ORG/NAME`. */
  readonly repository: string;
  readonly revision: string;
  readonly commit: string;
  /** The model's folder, or the file that was named: what jobs take. */
  readonly path: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Of the files. */
  readonly bytes: number;
  /** Of these, what came over the network now. */
  readonly downloaded: number;
}

/**
 * Downloads a model of the Hugging Face hub, `ORG/NAME` or `hf:ORG/NAME@REVISION/FILE.gguf`, into the cache that Python's
 * huggingface_hub shares; what is there already is not asked for again, every checksum is verified, and an interrupted
 * download goes on where it ended. Hub, cache and access token are what the environment says (`HF_ENDPOINT`, `HF_HOME`,
 * `HF_TOKEN`, ...). UserError where the hub refuses it or cannot be reached, and where the disk is full.
 */
export async function pullModel(model: string, o: PullOptions = {}): Promise<PullRecord> {
  checkOptions(o, { revision: text, include: list(text, 1) });
  const name = pulledName(model, o.revision);
  const { repository, revision, file } = name;
  const settings = await hubSettings();
  if (settings.offline)
    throw new UserError(`${showHubName(name)} cannot be pulled: HF_HUB_OFFLINE forbids it`, { hint: 'unset it' });
  const hub = await HubClient.open(name, settings);
  const commit = await hub.commit();
  const listed = await hub.files(commit);
  const include = o.include ?? (file === undefined ? undefined : splitParts(file));
  const files = include ? includedFiles(listed, include, repository) : modelFiles(listed, repository);

  const cached = new CachedRepository(settings.cache, repository);
  const lock = await lockedRepository(cached, repository);
  try {
    const pull = new Pull(hub, cached, commit, o);
    await pull.fetch(files);
    const folder = cached.snapshot(commit);
    if (!include) {
      const shards = (await weightsOf(listed, folder, repository)).filter((file) => !files.includes(file));
      await pull.fetch(shards);
      files.push(...shards);
    }
    await cached.setCommit(revision, commit);
    return {
      version: llmDropVersion(),
      repository,
      revision,
      commit,
      path: file === undefined ? folder : join(folder, file),
      files: files.map(({ path, bytes }) => ({ path, bytes })),
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      downloaded: pull.downloaded,
    };
  } finally {
    await lock();
  }
}

/**
 * The path of a model: `hf:ORG/NAME` is looked for in the cache, and pulled where it is not there; a path is what it is.
 * UserError as for `pullModel`.
 */
export async function localModel(model: string, o: JobOptions = {}): Promise<string> {
  const name = parseHubName(model);
  if (!name) return model;
  const { cache, offline } = await hubSettings();
  const found = await new CachedRepository(cache, name.repository).find(name);
  if (found !== undefined) return found;
  if (offline)
    throw new UserError(`${model} is not in ${cache}, or not all of it, and HF_HUB_OFFLINE forbids to download it`);
  o.onNote?.(`${model} is pulled into ${cache}`);
  return (await pullModel(model, o)).path;
}

async function lockedRepository({ lock }: CachedRepository, repository: string): Promise<() => Promise<void>> {
  await makeFolders(dirname(lock)).catch((error: unknown) => {
    throw fileError(error, 'cannot write', dirname(lock));
  });
  return lockPlace(lock, repository);
}

/** The file of weights, or the shards that the index in the folder names. */
async function weightsOf(listed: readonly HubFile[], folder: string, repository: string): Promise<HubFile[]> {
  const names = await weightFileNames(folder);
  const weights = listed.filter(({ path }) => names.includes(path));
  const missing = names.filter((name) => !weights.some(({ path }) => path === name));
  if (missing.length) throw new UserError(`${repository} lacks ${shownNames(missing)}, which its index names`);
  return weights;
}

/** Files of one commit on their way into the cache. */
class Pull {
  /** Bytes. */
  downloaded = 0;

  constructor(
    private readonly hub: HubClient,
    private readonly cached: CachedRepository,
    private readonly commit: string,
    private readonly o: JobOptions,
  ) {}

  /** Brings all of them into the snapshot that are not there. */
  async fetch(files: readonly HubFile[]): Promise<void> {
    const { cached, commit, hub, o } = this;
    const there = await Promise.all(files.map(({ path }) => cached.has(commit, path)));
    const missing = files.filter((_, i) => !there[i]);
    const total = await this.#toDownload(missing);
    const progress = stageOf(o, 'pulling');
    let done = 0;
    for (const file of missing) {
      const { path, checksum } = file;
      const blob = cached.blob(checksum);
      if ((await sizeOf(blob)) === undefined)
        await pullFile(file, blob, {
          content: (how) => hub.content(commit, file, how),
          onBytes: (bytes) => progress((done += bytes), total, 'bytes'),
          signal: o.signal,
        });
      await cached.link(commit, path, checksum);
    }
    this.downloaded += done;
  }

  /** Bytes that are neither in the cache nor begun. UserError where the disk has no room for them. */
  async #toDownload(files: readonly HubFile[]): Promise<number> {
    const { cached, o } = this;
    const contents = new Map(files.map((file) => [file.checksum, file]));
    let [bytes, begun] = [0, 0];
    for (const [checksum, file] of contents) {
      if ((await sizeOf(cached.blob(checksum))) !== undefined) continue;
      const part = Math.min((await sizeOf(`${cached.blob(checksum)}.incomplete`)) ?? 0, file.bytes);
      bytes += file.bytes - part;
      begun += part;
    }
    if (begun > 0) o.onNote?.(`an earlier download goes on, of which ${formatBytes(begun)} are there`);
    const { bavail, bsize } = await statfs(cached.cache);
    if (bytes > bavail * bsize)
      throw new UserError(
        `the disk of ${cached.cache} has ${formatBytes(bavail * bsize)} left, and ${formatBytes(bytes)} are to come`,
        { hint: 'free some space, or choose another place by HF_HOME' },
      );
    return bytes;
  }
}

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
