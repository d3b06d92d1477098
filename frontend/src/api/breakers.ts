import { moment } from "../model/moment";
import { readOn, type KnownPast, type Page } from "../model/past";
import type { Change } from "../model/ribbon";
import type { Expiry, Start } from "../model/span";
import { isState, type Override } from "../model/summary";
import { call, type Answer } from "./http";

export interface BreakerEvent {
  instance: string;
  type: string;
  /** What it says that it left, or else what history has before it. */
  was?: string | null;
  to: string | null;
  occurred_at: string;
  /** Counts an instance's own events up; null where nothing does. */
  seq: number | null;
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
  const items = answer.value.items.flatMap(({ instance, was, to, occurred_at, seq }) =>
    isState(to) ? [{ instance, from: isState(was) ? was : null, to, at: moment(occurred_at), seq }] : [],
  );
  return { items, next: answer.value.next };
}

export type Wish = { mode: Override["mode"]; reason: string } & Start & Expiry;
/** The guard whose glass can be broken. */
export const GUARD = "max_forced_percent";
/** What a call carries for the limits of its environment. */
export type Carried = { confirm?: string; break_glass?: string };
/** The instances that a call is for; left out: all. */
export type Scoped = { instances?: readonly string[] };

/** A call that takes effect once another person has approved it. */
export interface Approval {
  id: string;
  status: "pending";
  expires_at: string;
}

export function waits(made: object): made is Approval {
  return "status" in made && made.status === "pending";
}

export function override(id: string, wish: Wish & Carried & Scoped): Promise<Answer<(Override & { revision: number }) | Approval>> {
  return call("PUT", `breakers/${encodeURIComponent(id)}/override`, wish);
}

/** Ends what stands, or takes back what is planned. */
export function release(id: string, reason: string, planned: boolean): Promise<Answer<unknown>> {
  return call("DELETE", `breakers/${encodeURIComponent(id)}/override`, { reason, planned });
}

export function command(id: string, name: "trip" | "reset", reason: string, carried: Carried & Scoped): Promise<Answer<{ revision: number } | Approval>> {
  return call("POST", `breakers/${encodeURIComponent(id)}/commands`, { command: name, reason, ...carried });
}
