import { UserError } from '../engine/index.js';

/** A model on the hub, as a command line names it. */
export interface HubName {
  /** `ORG/NAME`. */
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** One GGUF file of it, as a path in the repository; without it, the model's folder. */
  readonly file?: string;
}

/** What a name of the hub begins with where a folder could stand, too. */
const scheme = 'hf:';

const pattern = /^(?:\/\/)?([\w.-]+\/[\w.-]+)(?:@(refs\/\w+\/[^/]+|[^/]+))?(?:\/(.+))?$/;

/**
 * `hf:ORG/NAME`, `hf:ORG/NAME@REVISION`, and with `/FILE.gguf` behind either; undefined for what does not begin with
 * `hf:`. As in URLs, a slash in a revision is written %2F, but in `refs/pr/1` it need not be. UserError for anything else.
 */
export function parseHubName(text: string): HubName | undefined {
  if (!text.startsWith(scheme)) return undefined;
  const [, repository, written = 'main', file] = pattern.exec(text.slice(scheme.length)) ?? [];
  const revision = written.replace(/%2f/gi, '/');
  if (repository === undefined || [repository, revision, file ?? ''].some(climbs))
    throw new UserError(`${text} names no model of the hub`, {
      hint: 'write hf:ORG/NAME, hf:ORG/NAME@REVISION, or hf:ORG/NAME/FILE.gguf',
    });
  if (file !== undefined && !file.endsWith('.gguf'))
    throw new UserError(`${text}: expected a .gguf file behind the repository, found ${file}`, {
      hint: `a slash in a revision is written %2F; the whole model is hf:${repository}`,
    });
  return { repository, revision, file };
}

/** The model that `pull` is asked for: `ORG/NAME`, as `parseHubName` reads it, and its revision where that is named apart. */
export function pulledName(model: string, revision?: string): HubName {
  const name = parseHubName(model.startsWith(scheme) ? model : scheme + model)!;
  if (revision === undefined) return name;
  if (climbs(revision)) throw new UserError(`${revision} is no revision: expected a branch, a tag or a commit`);
  return { ...name, revision };
}

export const showHubName = ({ repository, revision, file }: HubName): string =>
  `${scheme}${repository}${revision === 'main' ? '' : `@${revision.replace(/^(?!refs\/).*/, encodeURIComponent)}`}${file === undefined ? '' : `/${file}`}`;

/** Whether a path from elsewhere could lead out of the folder that it is joined to. */
export const climbs = (path: string): boolean =>
  /^[/\\]|\\|^[A-Za-z]:|\0/.test(path) || path.split('/').some((part) => part === '..' || part === '.');
