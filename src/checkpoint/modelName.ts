import { basename, resolve } from 'node:path';

/** What a model in a folder is called: as the folder is, or `ORG/NAME` in the cache of the hub, whose folders are called by commits. */
export function modelName(folder: string): string {
  const path = resolve(folder);
  const [, cached] = /[/\\]models--([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}$/.exec(path) ?? [];
  return cached === undefined ? basename(path) : cached.replace('--', '/');
}
