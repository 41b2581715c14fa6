/** `2 reservations`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`;
}

/** Of those things of which there are any. */
export function countedAll(...things: readonly (readonly [count: number, thing: string])[]): string {
  return things.filter(([count]) => count > 0).map(([count, thing]) => counted(count, thing)).join(', ');
}

/** Names in a sentence, at most. */
const NAMED_MAX = 10;

/** `web1, web2 and 3 more`. */
export function named(names: readonly string[]): string {
  const rest = names.length - NAMED_MAX;
  return rest > 0 ? `${names.slice(0, NAMED_MAX).join(', ')} and ${rest} more` : names.join(', ');
}
