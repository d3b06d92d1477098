/** What stands above what on the board: one order, gravest first, and where in it the well ones begin. The server has
 * the same for the first paint in `dashboard/pages/gravity.py`; test/cases/gravity.json holds both to it. */

import { isGone, type Summary } from "./summary";

/** Gravest first; what does not need a look is "well", or "gone". The server's twin says what each means. */
export const RUNGS = [
  "open",
  "failing",
  "refused",
  "unapplied",
  "still_forced",
  "forced_open",
  "half_open",
  "incident",
  "lost",
  "partly_lost",
  "silent",
  "held",
  "well",
  "gone",
] as const;
export type Rung = (typeof RUNGS)[number];

/** A word so old, with no agent to vouch for it, says little of now. */
const SILENT_AFTER_MS = 3_600_000;

/** Where it stands; `now` in milliseconds. */
export function rung(summary: Summary, hasIncident: boolean, now: number): Rung {
  const { state, override } = summary;
  if (isGone(summary)) return hasIncident ? "incident" : override === null ? "gone" : "held";
  const silent = isSilent(summary, now);
  if (state === "open" && !silent) return "open";
  if (isFailing(summary) && !silent) return "failing";
  if (override !== null && override.pending > 0) return override.refused ? "refused" : "unapplied";
  if (summary.still_forced) return "still_forced";
  if (silent && (hasIncident || (state !== "closed" && state !== "forced_closed"))) return "silent";
  if (state === "forced_open" || state === "half_open") return state;
  if (hasIncident) return "incident";
  if (lost(summary) > 0) return state === "unknown" ? "lost" : "partly_lost";
  if (summary.not_connected) return "partly_lost";
  return override === null ? "well" : "held";
}

/** How many of its instances are: others are unknown because they told no state yet. */
export function lost(summary: Pick<Summary, "states" | "untold">): number {
  return (summary.states.unknown ?? 0) - (summary.untold ?? 0);
}

/** Whether an outage is held closed: calls go through, and fail. */
export function isFailing(summary: Summary): boolean {
  return summary.state === "forced_closed" && summary.naturally_open > 0;
}

/** Whether nobody has said a word of it for long; an agent that is connected goes on vouching for its last one. */
function isSilent(summary: Summary, now: number): boolean {
  const word = summary.state === "unknown" ? summary.since : summary.agents === 0 ? summary.updated_at : undefined;
  return word !== undefined && (word === null || now - Date.parse(word) >= SILENT_AFTER_MS);
}
