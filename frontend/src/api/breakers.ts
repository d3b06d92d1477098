import { readOn, type KnownPast, type Page } from "../model/past";
import type { Change } from "../model/ribbon";
import { isState, type Override } from "../model/summary";
import { call, type Answer } from "./http";

export interface BreakerEvent {
  instance: string;
  type: string;
  from: string | null;
  to: string | null;
  occurred_at: string;
}

const PAGE = 1_000;

/** The state changes of a breaker since a moment, beyond those known; null if they cannot be had. */
export function stateChanges(id: string, since: Date, outage: string | null, known: KnownPast | null): Promise<KnownPast | null> {
  return readOn((span) => changesOf(id, span), since, outage, known);
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
