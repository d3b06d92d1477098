import { call } from "./http";

export interface Incident {
  id: string;
  rule: { id: string; name: string };
  severity: string;
  status: "firing" | "acknowledged" | "resolved";
  target: string | null;
  breakers: string[];
  summary: string;
  started_at: string;
}

/** What is firing or acknowledged, newest first; null if it cannot be had. */
export async function unresolved(): Promise<Incident[] | null> {
  const answers = await Promise.all(
    ["firing", "acknowledged"].map((status) => call<{ items: Incident[] }>("GET", `incidents?status=${status}&limit=200`)),
  );
  return answers.every((answer) => answer.ok) ? answers.flatMap((answer) => (answer.ok ? answer.value.items : [])) : null;
}
