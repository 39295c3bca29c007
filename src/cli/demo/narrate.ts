/** How the demos tell their stories: chapters, sentences, and what guests said. */
import { styleText } from 'node:util';

export function title(text: string): void {
  process.stdout.write(`\n${styleText('bold', text)}\n`);
}

export function say(text: string): void {
  process.stdout.write(`  ${text}\n`);
}

export function quote(who: string, text: string): void {
  for (const line of text.split('\n')) process.stdout.write(`  ${styleText('yellow', `${who} │`)} ${line}\n`);
}
