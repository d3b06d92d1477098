import { call } from "./http";

const MOST = 100;

/** How many calls wait for whoever is signed in, at most a hundred; null if that cannot be had. */
export async function toApprove(): Promise<number | null> {
  const answer = await call<{ items: { may_approve: boolean }[] }>("GET", `approvals?status=pending&limit=${MOST}`);
  return answer.ok ? answer.value.items.filter((one) => one.may_approve).length : null;
}
