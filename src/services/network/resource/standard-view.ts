/** What every view begins with. */

interface StandardRow {
  readonly id: string;
  readonly project_id: string;
  readonly description: string;
  readonly created_at: number;
  readonly updated_at: number;
  readonly revision: number;
}

export function standardView(row: StandardRow) {
  return {
    id: row.id,
    project_id: row.project_id,
    tenant_id: row.project_id,
    description: row.description,
    created_at: isoSeconds(row.created_at),
    updated_at: isoSeconds(row.updated_at),
    revision_number: row.revision,
  };
}

/** `2026-01-31T12:00:00Z`. */
export function isoSeconds(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}
