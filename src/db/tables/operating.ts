/** What an operator sees of the cloud itself: its processes, and the sets that its hosts are put into. Times are epoch ms. */

/** A process of a role that is no compute host; those are rows of `hosts`. */
export interface ServiceRow {
  id: string;
  /** Counts up over these and the hosts; what the API of older microversions calls it. */
  number: number;
  role: 'nova-conductor' | 'nova-scheduler';
  host: string;
  /** The last heartbeat. */
  seen_at: number;
  created_at: number;
}

export interface AggregateRow {
  /** Counts up. */
  id: number;
  uuid: string;
  name: string;
  /** JSON object of strings; `availability_zone` is the zone of its hosts. */
  metadata: string;
  created_at: number;
  /** Null until something of it was changed. */
  updated_at: number | null;
}

export interface AggregateHostRow {
  aggregate_id: number;
  host: string;
}

export interface OperatingTables {
  services: ServiceRow;
  aggregates: AggregateRow;
  aggregate_hosts: AggregateHostRow;
}
