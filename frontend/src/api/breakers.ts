import { isState, type Override } from "../model/summary";
import type { Change } from "../model/ribbon";
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

/** The state changes of a breaker since a moment, in no particular order; null if they cannot be had. */
export async function stateChanges(id: string, since: Date): Promise<Change[] | null> {
  const query = new URLSearchParams({ since: since.toISOString(), type: "state_change", limit: String(PAGE) });
  const answer = await call<Page<BreakerEvent>>("GET", `breakers/${encodeURIComponent(id)}/events?${query}`);
  if (!answer.ok) return null;
  return answer.value.items.flatMap((event) =>
    isState(event.to)
      ? [{ instance: event.instance, from: isState(event.from) ? event.from : null, to: event.to, at: Date.parse(event.occurred_at) }]
      : [],
  );
}

export type Expiry = { expires_in: number } | { expires_at: string } | { no_expiry: true };
export type Wish = { mode: Override["mode"]; reason: string } & Expiry;

export function override(id: string, wish: Wish): Promise<Answer<Override & { revision: number }>> {
  return call("PUT", `breakers/${encodeURIComponent(id)}/override`, wish);
}

export function release(id: string, reason: string): Promise<Answer<unknown>> {
  return call("DELETE", `breakers/${encodeURIComponent(id)}/override`, { reason });
}

export function command(id: string, name: "trip" | "reset", reason: string): Promise<Answer<unknown>> {
  return call("POST", `breakers/${encodeURIComponent(id)}/commands`, { command: name, reason });
}
