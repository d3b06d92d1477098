/** What every page loads: times that stay true, the live link, and lists that refresh themselves. */

import "../elements/pb-act";
import "../elements/pb-live";
import "../elements/pb-matching";
import "../elements/pb-preview";
import type { FrameEvent, LinkEvent, PbLive } from "../elements/pb-live";
import "../elements/pb-secret";
import "../elements/pb-time";
import { now, setServerTime } from "../live/clock";
import type { Frame } from "../live/frames";
import { zoneOf } from "../model/span";
import { watchApprovals } from "../page/approvals";
import { Refresher } from "../page/refresh";
import { copyButtons } from "../page/copy";
import { keys } from "../page/keys";
import { sendOnce } from "../page/once";
import { watchParts } from "../page/parts";

setServerTime(document.documentElement.dataset["now"] ?? "");
for (const zone of document.querySelectorAll("[data-zone]")) zone.textContent = zoneOf("", now());
keys();
copyButtons();
sendOnce();
const notice = document.querySelector<HTMLElement>("[data-parts-notice]");
if (notice !== null) watchParts(notice);

const live = document.querySelector<PbLive>("pb-live");
// There for those who may approve.
if (live !== null && document.querySelector(".to-approve") !== null) watchApprovals(live);
const regions = document.querySelectorAll<HTMLElement>("[data-refresh]");

if (live !== null && regions.length > 0) {
  const wanted = new Set([...regions].flatMap((region) => (region.dataset["refresh"] ?? "").split(" ")));
  const refresher = new Refresher();
  const id = [...regions].find((region) => region.dataset["refreshId"] !== undefined)?.dataset["refreshId"];
  /** A page about one breaker is only refreshed by what changes that one. */
  const concerns = (frame: Frame): boolean =>
    id === undefined || frame.type !== "changes" || frame.removed.includes(id) || frame.changed.some((summary) => summary.id === id);
  let seen = false;
  live.addEventListener("pb-frame", (event) => {
    const { frame } = event as FrameEvent;
    // The first snapshot comes with the page itself; a later one means that the link was lost for a while.
    if (frame.type === "snapshot" ? seen && wanted.has("changes") : wanted.has(frame.type) && concerns(frame)) refresher.request();
    if (frame.type === "snapshot") seen = true;
  });
  live.addEventListener("pb-link", (event) => {
    if ((event as LinkEvent).live && seen) refresher.request();
  });
  document.addEventListener("pb-refresh", () => refresher.request());
}

document.querySelector("[data-pause]")?.addEventListener("click", (event) => {
  if (live === null) return;
  live.paused = !live.paused;
  const button = event.currentTarget as HTMLButtonElement;
  button.textContent = live.paused ? "Resume" : "Pause";
  if (!live.paused) live.resync();
});

const rail = document.getElementById("rail");
const toggle = document.querySelector("[data-rail-toggle]");
document.addEventListener("click", (event) => {
  if (rail === null || toggle === null || !(event.target instanceof Node)) return;
  const open = toggle.contains(event.target) ? !rail.hasAttribute("data-open") : rail.contains(event.target) && rail.hasAttribute("data-open");
  rail.toggleAttribute("data-open", open);
  toggle.setAttribute("aria-expanded", String(open));
});
