import type { Expiry, Start } from "../model/span";
import type { Override, State } from "../model/summary";
import type { Approval, Carried } from "./breakers";
import { call, type Answer } from "./http";

export interface Match {
  environment?: string;
  service?: string;
  target?: string;
  state?: string;
  q?: string;
}

/** Which breakers; `everything` must be said where the match is empty. */
export interface Choice {
  match: Match;
  everything: boolean;
}

export type ManyWish = { mode: Override["mode"]; reason: string } & Start & Expiry;

export interface Touched {
  id: string;
  environment: string;
  service: string;
  breaker: string;
  target: string | null;
  state: State;
  override: Override | null;
  instances: string[];
  unreachable: string[];
  /** The start of what waits, where another plan would replace it. */
  planned: string | null;
}

export interface Reach {
  digest: string;
  breakers: Touched[];
}

/** What to do with all of a choice: force them, or (null) release them. */
export interface Many {
  choice: Choice;
  wish: ManyWish | null;
  reason: string;
}

/** What it would touch; nothing is done. */
export function look(many: Many): Promise<Answer<Reach>> {
  return post(many, { dry_run: true });
}

/** Does it, to the set of this digest or not at all. */
export function act(many: Many, digest: string, carried: Carried): Promise<Answer<Reach | Approval>> {
  return post(many, { digest, ...(many.wish === null ? {} : carried) });
}

function post<T extends Reach | Approval>({ choice, wish, reason }: Many, how: { dry_run: true } | ({ digest: string } & Carried)): Promise<Answer<T>> {
  return wish === null ? call("POST", "overrides/release", { ...choice, reason, ...how }) : call("POST", "overrides", { ...choice, ...wish, ...how });
}
