/** What was scored, searched or fitted on. */
export interface CalibrationRecord {
  readonly files: readonly string[];
  /** Rows, and tokens a row. */
  readonly samples: number;
  readonly length: number;
  /** Whether the rows are from all over the text; absent: they are its first ones. */
  readonly spread?: true;
}

export const calibrationRecord = (
  files: readonly string[],
  rows: readonly Int32Array[],
  spread = false,
): CalibrationRecord => ({
  files,
  samples: rows.length,
  length: rows[0].length,
  ...(spread && { spread }),
});

/** `256 rows of 2048 tokens`, for people. */
export const calibrationWords = ({ samples, length, spread }: Omit<CalibrationRecord, 'files'>): string =>
  `${samples} rows of ${length} tokens${spread ? ', from all over the text' : ''}`;
