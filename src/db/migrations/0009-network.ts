/** Networks, subnets, ports, security groups, routers, floating IPs. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const STANDARD =
  sql.raw(`id text primary key, project_id text not null, name text not null default '', description text not null,
  created_at bigint not null, updated_at bigint not null, revision integer not null`);

export const network: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table networks (${STANDARD},
      admin_state_up integer not null, shared integer not null, external integer not null, is_default integer not null,
      mtu integer not null, port_security integer not null, dns_domain text not null, vni integer not null unique)`.execute(
      db,
    );
    await sql`create index networks_project on networks (project_id, created_at, id)`.execute(db);
    await sql`create index networks_created on networks (created_at, id)`.execute(db);
    await sql`create index networks_of_all on networks (created_at, id) where shared = 1 or external = 1`.execute(db);
    await sql`create unique index networks_default on networks (is_default) where is_default = 1`.execute(db);
    await sql`create table subnets (${STANDARD},
      network_id text not null references networks(id), ip_version integer not null, cidr text not null, gateway_ip text,
      enable_dhcp integer not null, ipv6_ra_mode text, ipv6_address_mode text, allocation_pools text not null,
      dns_nameservers text not null, host_routes text not null)`.execute(db);
    await sql`create index subnets_network on subnets (network_id)`.execute(db);
    await sql`create index subnets_project on subnets (project_id, created_at, id)`.execute(db);
    await sql`create index subnets_created on subnets (created_at, id)`.execute(db);
    await sql`create table ports (${STANDARD},
      network_id text not null references networks(id), network_project text not null, mac_address text not null, admin_state_up integer not null,
      device_id text not null, device_owner text not null, nic integer not null, made_for_server integer not null, port_security integer not null,
      allowed_address_pairs text not null, dns_name text not null, binding_host text not null, vnic_type text not null,
      binding_profile text not null, unique (network_id, mac_address))`.execute(db);
    await sql`create index ports_project on ports (project_id, created_at, id)`.execute(db);
    await sql`create index ports_of_others on ports (network_project) where project_id <> network_project`.execute(db);
    await sql`create index ports_created on ports (created_at, id)`.execute(db);
    await sql`create index ports_device on ports (device_id)`.execute(db);
    await sql`create table port_addresses (
      port_id text not null references ports(id) on delete cascade, subnet_id text not null references subnets(id),
      address text not null, primary key (subnet_id, address))`.execute(db);
    await sql`create index port_addresses_port on port_addresses (port_id)`.execute(db);
    await sql`create index port_addresses_address on port_addresses (address)`.execute(db);
    await sql`create table security_groups (${STANDARD}, stateful integer not null, is_default integer not null)`.execute(
      db,
    );
    await sql`create index security_groups_project on security_groups (project_id, created_at, id)`.execute(db);
    await sql`create unique index security_groups_default on security_groups (project_id) where is_default = 1`.execute(
      db,
    );
    await sql`create table security_group_rules (
      id text primary key, project_id text not null, description text not null, created_at bigint not null,
      updated_at bigint not null, revision integer not null,
      group_id text not null references security_groups(id) on delete cascade, direction text not null, ethertype text not null,
      protocol text, port_min integer, port_max integer, remote_cidr text,
      remote_group_id text references security_groups(id) on delete cascade)`.execute(db);
    await sql`create index security_group_rules_group on security_group_rules (group_id)`.execute(db);
    await sql`create index security_group_rules_project on security_group_rules (project_id)`.execute(db);
    await sql`create index security_group_rules_remote on security_group_rules (remote_group_id)`.execute(db);
    await sql`create table port_security_groups (
      port_id text not null references ports(id) on delete cascade, group_id text not null references security_groups(id),
      primary key (port_id, group_id))`.execute(db);
    await sql`create index port_security_groups_group on port_security_groups (group_id)`.execute(db);
    await sql`create table routers (${STANDARD},
      admin_state_up integer not null, enable_snat integer not null, routes text not null, host text)`.execute(db);
    await sql`create index routers_project on routers (project_id, created_at, id)`.execute(db);
    await sql`create index routers_host on routers (host)`.execute(db);
    await sql`create table floating_ips (
      id text primary key, project_id text not null, description text not null, created_at bigint not null,
      updated_at bigint not null, revision integer not null,
      network_id text not null references networks(id), address text not null, port_id text not null unique references ports(id),
      fixed_port_id text references ports(id), fixed_address text, router_id text references routers(id),
      dns_name text not null, dns_domain text not null,
      unique (network_id, fixed_port_id, fixed_address))`.execute(db);
    await sql`create index floating_ips_project on floating_ips (project_id, created_at, id)`.execute(db);
    await sql`create index floating_ips_fixed_port on floating_ips (fixed_port_id)`.execute(db);
    await sql`create index floating_ips_router on floating_ips (router_id)`.execute(db);
    await sql`create table network_quotas (
      project_id text not null, resource text not null, amount integer not null, primary key (project_id, resource))`.execute(
      db,
    );
    await sql`create table network_tags (
      resource_id text not null, tag text not null, primary key (resource_id, tag))`.execute(db);
    await sql`create index network_tags_tag on network_tags (tag)`.execute(db);
    await sql`create table auto_topologies (
      project_id text primary key, network_id text not null unique references networks(id) on delete cascade,
      router_id text not null references routers(id) on delete cascade)`.execute(db);
  },
};
