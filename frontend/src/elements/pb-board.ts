/** The board: headline, chips, what needs a look, what is well. Drawn over the server's first paint in
 * the same markup, in the document itself so that one style sheet dresses both. */

import { html, LitElement, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Unwell } from "../api/incidents";
import { glyph } from "../board/parts";
import { row } from "../board/row";
import { NAMED_MOST, wall } from "../board/wall";
import { now } from "../live/clock";
import { arrange, held, type Arranged, type Group, type Grouping } from "../model/arrange";
import { filter } from "../model/filter";
import { filteredUnderline, headline, underline, type Part } from "../model/headline";
import type { Span } from "../model/ribbon";
import { counted } from "../model/words";
import { countByState, isGone, stateWord, STATES, type State, type Summary } from "../model/summary";

export interface BoardFilter {
  environment: string;
  text: string;
  states: ReadonlySet<State>;
}

export class FilterEvent extends Event {
  constructor(readonly wish: Partial<BoardFilter>) {
    super("pb-filter");
  }
}

/** A pointer that rests on the list and does not move has been forgotten there. */
const FORGOTTEN_MS = 20_000;
const CHIPS: readonly State[] = ["open", "half_open", "forced_open", "forced_closed", "unknown", "closed"];

export class PbBoard extends LitElement {
  static override properties = {
    summaries: { attribute: false },
    filter: { attribute: false },
    grouping: { attribute: false },
    spansOf: { attribute: false },
    unwell: { attribute: false },
  };

  /** null until the page's data is there: the server's first paint stands until then. */
  declare summaries: ReadonlyMap<string, Summary> | null;
  declare filter: BoardFilter;
  declare grouping: Grouping;
  declare spansOf: (summary: Summary) => Span[] | null;
  declare unwell: readonly Unwell[];

  /** The rows that are shown, so that their history can be fetched. */
  look: readonly Summary[] = [];
  #heldAt: Arranged | null = null;
  #lastMove = 0;
  #forget: number | undefined;

  constructor() {
    super();
    this.summaries = null;
    this.filter = { environment: "", text: "", states: new Set() };
    this.grouping = "state";
    this.spansOf = () => null;
    this.unwell = [];
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override shouldUpdate(): boolean {
    return this.summaries !== null;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.addEventListener("pointerover", this.#pointed);
    this.addEventListener("pointermove", this.#moved, { passive: true });
    this.addEventListener("pointerleave", this.#left);
    this.addEventListener("focusin", this.#pointed);
    this.addEventListener("focusout", this.#left);
    this.addEventListener("keydown", this.#keyed);
  }

  #shown: Arranged = { look: [], well: [], gone: [], rungs: new Map() };

  protected override willUpdate(): void {
    if (!this.hasUpdated) this.replaceChildren();
    this.#hold();
  }

  protected override render(): TemplateResult {
    const summaries = this.summaries ?? new Map<string, Summary>();
    const inScope = [...summaries.values()].filter(
      (summary) => this.filter.environment === "" || summary.environment === this.filter.environment,
    );
    if (summaries.size === 0) return this.#empty();
    const matching = inScope.filter(filter(this.filter.text));
    const chosen = this.filter.states.size === 0 ? matching : matching.filter((summary) => !isGone(summary) && this.filter.states.has(summary.state));
    const among = new Set(chosen);
    const hidden = [...summaries.values()].filter((summary) => !among.has(summary));
    const incidents = new Map(this.unwell.map((one) => [one.breaker, one]));
    const next = arrange(chosen, { incidents, now: now() }, this.grouping);
    const { shown, waiting } = this.#heldAt === null ? { shown: next, waiting: 0 } : held(this.#heldAt, next, new Map(chosen.map((summary) => [summary.id, summary])));
    this.#shown = shown;
    this.look = shown.look;
    const well = members(shown.well);
    const gone = members(shown.gone);
    const environments = new Set(inScope.map((summary) => summary.environment)).size > 1;
    return html`
      <header class="head">
        <h1 class="headline" aria-live="polite" aria-atomic="true">${headline(chosen, hidden.length > 0, next.look.length).map(part)}</h1>
        ${hidden.length === 0
          ? html`<p class="sub">${underline(chosen)}</p>`
          : html`<p class="sub">${filteredUnderline(chosen, hidden)} <a href="/" @click=${this.#showAll}>Show all</a></p>`}
      </header>
      ${this.#chips(matching)}
      ${chosen.length === 0 ? this.#nothingMatches() : nothing}
      ${chosen.length > 0 && (shown.look.length > 0 || this.filter.states.size === 0) ? this.#look(shown, incidents, waiting, hidden.length > 0) : nothing}
      ${well > 0
        ? html`<section class="well" aria-labelledby="well-title">
            <div class="section-head">
              <h2 id="well-title">Well</h2>
              <span class="quiet">${wellWords(shown)}</span>
            </div>
            ${wall(shown.well, well <= NAMED_MOST, environments)}
          </section>`
        : nothing}
      ${gone > 0
        ? html`<details class="gone">
            <summary><b>No longer running</b><span class="quiet">${counted(gone, "breaker")}, of which no instance is left</span></summary>
            ${wall(shown.gone, gone <= NAMED_MOST, environments)}
          </details>`
        : nothing}
    `;
  }

  #empty(): TemplateResult {
    // Somebody limited to environments sees an empty board where others do not.
    const limits = this.dataset["limits"];
    return html`
      <header class="head">
        <h1 class="headline" aria-live="polite" aria-atomic="true">${(limits === undefined ? headline([]) : [{ text: "No breaker that you may see." }]).map(part)}</h1>
        <p class="sub">${underline([])}</p>
      </header>
      <div class="empty">
        ${glyph("unknown")}
        <h2>Nothing${limits === undefined ? "" : " that you may see"} is connected</h2>
        <p>${limits === undefined ? "" : `You see what lies within ${limits} alone. `}Three lines of Python or one <code>curl</code> bring the first breaker here, within a second of its first word.</p>
        <p><a class="button primary" href="/connect/">Connect a service</a></p>
      </div>
    `;
  }

  #chips(summaries: readonly Summary[]): TemplateResult {
    const counts = countByState(summaries);
    return html`<nav class="chips" aria-label="Filter by state">
      ${CHIPS.map((state) => {
        const on = this.filter.states.has(state);
        return html`<a
          class="chip"
          href="/?state=${state}"
          data-chip=${state}
          data-empty=${counts[state] === 0 ? "" : nothing}
          aria-current=${on ? "true" : nothing}
          @click=${(event: MouseEvent) => this.#choose(event, state)}
          ><span class="chip-glyph" data-tone=${state}>${glyph(state)}</span><b>${counts[state].toLocaleString("en-GB")}</b> ${stateWord(state)}</a
        >`;
      })}
    </nav>`;
  }

  #choose(event: MouseEvent, state: State): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const states = new Set(this.filter.states);
    if (!states.delete(state)) states.add(state);
    this.#heldAt = null;
    this.dispatchEvent(new FilterEvent({ states }));
  }

  #showAll = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.dispatchEvent(new FilterEvent({ environment: "", text: "", states: new Set() }));
  };

  #look({ look, rungs }: Arranged, incidents: ReadonlyMap<string, Unwell>, waiting: number, filtered: boolean): TemplateResult {
    return html`<section class="look" aria-labelledby="look-title">
      <div class="section-head">
        <h2 id="look-title">Needs a look</h2>
        ${look.length > 0 ? html`<span class="quiet">gravest first · order held while you point at it</span>` : nothing}
        <span class="push"></span>
        ${waiting > 0 ? html`<button class="waiting" type="button" @click=${this.#release}>${waiting} new</button>` : nothing}
        ${look.length > 1
          ? html`<label class="choice">Group:
              <select @change=${this.#group}>
                <option value="state" ?selected=${this.grouping === "state"}>gravity</option>
                <option value="service" ?selected=${this.grouping === "service"}>service</option>
              </select></label
            >`
          : nothing}
      </div>
      ${look.length === 0
        ? html`<p class="all-well"><span data-tone="closed">${glyph("closed")}</span> ${filtered ? "Nothing shown" : "Nothing"} needs a look. A breaker that trips, is forced or falls silent comes up here.</p>`
        : html`<ol class="rows" role="list">
            ${repeat(look, (summary) => summary.id, (summary) => row(summary, this.spansOf(summary), incidents.get(summary.id), rungs.get(summary.id)))}
          </ol>`}
    </section>`;
  }

  #nothingMatches(): TemplateResult {
    return html`<div class="empty">
      <h2>No breaker matches this filter</h2>
      <p>All ${this.summaries?.size ?? 0} are still there, only hidden.</p>
      <p><button class="button" type="button" @click=${this.#showAll}>Clear the filter</button></p>
    </div>`;
  }

  #group = (event: Event): void => {
    this.grouping = (event.target as HTMLSelectElement).value === "service" ? "service" : "state";
    this.#heldAt = null;
    this.dispatchEvent(new Event("pb-grouping"));
  };

  // Order is held while someone points at the lists or has the focus in them.

  #inLists(target: EventTarget | null): boolean {
    return target instanceof Element && target.closest(".rows, .wall") !== null;
  }

  /** On the way to the "3 new" above a list it does not move yet. */
  #beside(target: EventTarget | null): boolean {
    return target instanceof Element && target.closest(".look, .well, .gone") !== null;
  }

  #pointed = (event: Event): void => {
    if (event instanceof PointerEvent && event.pointerType !== "mouse") return;
    this.#lastMove = performance.now();
    if (this.#inLists(event.target)) {
      if (this.#heldAt === null) this.#heldAt = this.#shown;
      this.#watchForgotten();
    } else if (!this.#beside(event.target) && !this.#inLists(document.activeElement)) this.#release();
  };

  #moved = (): void => {
    this.#lastMove = performance.now();
  };

  #left = (event: Event): void => {
    const stays = event instanceof FocusEvent ? this.#beside(event.relatedTarget) || this.matches(":hover") : this.#inLists(document.activeElement);
    if (!stays) this.#release();
  };

  #release = (): void => {
    window.clearTimeout(this.#forget);
    if (this.#heldAt === null) return;
    this.#heldAt = null;
    this.requestUpdate();
  };

  #watchForgotten(): void {
    window.clearTimeout(this.#forget);
    this.#forget = window.setTimeout(() => {
      if (performance.now() - this.#lastMove >= FORGOTTEN_MS) this.#release();
      else this.#watchForgotten();
    }, FORGOTTEN_MS);
  }

  /** A held picture whose breakers are all gone holds nothing. */
  #hold(): void {
    if (this.#heldAt !== null && !this.#heldAt.look.some((summary) => this.summaries?.has(summary.id)) && this.#heldAt.well.length === 0 && this.#heldAt.gone.length === 0) this.#heldAt = null;
  }

  /** Arrow keys walk the tiles of a group, so that a wall of hundreds is one stop for the Tab key. */
  #keyed = (event: KeyboardEvent): void => {
    this.#lastMove = performance.now();
    const tile = event.target instanceof Element ? event.target.closest<HTMLElement>(".tile") : null;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (tile === null || step === undefined) return;
    const tiles = [...(tile.closest(".tiles")?.querySelectorAll<HTMLElement>(".tile") ?? [])];
    const next = tiles[Math.min(tiles.length - 1, Math.max(0, tiles.indexOf(tile) + step))];
    event.preventDefault();
    next?.focus();
  };
}

function part(said: Part): TemplateResult {
  if (said.filter !== undefined) return html`<a class="about" href="/?q=${encodeURIComponent(said.filter)}">${said.text}</a>`;
  return said.state === undefined ? html`${said.text}` : html`<span class="said" data-tone=${said.state}>${said.text}</span>`;
}

function members(groups: readonly Group[]): number {
  return groups.reduce((sum, group) => sum + group.members.length, 0);
}

function wellWords(shown: Arranged): string {
  const counts = countByState(shown.well.flatMap((group) => group.members));
  return STATES.filter((state) => counts[state] > 0)
    .reverse()
    .map((state) => `${counts[state].toLocaleString("en-GB")} ${stateWord(state)}`)
    .join(" · ");
}

customElements.define("pb-board", PbBoard);
