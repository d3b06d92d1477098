/** Beside which field of a form a problem stands: by the server's `loc` and the names of the fields. */

/** The field of this place: the very one (`params.count`), or the one that holds it (`matchers` of `matchers.1`).
 * Nothing where the form has none. */
export function placeOf(loc: readonly (string | number)[], names: readonly string[]): string | undefined {
  for (let steps = loc.length; steps > 0; steps--) {
    const name = loc.slice(0, steps).join(".");
    if (names.includes(name)) return name;
  }
  return undefined;
}
