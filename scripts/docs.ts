// Writes the pages of the documentation that are made from the program's own tables.
import { writeFileSync } from 'node:fs';
import { errorsPage } from '#cli/errors-page';
import { hardeningPage } from '#cli/hardening-page';

writeFileSync('docs/errors.md', errorsPage());
writeFileSync('docs/hardening.md', hardeningPage());
