/** Every setting as a TOML file, each with its default and switched off by a `#`. */
import { ConfigSchema } from '#config/config.ts';

interface Setting {
  readonly description: string;
  readonly default: unknown;
  readonly enum?: readonly string[];
}

const WIDTH = 100;

const HEADER = `Settings of Micronova on this machine, for all of its services. What has a '#' before it is the default.
The units say where the data are (/var/lib/micronova/…). Each key can be in the environment too, as MICRONOVA_ and the key
in capitals, and wins there; after a change: systemctl restart 'micronova-*'.`;

export function configExample(): string {
  const settings = Object.entries(ConfigSchema.properties).map(([key, schema]) => {
    const { description, enum: values, default: fallback } = schema as unknown as Setting;
    const choice = values ? ` One of ${values.join(', ')}.` : '';
    // A string of JSON is one of TOML.
    return `${comment(description + choice)}\n#${key} = ${JSON.stringify(fallback)}\n`;
  });
  return `${comment(HEADER)}\n\n${settings.join('\n')}`;
}

/** As lines that begin with `# `. */
function comment(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= WIDTH) lines.push(`# ${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join('\n');
}
