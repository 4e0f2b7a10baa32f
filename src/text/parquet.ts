import { decompress } from 'fzstd';
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type Compressors,
  type FileMetaData,
  type SchemaTree,
} from 'hyparquet';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { checkRuns } from './parquetRuns.js';

const compressors: Compressors = {
  GZIP: (bytes) => gunzipSync(bytes),
  BROTLI: (bytes) => brotliDecompressSync(bytes),
  ZSTD: (bytes, length) => decompress(bytes, new Uint8Array(length)),
};

/**
 * Each group of rows must have the columns of the schema, each once. The library reads them all at once, and would leave
 * one that it does not look for to fail by itself.
 */
function checkColumns({ row_groups: groups }: FileMetaData, schema: SchemaTree): void {
  const leaves = ({ path, children }: SchemaTree): string[] =>
    children.length ? children.flatMap(leaves) : [path.join('.')];
  const wanted = leaves(schema).sort().join();
  const found = ({ columns }: FileMetaData['row_groups'][number]): string =>
    columns
      .map(({ meta_data: about }) => about?.path_in_schema.join('.') ?? '')
      .sort()
      .join();
  if (groups.some((group) => found(group) !== wanted)) throw new Error('its columns are not those of its schema');
}

/**
 * The rows of a parquet file, in order, a group of rows in memory at a time; of its columns only `field` where it has
 * it. UserError where the file cannot be read.
 */
export async function* parquetRows(path: string, field?: string): AsyncGenerator<Record<string, unknown>> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const schema = parquetSchema(metadata);
    checkColumns(metadata, schema);
    const columns = schema.children.map(({ element }) => element.name);
    const wanted = field !== undefined && columns.includes(field) ? [field] : columns;
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      await checkRuns(file, group, schema, wanted, compressors);
      const rowEnd = rowStart + Number(group.num_rows);
      yield* await parquetReadObjects({ file, metadata, columns: wanted, rowStart, rowEnd, compressors });
      rowStart = rowEnd;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    const known = fileError(error, 'cannot read', path);
    if (known !== error) throw known;
    // What the library stumbles over is a broken structure; what it says itself is worth telling.
    const why = error instanceof TypeError || error instanceof RangeError ? 'it is broken' : (error as Error).message;
    throw new UserError(`${path} is not a parquet file that can be read: ${why}`, { cause: error });
  }
}
