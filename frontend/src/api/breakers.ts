import { isState, type Override } from "../model/summary";
import type { Change, Past } from "../model/ribbon";
import { call, type Answer } from "./http";

export interface BreakerEvent {
  instance: string;
  type: string;
  from: string | null;
  to: string | null;
  occurred_at: string;
}

interface Page<T> {
  items: T[];
  next: string | null;
}

const PAGE = 1_000;
/** So many pages are read on the way back to the beginning of the outage, or of the span; then what is older stays blank. */
const PAGES_MOST = 3;
/** The instances of a service trip on the same trouble, one soon after the other. */
const TRIPS_WITHIN_MS = 30_000;

/** The state changes of a breaker since a moment; null if they cannot be had. Where there are more than a page of
 * an outage, the newest and those around its beginning tell enough: in between it was not closed. */
export async function stateChanges(id: string, since: Date, outage: string | null): Promise<Past | null> {
  const span = { since: since.toISOString() };
  const began = outage === null ? -Infinity : Date.parse(outage);
  const changes: Change[] = [];
  let end = Infinity;
  let cursor: string | null = "";
  for (let n = 0; n < PAGES_MOST && cursor !== null && (outage === null || end >= began); n++) {
    const page: Page<Change> | null = await changesOf(id, cursor === "" ? span : { ...span, cursor });
    if (page === null) return null;
    changes.push(...page.items);
    end = Math.min(end, ...page.items.map((change) => change.at));
    cursor = page.next;
  }
  if (cursor === null) return { changes, gap: null };
  const until = began + TRIPS_WITHIN_MS;
  if (until > since.getTime() && until < end) {
    const beginning = await changesOf(id, { ...span, until: new Date(until).toISOString() });
    if (beginning?.next === null) return { changes: [...changes, ...beginning.items], gap: { start: until, end } };
  }
  return { changes, gap: { start: since.getTime(), end } };
}

async function changesOf(id: string, span: Record<string, string>): Promise<Page<Change> | null> {
  const query = new URLSearchParams({ ...span, type: "state_change", limit: String(PAGE) });
  const answer = await call<Page<BreakerEvent>>("GET", `breakers/${encodeURIComponent(id)}/events?${query}`);
  if (!answer.ok) return null;
  const items = answer.value.items.flatMap(({ instance, from, to, occurred_at }) =>
    isState(to) ? [{ instance, from: isState(from) ? from : null, to, at: Date.parse(occurred_at) }] : [],
  );
  return { items, next: answer.value.next };
}

export type Expiry = { expires_in: number } | { expires_at: string } | { no_expiry: true };
export type Wish = { mode: Override["mode"]; reason: string } & Expiry;

export function override(id: string, wish: Wish): Promise<Answer<Override & { revision: number }>> {
  return call("PUT", `breakers/${encodeURIComponent(id)}/override`, wish);
}

export function release(id: string, reason: string): Promise<Answer<unknown>> {
  return call("DELETE", `breakers/${encodeURIComponent(id)}/override`, { reason });
}

export function command(id: string, name: "trip" | "reset", reason: string): Promise<Answer<{ revision: number }>> {
  return call("POST", `breakers/${encodeURIComponent(id)}/commands`, { command: name, reason });
}
