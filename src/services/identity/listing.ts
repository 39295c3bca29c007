/** What all lists and objects of Identity v3 have around them. */

/** `{users: […], links: {next, self, previous}}`; lists are never paged. */
export function listing(key: string, items: readonly unknown[], self: string): Record<string, unknown> {
  return { [key]: items, links: { next: null, self, previous: null } };
}

/** Keystone's reading of `?enabled=`: everything but a plain no is yes. */
export function booleanFilter(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : !['0', 'false', 'no', 'off'].includes(text.toLowerCase());
}
