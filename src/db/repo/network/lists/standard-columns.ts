/** Columns that every list of the network service has. */
import type { Columns } from '../list-rows.ts';

export const STANDARD_COLUMNS = {
  id: { type: 'text' },
  project_id: { type: 'text' },
  description: { type: 'text' },
  created_at: { type: 'number' },
  updated_at: { type: 'number' },
  revision: { type: 'number' },
} as const satisfies Columns;
