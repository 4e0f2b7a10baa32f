import { basename, join } from 'node:path';
import { SafetensorsFile, fileError, makeFolders, tensorOfSource, writeSafetensors } from '../checkpoint/index.js';
import type { WeightSource } from '../engine/index.js';
import type { Parameters } from '../models/index.js';

/**
 * Refit tensors by their names in the checkpoint: in memory, or as files of a folder, where a run that continues this
 * one finds them.
 */
export class RefitWeights {
  readonly #sources = new Map<string, WeightSource>();
  readonly #files: SafetensorsFile[] = [];

  constructor(private readonly folder?: string) {}

  get names(): string[] {
    return [...this.#sources.keys()];
  }

  /** With the folder's own name, as its parent holds them. */
  get files(): string[] {
    return this.#files.map(({ path }) => join(basename(this.folder!), basename(path)));
  }

  get(name: string): WeightSource | undefined {
    return this.#sources.get(name);
  }

  async set(source: WeightSource): Promise<void> {
    if (this.folder === undefined) return void this.#sources.set(source.name, source);
    await makeFolders(this.folder).catch((error: unknown) => {
      throw fileError(error, 'cannot write', this.folder!);
    });
    await writeSafetensors(this.#path(source.name), [tensorOfSource(source)]);
    await this.restore(source.name);
  }

  /** Takes up what an earlier run has left. */
  async restore(name: string): Promise<void> {
    const file = await SafetensorsFile.open(this.#path(name), { finite: true });
    this.#files.push(file);
    this.#sources.set(name, file.source(name));
  }

  /** Parameters in which refit tensors, those still to come included, stand in for the others. */
  over(parameters: Parameters): Parameters {
    return {
      folder: parameters.folder,
      has: (name) => parameters.has(name),
      source: (name) => this.get(name) ?? parameters.source(name),
      int4: (name) => (this.get(name) ? undefined : parameters.int4?.(name)),
      int8: (name) => (this.get(name) ? undefined : parameters.int8?.(name)),
      quantize: parameters.quantize,
    };
  }

  #path(name: string): string {
    return join(this.folder!, `${name}.safetensors`);
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()));
  }
}
