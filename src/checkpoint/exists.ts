import { fileSystem } from './files/index.js';

/** Whether something of this name is there, and may be looked at. */
export const exists = (path: string): Promise<boolean> =>
  fileSystem.stat(path).then(
    () => true,
    () => false,
  );
