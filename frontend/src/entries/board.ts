/** The board page: store, link and filter wired to <pb-board>. */

import { firingCount, unwellNow, type Unwell } from "../api/incidents";
import { History } from "../board/history";
import "../elements/pb-board";
import type { BoardFilter, FilterEvent, PbBoard } from "../elements/pb-board";
import "../elements/pb-live";
import type { FrameEvent, LinkEvent, PbLive } from "../elements/pb-live";
import "../elements/pb-ribbon";
import "../elements/pb-time";
import { everySecond, now } from "../live/clock";
import { Store } from "../live/store";
import { tabTitle } from "../model/headline";
import { isState, type Summary } from "../model/summary";
import { badge } from "../page/badge";
import { hue } from "../page/hue";
import { setTitle } from "../page/title";

const GROUPING = "panelboard.grouping";
/** The ribbon's window moves; a pixel of it is about ten seconds. */
const RIBBON_EVERY_S = 5;

const board = document.querySelector<PbBoard>("pb-board");
const live = document.querySelector<PbLive>("pb-live");
const box = document.querySelector<HTMLInputElement>("[data-filter-box]");
const picker = document.querySelector<HTMLSelectElement>("[data-environment]");

if (board !== null && live !== null) wire(board, live);

function wire(board: PbBoard, live: PbLive): void {
  const data = document.getElementById("board-data")?.textContent;
  const store = new Store(JSON.parse(data ?? "[]") as Summary[]);
  board.unwell = JSON.parse(document.getElementById("unwell-data")?.textContent ?? "[]") as Unwell[];
  /** Of a large fleet the page holds a part: the server's paint stands until all of it is there. */
  let whole = data != null;
  let ribbonEnd = now();
  const history = new History(now, paint);
  let painting = false;

  board.filter = fromAddress();
  board.grouping = localStorage.getItem(GROUPING) === "service" ? "service" : "state";
  board.spansOf = (summary) => history.spans(summary, ribbonEnd);
  if (box !== null) box.value = board.filter.text;

  function paint(): void {
    if (painting) return;
    painting = true;
    requestAnimationFrame(() => {
      painting = false;
      if (live.paused || !whole) return;
      board.summaries = new Map(store.breakers);
      title([...store.breakers.values()]);
      void board.updateComplete.then(() => {
        history.want(board.look);
        badge("overrides", [...store.breakers.values()].filter((summary) => summary.override !== null).length);
        environments([...store.breakers.values()]);
      });
    });
  }

  live.addEventListener("pb-frame", (event) => {
    const { frame } = event as FrameEvent;
    if (frame.type === "incident") void incidents();
    if (frame.type !== "snapshot" && frame.type !== "changes") return;
    const { changed, gap } = store.apply(frame);
    if (gap) live.resync();
    if (frame.type === "snapshot" && frame.part === frame.parts && !gap) whole = true;
    if (changed.size > 0) paint();
  });
  live.addEventListener("pb-link", (event) => {
    if (!(event as LinkEvent).live) return;
    paint();
    void incidents();
  });

  let ticks = 0;
  everySecond(() => {
    if (++ticks % RIBBON_EVERY_S !== 0 || !live.live) return; // Stale ribbons stop.
    ribbonEnd = now();
    paint();
  });

  board.addEventListener("pb-filter", (event) => choose((event as FilterEvent).wish));
  board.addEventListener("pb-grouping", () => localStorage.setItem(GROUPING, board.grouping));
  box?.addEventListener("input", () => choose({ text: box.value }));
  box?.form?.addEventListener("submit", (event) => event.preventDefault());
  picker?.addEventListener("change", () => choose({ environment: picker.value }));
  board.addEventListener("click", (event) => {
    // Links that only filter this very page need no new one.
    const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('a[href^="/?q="]') : null;
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose({ text: new URL(link.href).searchParams.get("q") ?? "" });
  });

  function choose(wish: Partial<BoardFilter>): void {
    board.filter = { ...board.filter, ...wish };
    if (box !== null && box.value !== board.filter.text) box.value = board.filter.text;
    if (picker !== null) mark(picker, board.filter.environment);
    toAddress(board.filter);
    paint();
  }

  /** Of the whole environment, whatever the page is filtered to: the tab is what one sees from elsewhere. */
  function title(summaries: readonly Summary[]): void {
    const { environment } = board.filter;
    setTitle(tabTitle(summaries.filter((summary) => environment === "" || summary.environment === environment)));
  }

  async function incidents(): Promise<void> {
    const [unwell, firing] = await Promise.all([unwellNow(), firingCount()]);
    if (unwell !== null) board.unwell = unwell;
    if (firing !== null) badge("incidents", firing);
  }

  if (whole) board.summaries = new Map(store.breakers);
  paint();
  live.resync(); // Frames that came before this page listened are asked for again.
}

function fromAddress(): BoardFilter {
  const query = new URLSearchParams(window.location.search);
  return {
    environment: query.get("environment") ?? "",
    text: query.get("q") ?? "",
    states: new Set((query.get("state") ?? "").split(",").filter(isState)),
  };
}

function toAddress({ environment, text, states }: BoardFilter): void {
  const query = new URLSearchParams();
  if (environment !== "") query.set("environment", environment);
  if (text !== "") query.set("q", text);
  if (states.size > 0) query.set("state", [...states].join(","));
  const search = query.toString();
  window.history.replaceState(null, "", search === "" ? "/" : `/?${search}`);
}

function mark(picker: HTMLSelectElement, environment: string): void {
  // Where there is one environment, it is named without being chosen.
  if ([...picker.options].every((option) => option.value !== environment)) return;
  picker.value = environment;
  const label = picker.closest<HTMLElement>(".environment");
  if (label === null) return;
  if (environment === "") delete label.dataset["hue"];
  else label.dataset["hue"] = String(hue(environment));
}

/** A new environment appears in the picker by itself. */
function environments(summaries: readonly Summary[]): void {
  if (picker === null) return;
  const known = new Set([...picker.options].map((option) => option.value));
  if (!known.has("") && new Set(summaries.map((summary) => summary.environment)).size > 1) {
    picker.replaceChildren(new Option("all environments", ""));
    known.clear();
    mark(picker, "");
  }
  for (const name of new Set(summaries.map((summary) => summary.environment))) {
    if (!known.has(name)) picker.add(new Option(name, name));
  }
}
