/** What may differ between two runs of the same program: times, dates, versions and rates. Everything else is compared. */

/** Keys of JSON documents, whatever is below them. */
export const maskedKeys = new Set(['date', 'version', 'versions', 'tokensPerSecond', 'speedup']);

/** What appears on stderr after two seconds: "scoring: 3 of 8 rows, 1.2 rows/s, 4 s left". */
export const progressLine = /^(?!note: |error: )[^:]+: \S+( [kMG]?i?B)? of \S+ \w+( \w+)*(, \S+ .+\/s, .+ left)?$/;
