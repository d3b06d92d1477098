/** The breaker page beyond what every page does: the hand on it, and a ribbon for each instance. */

import { stateChanges } from "../api/breakers";
import { WINDOW_MS } from "../board/history";
import "../elements/pb-hand";
import "../elements/pb-live";
import type { FrameEvent, PbLive } from "../elements/pb-live";
import "../elements/pb-release";
import "../elements/pb-ribbon";
import type { PbRibbon } from "../elements/pb-ribbon";
import { everySecond, now } from "../live/clock";
import type { KnownPast } from "../model/past";
import { ribbon } from "../model/ribbon";
import { isState } from "../model/summary";

const REDRAW_EVERY_S = 5;
const FETCH_AGAIN_MS = 1_000;

const live = document.querySelector<PbLive>("pb-live");
const id = document.querySelector<HTMLElement>("[data-breaker]")?.dataset["breaker"] ?? "";
let past: KnownPast | null = null;
let running = false;
let fetching: number | undefined;

function draw(): void {
  if (past === null) return;
  const end = now();
  for (const lane of document.querySelectorAll<PbRibbon>("pb-ribbon[data-lane]")) {
    const state = lane.dataset["nowState"];
    if (!isState(state)) continue;
    const changes = past.changes.filter((change) => change.instance === lane.dataset["lane"]);
    const standing = { instances: 1, state, states: { [state]: 1 }, since: lane.dataset["since"] || null, not_closed_since: lane.dataset["notClosedSince"] || null };
    lane.spans = ribbon({ changes, gap: past.gap }, standing, end - WINDOW_MS, end);
  }
}

async function fetchChanges(): Promise<void> {
  fetching = undefined;
  if (running) return later(FETCH_AGAIN_MS);
  running = true;
  const head = document.getElementById("breaker-head");
  past = (await stateChanges(id, new Date(now() - WINDOW_MS), head?.dataset["notClosedSince"] || null, past)) ?? past;
  running = false;
  draw();
}

function later(ms: number): void {
  fetching ??= window.setTimeout(() => void fetchChanges(), ms);
}

live?.addEventListener("pb-frame", (event) => {
  const { frame } = event as FrameEvent;
  const news = frame.type === "snapshot" || (frame.type === "changes" && frame.changed.some((summary) => summary.id === id));
  if (news) later(past === null ? 0 : FETCH_AGAIN_MS);
});

let ticks = 0;
everySecond(() => {
  if (++ticks % REDRAW_EVERY_S === 0 && (live?.live ?? false)) draw();
});

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest<HTMLButtonElement>("[data-copy-link]") : null;
  if (button === null) return;
  void navigator.clipboard.writeText(window.location.href).then(() => {
    button.textContent = "Copied";
    window.setTimeout(() => (button.textContent = "Copy link"), 1_500);
  });
});

void fetchChanges();
