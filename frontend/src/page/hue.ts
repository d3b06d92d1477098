/** A colour for an environment's name, always the same one, as the server's `hue` filter chooses it. */

const HUES = 6;

export function hue(name: string): number {
  return [...name].reduce((sum, character, n) => sum + (character.codePointAt(0) ?? 0) * (n + 1), 0) % HUES;
}
