/** Models of the Hugging Face hub: their names, the cache that Python's huggingface_hub shares, and how they get there. */
export { CachedRepository } from './hubCache.js';
export { HubClient } from './hubClient.js';
export { includedFiles, modelFiles, type HubFile } from './hubFiles.js';
export { parseHubName, pulledName, showHubName, type HubName } from './hubName.js';
export { hubSettings, type HubSettings } from './hubSettings.js';
export { pullFile } from './pullFile.js';
