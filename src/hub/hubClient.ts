import type * as Library from '@huggingface/hub';
import { UserError } from '../engine/index.js';
import { hubError } from './hubError.js';
import type { HubFile } from './hubFiles.js';
import { climbs, type HubName } from './hubName.js';
import type { HubSettings } from './hubSettings.js';

/** The hub, asked by its own client about one model. What goes wrong is a UserError. */
export class HubClient {
  private constructor(
    private readonly library: typeof Library,
    private readonly name: HubName,
    private readonly settings: HubSettings,
  ) {}

  /** Loads the client, which no other work needs. */
  static async open(name: HubName, settings: HubSettings): Promise<HubClient> {
    return new HubClient(await import('@huggingface/hub'), name, settings);
  }

  get #where(): { hubUrl: string; accessToken?: string } {
    return { hubUrl: this.settings.endpoint, accessToken: this.settings.token };
  }

  /** The commit of the revision. */
  commit(): Promise<string> {
    const { repository, revision } = this.name;
    return this.#asked(async () => {
      const { sha } = await this.library.modelInfo({
        name: repository,
        revision,
        additionalFields: ['sha'],
        ...this.#where,
      });
      if (!/^[0-9a-f]{40}$/.test(sha)) throw new Error(`${sha} is no commit`);
      return sha;
    });
  }

  /** All files of a commit. */
  files(commit: string): Promise<HubFile[]> {
    return this.#asked(async () => {
      const files: HubFile[] = [];
      const { repository: repo } = this.name;
      for await (const entry of this.library.listFiles({ repo, revision: commit, recursive: true, ...this.#where })) {
        if (entry.type !== 'file') continue;
        const { path, size, oid, lfs } = entry;
        const checksum = lfs?.oid ?? oid ?? '';
        // Both become paths in the cache.
        if (climbs(path) || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(checksum))
          throw new Error(`it lists ${JSON.stringify(path)} with the checksum ${JSON.stringify(checksum)}`);
        files.push({ path, bytes: lfs?.size ?? size, checksum });
      }
      return files;
    });
  }

  /** A file's content, of which any slice can be asked for. `xet`: by the protocol of the hub's own storage, where it offers that. */
  content(commit: string, { path }: HubFile, { xet }: { readonly xet: boolean }): Promise<Blob> {
    const { repository: repo } = this.name;
    return this.#asked(async () => {
      const blob = await this.library.downloadFile({
        repo,
        revision: commit,
        path,
        xet: xet && this.settings.xet,
        ...this.#where,
      });
      if (!blob) throw new UserError(`${repo} lists ${path}, but does not have it`);
      return blob;
    });
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw hubError(error, this.name, this.settings);
    }
  }
}
