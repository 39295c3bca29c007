/** The identity role's tables. Times are epoch ms; booleans are 0 or 1 (SQLite has no other and PostgreSQL agrees). */

export interface ProjectRow {
  id: string;
  name: string;
  description: string;
  enabled: number;
  created_at: number;
}

export interface UserRow {
  id: string;
  name: string;
  /** Argon2id in PHC form, or null for a user who cannot log in by password. */
  password_hash: string | null;
  enabled: number;
  default_project_id: string | null;
  email: string | null;
  description: string | null;
  created_at: number;
}

export interface RoleRow {
  id: string;
  name: string;
  description: string | null;
}

export interface RoleAssignmentRow {
  user_id: string;
  project_id: string;
  role_id: string;
}

/**
 * A token issued at or before `before` is refused when its audit id matches, or its user (and project, where the row
 * has both), or, where the row has nothing but a project, its project.
 */
export interface TokenRevocationRow {
  id: string;
  audit_id: string | null;
  user_id: string | null;
  project_id: string | null;
  before: number;
  /** When every token that this row refuses has expired by itself, so that the row can go. */
  expires_at: number;
}

export interface SigningKeyRow {
  id: string;
  /** 32 random bytes in base64url. */
  key: string;
  created_at: number;
}

/** One row, `id` 1, counted up in the same transaction as every identity write: how other processes notice it. */
export interface IdentityRevisionRow {
  id: number;
  revision: number;
}

export interface IdentityTables {
  projects: ProjectRow;
  users: UserRow;
  roles: RoleRow;
  role_assignments: RoleAssignmentRow;
  token_revocations: TokenRevocationRow;
  signing_keys: SigningKeyRow;
  identity_revision: IdentityRevisionRow;
}
