/**
 * `openrc` and `clouds.yaml`: how clients find the cloud and log in. Private to their owner (mode 0600).
 *
 * The generated passwords are nowhere else in the clear, so what these files hold is kept when they are written anew
 * (another port, another address).
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dump, load } from 'js-yaml';

interface CloudEntry {
  readonly auth: {
    readonly auth_url: string;
    readonly username: string;
    readonly password: string;
    readonly project_name: string;
    readonly user_domain_id: string;
    readonly project_domain_id: string;
  };
  readonly cacert?: string;
  readonly region_name: string;
  readonly identity_api_version: number;
}

/** Clouds by their names in `clouds.yaml`, and whose they are. */
const CLOUDS = { micronova: 'demo', 'micronova-admin': 'admin' } as const;

/** Where the cloud is, and the file of the authority that vouches for that; empty: any that the client believes. */
interface Address {
  readonly url: string;
  readonly ca?: string;
}

/** Writes both files. `passwords`: those just generated, by user name; others are taken from the files there are. */
export function writeCredentials(
  dataDir: string,
  { url, ca = '' }: Address,
  passwords: Readonly<Record<string, string>>,
): void {
  const path = join(dataDir, 'clouds.yaml');
  const known = existsSync(path)
    ? ((load(readFileSync(path, 'utf8')) as { clouds?: Record<string, CloudEntry> }).clouds ?? {})
    : {};
  const clouds: Record<string, CloudEntry> = {};
  for (const [cloud, user] of Object.entries(CLOUDS)) {
    const password = passwords[user] ?? known[cloud]?.auth.password;
    if (password === undefined) continue;
    clouds[cloud] = {
      auth: {
        auth_url: `${url}/identity`,
        username: user,
        password,
        project_name: user,
        user_domain_id: 'default',
        project_domain_id: 'default',
      },
      ...(ca !== '' && { cacert: ca }),
      region_name: 'RegionOne',
      identity_api_version: 3,
    };
  }
  writePrivate(path, dump({ clouds }));
  const admin = clouds['micronova-admin']?.auth;
  const demo = clouds.micronova?.auth;
  if (admin && demo)
    writePrivate(join(dataDir, 'openrc'), openrc(`${url}/identity`, ca, admin.password, demo.password));
}

function openrc(authUrl: string, ca: string, adminPassword: string, demoPassword: string): string {
  const authority = ca === '' ? '' : `export OS_CACERT='${ca}'\n`;
  return `# Credentials of this cloud: '. openrc' for admin, 'MICRONOVA_USER=demo . openrc' for demo.
export OS_AUTH_URL=${authUrl}/v3
${authority}export OS_IDENTITY_API_VERSION=3
export OS_REGION_NAME=RegionOne
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
if [ "\${MICRONOVA_USER:-admin}" = demo ]; then
  export OS_USERNAME=demo OS_PROJECT_NAME=demo OS_PASSWORD='${demoPassword}'
else
  export OS_USERNAME=admin OS_PROJECT_NAME=admin OS_PASSWORD='${adminPassword}'
fi
`;
}

function writePrivate(path: string, content: string): void {
  writeFileSync(`${path}.partial`, content, { mode: 0o600 });
  renameSync(`${path}.partial`, path);
}
