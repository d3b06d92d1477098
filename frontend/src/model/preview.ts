/** What is said of a rule's preview. */

import type { Preview, WouldBe } from "../api/rules";
import { counted, lasting } from "./words";

export function previewWords({ total, events, breakers }: Preview, span: string): string {
  const judged = `${counted(events, "change")} of ${counted(breakers, "breaker")}`;
  if (breakers === 0) return `Over the ${span} its matchers choose no breaker.`;
  return total === 0 ? `Over the ${span} it would not have fired, by ${judged}.` : `Over the ${span} it would have fired ${total === 1 ? "once" : `${total.toLocaleString("en-GB")} times`}, by ${judged}.`;
}

/** How long an incident would have lasted, or that it still would. */
export function lastedWords({ started_at, resolved_at, from_before }: WouldBe): string {
  const begun = from_before ? "began before, " : "";
  if (resolved_at === null) return `${begun}still firing`;
  return `${begun}for ${lasting((Date.parse(resolved_at) - Date.parse(started_at)) / 1_000)}${from_before ? " of it" : ""}`;
}
