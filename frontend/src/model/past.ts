/** Reads what a ribbon needs of a history that may be long. */

import type { Change, Past } from "./ribbon";

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** A page of changes, newest first, of a span in the API's own words; null if it cannot be had. */
export type Read = (span: { since: string; until?: string; cursor?: string }) => Promise<Page<Change> | null>;

/** Where the outage's beginning does not lie further back, so many pages are read; what is older stays blank. */
const PAGES_MOST = 3;
/** The instances of a service trip on the same trouble, one soon after the other. */
const TRIPS_WITHIN_MS = 30_000;

/** A breaker that probes changes every second: only what is new is read then, and all of it once a minute, for
 * an agent that was cut off tells late. */
const WHOLE_EVERY_MS = 60_000;
const LATE_MS = 10_000;

export interface KnownPast extends Past {
  /** The beginning of the span, in milliseconds, when it was last read whole. */
  since: number;
}

/** The changes since a moment, as far as they can be had with little reading; null if they cannot be had. */
export async function readOn(read: Read, since: Date, outage: string | null, known: KnownPast | null): Promise<KnownPast | null> {
  const start = since.getTime();
  if (known !== null && start - known.since < WHOLE_EVERY_MS) {
    // In whole milliseconds, as it is asked for: nothing is to be read and kept as well.
    const from = Math.floor(Math.max(start, ...known.changes.map((change) => change.at))) - LATE_MS;
    const news = await read({ since: new Date(from).toISOString() });
    if (news === null) return null;
    const kept = known.changes.filter((change) => start <= change.at && change.at < from);
    if (news.next === null) return { ...known, changes: [...kept, ...news.items] };
  }
  const past = await readPast(read, since, outage);
  return past === null ? null : { ...past, since: start };
}

/** The changes since a moment, ordered as a `Past` is; null if they cannot be had. Where an outage is more than a
 * page long, the newest of it and those around its beginning tell enough: in between it was not closed. */
export async function readPast(read: Read, since: Date, outage: string | null): Promise<Past | null> {
  const span = { since: since.toISOString() };
  const tripped = outage === null ? Infinity : Date.parse(outage) + TRIPS_WITHIN_MS;
  const changes: Change[] = [];
  let oldest = Infinity;
  let cursor: string | null = "";
  for (let n = 0; n < PAGES_MOST && cursor !== null && (n === 0 || oldest < tripped); n++) {
    const page: Page<Change> | null = await read(cursor === "" ? span : { ...span, cursor });
    if (page === null) return null;
    changes.push(...page.items);
    oldest = Math.min(oldest, ...page.items.map((change) => change.at));
    cursor = page.next;
  }
  if (cursor === null) return { changes, gap: null };
  if (since.getTime() < tripped && tripped < oldest) {
    const beginning = await read({ ...span, until: new Date(tripped).toISOString() });
    if (beginning?.next === null) return { changes: [...changes, ...beginning.items], gap: { start: tripped, end: oldest } };
  }
  return { changes, gap: { start: since.getTime(), end: oldest } };
}
