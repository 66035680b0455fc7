/**
 * An integer of a JSON body without the rounding of JSON.parse: lifetimes in nanoseconds exceed 2^53 after 104 days, and
 * a limit must hold to the nanosecond. `parsed` is what the schema saw; a digit string elsewhere in the body that only
 * looks like the field is told apart by rounding to another number.
 */
export function exactInteger(body: string, field: string, parsed: number): bigint {
  for (const [, digits = ''] of body.matchAll(new RegExp(`"${field}"\\s*:\\s*(-?\\d+)(?=[\\s,}])`, 'g')))
    if (Number(digits) === parsed) return BigInt(digits);
  return BigInt(Math.trunc(parsed));
}
