import type {
  AsyncBuffer,
  ColumnMetaData,
  CompressionCodec,
  Compressors,
  DataReader,
  PageHeader,
  RowGroup,
  SchemaTree,
} from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel, getTreePath } from 'hyparquet/src/schema.js';
import { readVarInt } from 'hyparquet/src/thrift.js';

/** Far more than writers put into a page, and less than what V8 can hold in an array. */
const mostValues = 2 ** 24;

interface Column {
  readonly type: ColumnMetaData['type'];
  /** The highest levels of repetition and definition. */
  readonly levels: readonly [repetition: number, definition: number];
  readonly unpack: (bytes: Uint8Array, size: number) => Uint8Array;
}

const readerOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataReader => ({
  view: new DataView(buffer, byteOffset, byteLength),
  offset: 0,
});

/** Checks runs of up to `values` integers of `width` bits: each repeats one, or packs eight or more. */
function checkHybrid(reader: DataReader, width: number, values: number): void {
  let seen = 0;
  while (seen < values && reader.offset < reader.view.byteLength) {
    const header = readVarInt(reader) >>> 0;
    const packed = header % 2 === 1;
    const count = packed ? (header >>> 1) * 8 : header >>> 1;
    // The last eight of a packed run may be filled up.
    if (count > values - seen + (packed ? 7 : 0))
      throw new Error(`a run of ${count} values in a page of ${values}, behind the first ${seen}`);
    reader.offset += packed ? (count / 8) * width : Math.ceil(width / 8);
    seen += count;
  }
}

/** Checks levels from 0 to `most`, which follow their length in bytes. */
function checkLevels(reader: DataReader, most: number, values: number): void {
  if (most === 0) return;
  const end = reader.offset + 4 + reader.view.getUint32(reader.offset, true);
  reader.offset += 4;
  checkHybrid(reader, bitsOf(most), values);
  reader.offset = end;
}

const bitsOf = (most: number): number => 32 - Math.clz32(most);

/** Checks the places in a dictionary, which follow their width in bits. */
const checkPlaces = (reader: DataReader, values: number): void =>
  checkHybrid(reader, reader.view.getUint8(reader.offset++), values);

function checkPage(bytes: Uint8Array, header: PageHeader, { type, levels, unpack }: Column): void {
  const { data_page_header: first, data_page_header_v2: second, uncompressed_page_size: size } = header;
  const [repetition, definition] = levels;
  const about = header.type === 'DATA_PAGE' ? first : header.type === 'DATA_PAGE_V2' ? second : undefined;
  if (!about) return;
  const { num_values: values, encoding } = about;
  if (values > mostValues) throw new Error(`a page of ${values} values, more than ${mostValues}`);
  const isHybrid = encoding === 'RLE' || encoding.endsWith('_DICTIONARY');
  if (about === first) {
    const reader = readerOf(unpack(bytes, size));
    checkLevels(reader, repetition, values);
    checkLevels(reader, definition, values);
    if (isHybrid && type === 'BOOLEAN') checkLevels(reader, 1, values);
    else if (isHybrid) checkPlaces(reader, values);
  } else if (second) {
    const { repetition_levels_byte_length: repetitions, definition_levels_byte_length: definitions } = second;
    if (repetition > 0) checkHybrid(readerOf(bytes.subarray(0, repetitions)), bitsOf(repetition), values);
    const rest = bytes.subarray(repetitions);
    if (definition > 0) checkHybrid(readerOf(rest.subarray(0, definitions)), bitsOf(definition), values);
    if (!isHybrid) return;
    const unpacked = size - repetitions - definitions;
    const packed = second.is_compressed !== false && unpacked > 0;
    const reader = readerOf(packed ? unpack(rest.subarray(definitions), unpacked) : rest.subarray(definitions));
    if (encoding === 'RLE') checkLevels(reader, 1, values);
    else checkPlaces(reader, values);
  }
}

/**
 * Refuses a page with a run of more values than the page has. The library takes a run's length on trust and writes it
 * past the end of its array, until V8 gives up and the process ends.
 */
export async function checkRuns(
  file: AsyncBuffer,
  { columns }: RowGroup,
  schema: SchemaTree,
  wanted: readonly string[],
  compressors: Compressors,
): Promise<void> {
  for (const { meta_data: about } of columns) {
    if (!about || !wanted.includes(about.path_in_schema[0])) continue;
    const { type, codec, path_in_schema: path, total_compressed_size: size } = about;
    const schemaPath = getTreePath(schema, path);
    const column: Column = {
      type,
      levels: [getMaxRepetitionLevel(schemaPath), getMaxDefinitionLevel(schemaPath)],
      unpack: (bytes, length) => decompressPage(bytes, length, codec as CompressionCodec, compressors),
    };
    const start = Number(about.dictionary_page_offset || about.data_page_offset);
    const reader = { view: new DataView(await file.slice(start, start + Number(size))), offset: 0 };
    while (reader.offset < reader.view.byteLength - 1) {
      const header = parquetHeader(reader);
      const { buffer, byteOffset } = reader.view;
      checkPage(new Uint8Array(buffer, byteOffset + reader.offset, header.compressed_page_size), header, column);
      reader.offset += header.compressed_page_size;
    }
  }
}
