import { UserError } from '../engine/index.js';

const reasons: Readonly<Record<string, readonly [reason: string, hint?: string]>> = {
  ENOENT: ['it does not exist'],
  ENOTDIR: ['a part of its path is a file, not a folder'],
  EISDIR: ['it is a folder, not a file'],
  EACCES: ['permission is denied'],
  EPERM: ['permission is denied'],
  EROFS: ['the file system is read-only'],
  ENOSPC: ['the disk is full', 'free some space or choose another place'],
  EDQUOT: ['the disk quota is used up', 'free some space or choose another place'],
  EFBIG: ['the file would be larger than the system allows'],
  EMFILE: ['too many files are open'],
  ENFILE: ['too many files are open'],
  EEXIST: ['it exists already'],
  ENOTEMPTY: ['the folder is not empty'],
  EBUSY: ['it is in use'],
  EXDEV: ['it lies on another file system'],
  ENAMETOOLONG: ['its name is too long'],
  ELOOP: ['its symbolic links form a loop'],
  EIO: ['the device reports an input/output error'],
};

/** Node's code of a failed system call (`ENOSPC`), undefined for any other error. */
export function systemErrorCode(error: unknown): string | undefined {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return error instanceof Error && typeof code === 'string' && typeof syscall === 'string' ? code : undefined;
}

/**
 * A failed system call as a sentence: `cannot write out/model.safetensors: the disk is full (free some space …)`.
 * Any other error is returned as it is. `action` is `cannot read`, `cannot write`, and so on.
 */
export function fileError(error: unknown, action: string, path: string): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  const [reason, hint] = reasons[code] ?? [(error as Error).message];
  return new UserError(`${action} ${path}: ${reason}`, { hint, cause: error });
}
