import { call } from "./http";

/** A breaker and the incident in which it is not well. */
export interface Unwell {
  breaker: string;
  incident: string;
  rule: { id: string; name: string };
}

/** Each breaker that is not well in an incident, with the gravest and newest; null if that cannot be had. */
export async function unwellNow(): Promise<Unwell[] | null> {
  const answer = await call<{ items: Unwell[] }>("GET", "incidents/unwell");
  return answer.ok ? answer.value.items : null;
}

/** How many are firing, up to 200; null if that cannot be had. */
export async function firingCount(): Promise<number | null> {
  const answer = await call<{ items: unknown[] }>("GET", "incidents?status=firing&limit=200");
  return answer.ok ? answer.value.items.length : null;
}
