/** What every page loads: times that stay true, the live link, and lists that refresh themselves. */

import "../elements/pb-live";
import type { FrameEvent, LinkEvent, PbLive } from "../elements/pb-live";
import "../elements/pb-time";
import { setServerTime } from "../live/clock";
import { Refresher } from "../page/refresh";
import { keys } from "../page/keys";

setServerTime(document.documentElement.dataset["now"] ?? "");
keys();

const live = document.querySelector<PbLive>("pb-live");
const regions = document.querySelectorAll<HTMLElement>("[data-refresh]");

if (live !== null && regions.length > 0) {
  const wanted = new Set([...regions].flatMap((region) => (region.dataset["refresh"] ?? "").split(" ")));
  const refresher = new Refresher();
  let seen = false;
  live.addEventListener("pb-frame", (event) => {
    const { frame } = event as FrameEvent;
    // The first snapshot comes with the page itself; a later one means that the link was lost for a while.
    if (frame.type === "snapshot" ? seen && wanted.has("changes") : wanted.has(frame.type)) refresher.request();
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
