import { UserError } from '../engine/index.js';
import { ClosingError, QueueFullError } from './scheduler.js';

/** What a client is told went wrong, in OpenAI's shape. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly details: { readonly type?: string; readonly param?: string; readonly code?: string } = {},
  ) {
    super(message);
  }

  get body(): object {
    const {
      type = this.status < 500 ? 'invalid_request_error' : 'server_error',
      param = null,
      code = null,
    } = this.details;
    return { error: { message: this.message, type, param, code } };
  }
}

/** What whatever was thrown is to a client. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof QueueFullError)
    return new ApiError(429, error.message, { type: 'rate_limit_error', code: 'queue_full' });
  if (error instanceof ClosingError) return new ApiError(503, error.message, { code: 'closing' });
  if (error instanceof UserError) {
    // A number that is not finite comes of the model's weights, and no request can help it.
    return new ApiError(error.name === 'NotFiniteError' ? 500 : 400, error.message);
  }
  const { statusCode, code } = (error ?? {}) as { statusCode?: unknown; code?: unknown };
  // Of Fastify: a body that is too large, or no JSON.
  if (typeof statusCode === 'number' && statusCode < 500)
    return new ApiError(statusCode, (error as Error).message, { code: typeof code === 'string' ? code : undefined });
  return new ApiError(500, 'the server failed: its log says how');
}
