import type { HubApiError } from '@huggingface/hub';
import { UserError } from '../engine/index.js';
import type { HubName } from './hubName.js';
import type { HubSettings } from './hubSettings.js';

/** What failed as the hub was asked for a model, as a sentence. */
export function hubError(error: unknown, { repository, revision }: HubName, settings: HubSettings): unknown {
  if (error instanceof UserError) return error;
  const { endpoint } = settings;
  const status = statusOf(error);
  if (status !== undefined) {
    const [sentence, hint] = refusal(status, error as HubApiError, { repository, revision }, settings);
    return new UserError(sentence, { hint, cause: error });
  }
  const reason = networkReason(error);
  if (reason === undefined)
    return new UserError(`${endpoint} does not answer as the hub does: ${messageOf(error)}`, {
      hint: 'is HF_ENDPOINT right?',
      cause: error,
    });
  const proxy = process.env.HTTPS_PROXY || process.env.https_proxy;
  return new UserError(`${endpoint} cannot be reached: ${reason}`, {
    hint:
      proxy && !process.env.NODE_USE_ENV_PROXY
        ? 'Node 24 and newer use HTTPS_PROXY where NODE_USE_ENV_PROXY=1 is set'
        : 'what was pulled before is used without a network',
    cause: error,
  });
}

function refusal(
  status: number,
  error: HubApiError,
  { repository, revision }: HubName,
  { endpoint, tokenFrom }: HubSettings,
): [sentence: string, hint?: string] {
  const page = `${endpoint}/${repository}`;
  const said = sentenceOf(error);
  switch (status) {
    case 401:
      return tokenFrom === undefined
        ? [
            `${endpoint} does not show ${repository} to everyone: ${said}`,
            `is the name right? For a private or gated model, ask for access at ${page}, and set HF_TOKEN`,
          ]
        : [
            `${endpoint} does not take the access token of ${tokenFrom}: ${said}`,
            `make one at ${endpoint}/settings/tokens`,
          ];
    case 403:
      return [
        `access to ${repository} is restricted: ${said}`,
        `ask for it at ${page}, as the owner of the access token`,
      ];
    case 404:
      return /revision|rev id/i.test(said)
        ? [`${repository} has no revision ${revision}`, `its branches and tags are at ${page}/tree/main`]
        : [`there is no model ${repository} at ${endpoint}`];
    case 429:
      return [`${endpoint} refuses so many requests: ${said}`, 'wait a while; with an access token more are allowed'];
    default:
      return [`${endpoint} fails with status ${status}: ${said}`, status >= 500 ? 'try again later' : undefined];
  }
}

const statusOf = (error: unknown): number | undefined => {
  const { statusCode } = (error ?? {}) as Partial<HubApiError>;
  return error instanceof Error && typeof statusCode === 'number' ? statusCode : undefined;
};

/** What the hub itself says, without what its client adds. */
function sentenceOf({ data, statusCode }: HubApiError): string {
  const { error, message } = (data ?? {}) as { error?: unknown; message?: unknown };
  const said = [error, message].find((one) => typeof one === 'string' && one !== '' && !/^\s*</.test(one));
  return typeof said === 'string' ? said.replace(/\s+/g, ' ').trim().replace(/\.$/, '') : `status ${statusCode}`;
}

/** Whether the same may go well a moment later: a connection broke, or the hub was not at its best. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof UserError)) return true;
  const status = statusOf(error.cause);
  return status === undefined ? networkReason(error.cause) !== undefined : status === 429 || status >= 500;
}

/** Why a request did not come back; undefined where it did. */
function networkReason(error: unknown): string | undefined {
  if (!(error instanceof TypeError) || !/fetch failed|terminated/.test(error.message)) return undefined;
  const { cause } = error;
  return cause instanceof Error
    ? cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name)
    : error.message;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
