/** What was scored, searched or fitted on. */
export interface CalibrationRecord {
  readonly files: readonly string[];
  /** Rows, and tokens a row. */
  readonly samples: number;
  readonly length: number;
}
