/** Markdown tables and the line that says where a page comes from. */

export function page(title: string, source: string, body: string): string {
  return `# ${title}\n\n<!-- Generated from ${source} by 'npm run docs'; do not edit. -->\n\n${body.trim()}\n`;
}

export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}
