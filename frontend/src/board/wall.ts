/** What is well: named lines while there are few, a wall of quiet tiles once there are many. */

import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Group } from "../model/arrange";
import { instanceWords, percent, rateTail, rateWords, title } from "../model/words";
import { standingTitle, type Summary } from "../model/summary";
import { breakerUrl, broken, glyph, instances, since, word } from "./parts";

/** Up to this many a name says more than a tile. */
export const NAMED_MOST = 48;

export function wall(groups: readonly Group[], named: boolean, environments: boolean): TemplateResult {
  return html`<div class="wall ${named ? "named" : "tiled"}">
    ${repeat(
      groups,
      (group) => group.key,
      (group) => html`<section class="group" aria-label=${groupName(group, environments)}>
        <h3><a href=${`/?q=${encodeURIComponent(`service="${group.service}"`)}`}>${broken(group.service)}</a>${environments ? html`<span class="small">${group.environment}</span>` : nothing}</h3>
        <ul class=${named ? "entries" : "tiles"}>
          ${repeat(group.members, (summary) => summary.id, (summary, n) => (named ? entry(summary) : tile(summary, n === 0)))}
        </ul>
        <span class="count">${group.members.length}<span class="visually-hidden"> breakers</span></span>
      </section>`,
    )}
  </div>`;
}

function groupName(group: Group, environments: boolean): string {
  return environments ? `${group.service} in ${group.environment}` : group.service;
}

function entry(summary: Summary): TemplateResult {
  return html`<li class="entry" data-breaker=${summary.id} data-state=${summary.state}>
    ${glyph(summary.state)}
    <div class="who"><a class="name" href=${breakerUrl(summary)}>${entryName(summary)}</a></div>
    <div class="what"><span class="word">${word(summary)}</span> <span class="small">${since(summary)}</span></div>
    ${instances(summary)}
    <div class="rate small">${rateWords(summary)}${summary.failure_rate === null ? "" : ` ${rateTail(summary)}`}</div>
  </li>`;
}

function entryName(summary: Summary): TemplateResult {
  return summary.target === null ? html`${broken(summary.breaker)}` : html`<span class="arrow">→ </span>${broken(summary.target)}`;
}

function tile(summary: Summary, first: boolean): TemplateResult {
  const label = tileLabel(summary);
  return html`<li>
    <a class="tile" data-breaker=${summary.id} data-state=${summary.state} data-fill=${fill(summary)} href=${breakerUrl(summary)} aria-label=${label} title=${label} tabindex=${first ? 0 : -1}></a>
  </li>`;
}

/** The tile's foot is amber as high as the failure rate, in whole tenths: a stray failure does not show. */
export function fill(summary: Summary): number {
  return summary.failure_rate === null || summary.rate_of === "before" ? 0 : Math.floor(Math.min(100, summary.failure_rate) / 10);
}

export function tileLabel(summary: Summary): string {
  const failing = summary.failure_rate === null ? "" : `, ${percent(summary.failure_rate)} ${rateTail(summary)}`;
  return `${title(summary)}: ${standingTitle(summary).toLowerCase()}, ${instanceWords(summary)}${failing}`;
}
