/** `npm run docs`: writes the generated pages anew. */
import { writeDocs } from './docs/pages.ts';

writeDocs();
