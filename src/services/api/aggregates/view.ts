/** An aggregate as each microversion shows it. */
import { type AggregateMetadata, ZONE_KEY } from '#db/repo/aggregates.ts';
import type { AggregateRow } from '#db/tables/operating.ts';
import { micros } from '../times.ts';

/** What the answer to its creation shows: Nova leaves hosts and metadata out there. */
export function newAggregateView(row: AggregateRow, version: number): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    availability_zone: metadataOf(row)[ZONE_KEY] ?? null,
    created_at: micros(row.created_at),
    updated_at: row.updated_at === null ? null : micros(row.updated_at),
    deleted: false,
    deleted_at: null,
    ...(version >= 41 && { uuid: row.uuid }),
  };
}

export function aggregateView(
  row: AggregateRow,
  hosts: readonly string[] | undefined,
  version: number,
): Record<string, unknown> {
  return { ...newAggregateView(row, version), hosts: hosts ?? [], metadata: metadataOf(row) };
}

export function metadataOf(row: AggregateRow): AggregateMetadata {
  return JSON.parse(row.metadata) as AggregateMetadata;
}
