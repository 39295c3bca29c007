/** Every setting as a page. */
import { ConfigSchema } from '#config/config.ts';
import { page, table } from './markdown.ts';

interface Setting {
  readonly description: string;
  readonly default: unknown;
  readonly type?: string;
  readonly enum?: readonly string[];
}

export function configPage(): string {
  const rows = Object.entries(ConfigSchema.properties).map(([key, schema]) => {
    const setting = schema as unknown as Setting;
    const kind = setting.enum ? setting.enum.join(', ') : (setting.type ?? '');
    return [`\`${key}\``, kind, `\`${String(setting.default)}\``, setting.description];
  });
  return page(
    'Settings',
    'src/config/config.ts',
    `A value comes from a flag of \`micronova up\`, else from the environment (\`MICRONOVA_\` and the key in capitals), else
from the TOML file given with \`--config\`, else it is the default.

${table(['key', 'values', 'default', 'what for'], rows)}`,
  );
}
