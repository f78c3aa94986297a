import { writeFileSync } from 'node:fs';
import { inventoryJsonSchemaText } from '#inventory/json-schema';

// Writes inventory/schema.json from the schema the loader checks with; a unit test keeps the two equal.
writeFileSync(new URL('../inventory/schema.json', import.meta.url), inventoryJsonSchemaText());
