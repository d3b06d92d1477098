/** Keeps the number of calls that wait for this person true on every page: asking for an approval, and deciding it,
 * shows as a change of the breakers that it touches; one that expires shows by itself, within a minute. */

import { toApprove } from "../api/approvals";
import type { FrameEvent } from "../elements/pb-live";
import { badge } from "./badge";

const AT_MOST_EVERY_MS = 5_000;
const EVERY_MS = 60_000;

export function watchApprovals(live: EventTarget): void {
  let last = -AT_MOST_EVERY_MS;
  let timer: number | undefined;
  const look = async (): Promise<void> => {
    timer = undefined;
    last = performance.now();
    const count = await toApprove();
    if (count !== null) badge("approvals", count);
  };
  const soon = (): void => {
    if (document.visibilityState !== "visible") return;
    timer ??= window.setTimeout(() => void look(), Math.max(0, last + AT_MOST_EVERY_MS - performance.now()));
  };
  live.addEventListener("pb-frame", (event) => {
    if ((event as FrameEvent).frame.type === "changes") soon();
  });
  document.addEventListener("visibilitychange", soon);
  window.setInterval(soon, EVERY_MS);
}
