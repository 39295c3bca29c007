/** Limits: what the project may have, and what it has. */
import { Type } from 'typebox';
import { countServerGroups } from '#db/repo/server-groups.ts';
import { usageOf } from '#db/repo/servers.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from './api-deps.ts';
import { lastOf, repeatable } from './paging.ts';
import { projectQuota } from './quotas/project-quota.ts';

export function limitRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2.1/limits',
      doc: 'Shows the limits of the project and what is used of them.',
      access: { rule: 'os_compute_api:limits', role: 'any' },
      query: Type.Object({ tenant_id: Type.Optional(repeatable(Type.String({ maxLength: 64 }))) }),
      success: 200,
      handle: async (request) => {
        const auth = caller(request);
        const asked = lastOf(request.query.tenant_id);
        if (asked !== undefined && asked !== auth.projectId && !auth.isAdmin) {
          throw new CloudError('policyForbids', { rule: 'os_compute_api:limits:other_project' });
        }
        const { db } = deps;
        const projectId = asked ?? auth.projectId;
        const quota = await projectQuota(db.queries, deps.quota, projectId);
        const usage = await usageOf(db.queries, projectId);
        const { version } = request;
        return {
          body: {
            limits: {
              rate: [],
              absolute: {
                maxTotalInstances: quota.instances,
                maxTotalCores: quota.cores,
                maxTotalRAMSize: quota.ramMib,
                maxServerMeta: quota.metadataItems,
                ...(version <= 38 && { maxImageMeta: quota.metadataItems }),
                ...(version <= 56 && { maxPersonality: 5, maxPersonalitySize: 10_240 }),
                maxTotalKeypairs: quota.keyPairs,
                maxServerGroups: quota.serverGroups,
                maxServerGroupMembers: quota.serverGroupMembers,
                ...(version <= 35 && {
                  maxTotalFloatingIps: -1,
                  maxSecurityGroups: -1,
                  maxSecurityGroupRules: -1,
                  totalFloatingIpsUsed: 0,
                  totalSecurityGroupsUsed: 0,
                }),
                totalInstancesUsed: usage.instances,
                totalCoresUsed: usage.vcpus,
                totalRAMUsed: usage.memoryMib,
                totalServerGroupsUsed: await countServerGroups(db.queries, projectId),
              },
            },
          },
        };
      },
    }),
  ];
}
