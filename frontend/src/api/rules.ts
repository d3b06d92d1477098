import { ask, type Answer } from "./http";

export interface Matching {
  breakers: number;
  of: number;
}

/** How many breakers these matchers choose now. */
export function matching(matchers: readonly string[]): Promise<Answer<Matching>> {
  return ask("rules/matching", { matchers });
}

export interface WouldBe {
  summary: string;
  environment: string;
  started_at: string;
  resolved_at: string | null;
  from_before: boolean;
}

export interface Preview {
  breakers: number;
  events: number;
  total: number;
  incidents: WouldBe[];
}

/** What a rule, as its form says it, would have fired on since a moment. */
export function preview(rule: Record<string, unknown>, since: Date): Promise<Answer<Preview>> {
  return ask("rules/preview", { ...rule, since: since.toISOString() });
}
