/** A whole compression from one recipe: dropped, compensated, quantized, exported. */
export { compress, compressReportFile, recipeFile, type CompressOptions, type CompressResult } from './compress.js';
export type { CompressReport, StageReport } from './compressReport.js';
export {
  exampleRecipe,
  parseRecipe,
  recipeSchema,
  type Recipe,
  type RecipeCompensation,
  type RecipeExport,
  type RecipeInputs,
  type RecipeQuantization,
  type RecipeText,
} from './recipe.js';
