/** The image role's tables. Times are epoch ms; booleans are 0 or 1; sizes are bytes. */

export interface ImageRow {
  id: string;
  name: string | null;
  status: 'queued' | 'saving' | 'active' | 'deactivated' | 'killed';
  visibility: 'public' | 'private' | 'shared' | 'community';
  owner: string;
  protected: number;
  os_hidden: number;
  disk_format: string | null;
  container_format: string | null;
  min_disk: number;
  min_ram: number;
  size: number | null;
  virtual_size: number | null;
  /** MD5 in hex. */
  checksum: string | null;
  /** SHA-512 in hex. */
  os_hash_value: string | null;
  created_at: number;
  updated_at: number;
}

/** One of the owner's own properties. */
export interface ImagePropertyRow {
  image_id: string;
  name: string;
  value: string;
}

export interface ImageTagRow {
  image_id: string;
  tag: string;
}

export interface ImageMemberRow {
  image_id: string;
  member_id: string;
  status: 'pending' | 'accepted' | 'rejected';
  created_at: number;
  updated_at: number;
}

export interface ImageTables {
  images: ImageRow;
  image_properties: ImagePropertyRow;
  image_tags: ImageTagRow;
  image_members: ImageMemberRow;
}
