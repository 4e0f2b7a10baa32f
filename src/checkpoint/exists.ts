import { access } from 'node:fs/promises';

/** Whether something of this name is there, and may be looked at. */
export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
