/** Ribbons for the rows that a server-rendered page lists. */

import { History } from "../board/history";
import "../elements/pb-live";
import type { FrameEvent, PbLive } from "../elements/pb-live";
import "../elements/pb-ribbon";
import type { PbRibbon } from "../elements/pb-ribbon";
import { everySecond, now } from "../live/clock";
import type { Summary } from "../model/summary";

const REDRAW_EVERY_S = 5;

const live = document.querySelector<PbLive>("pb-live");
const summaries = new Map((JSON.parse(document.getElementById("row-data")?.textContent ?? "[]") as Summary[]).map((summary) => [summary.id, summary]));
const history = new History(now, draw);

function draw(): void {
  const end = now();
  for (const [id, summary] of summaries) {
    const place = document.querySelector<PbRibbon>(`[data-breaker="${CSS.escape(id)}"] pb-ribbon`);
    if (place !== null) place.spans = history.spans(summary, end);
  }
}

live?.addEventListener("pb-frame", (event) => {
  const { frame } = event as FrameEvent;
  const news = frame.type === "snapshot" ? frame.breakers : frame.type === "changes" ? frame.changed : [];
  for (const summary of news) if (summaries.has(summary.id)) summaries.set(summary.id, summary);
  history.want([...summaries.values()]);
});

let ticks = 0;
everySecond(() => {
  if (++ticks % REDRAW_EVERY_S === 0 && (live?.live ?? false)) draw();
});
history.want([...summaries.values()]);
