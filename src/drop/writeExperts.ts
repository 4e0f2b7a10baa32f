import { join } from 'node:path';
import { formatJson, writeFolderAtomically, writeWeights } from '../checkpoint/index.js';
import { recordedDrops, stayingTensors, type OpenedModel } from '../models/index.js';
import { dropRecordFile, writeJson, writeText, type WriteDroppedOptions } from './writeDropped.js';

/**
 * Writes a mixture that `fewerExperts` has made smaller: a checkpoint of its own, with all that the model's folder said of
 * quantization and of dropped modules. The folder appears whole or not at all.
 */
export async function writeFewerExperts(
  { source, config, description }: OpenedModel,
  out: string,
  o: Pick<WriteDroppedOptions, 'onProgress' | 'overwrite' | 'report'> = {},
): Promise<void> {
  const kept = stayingTensors(description, recordedDrops(config), source.tensorNames());
  await writeFolderAtomically(
    out,
    async (folder) => {
      for (const what of ['tokenizer', 'quantization', 'drops'] as const) await source.copyAlong(what, folder);
      await writeText(join(folder, 'config.json'), formatJson(source.config, source.config));
      if (o.report) await writeJson(join(folder, dropRecordFile), o.report, 2);
      await writeWeights(
        folder,
        kept.flatMap((name) => source.stored(name)),
        { onProgress: ({ bytesDone, bytesTotal }) => o.onProgress?.(bytesDone, bytesTotal, 'bytes') },
      );
    },
    { overwrite: o.overwrite, reads: [source.folder] },
  );
}
