/** What an agent's metadata scripts found, made fit to be stored. Source: spec/05 §9. */
export interface MetadataValue {
  readonly key: string;
  readonly value: string;
  readonly error: string;
}

export const maxMetadataBytes = 2_048;
export const maxMetadataKeyBytes = 6_144;

export interface MetadataPlan {
  readonly stored: readonly MetadataValue[];
  /** The keys together are too long: entries from here on are dropped. */
  readonly keysTooLong: boolean;
}

/** Keys that the template does not define are left out; long values are cut, long errors replaced. */
export function planMetadata(reported: readonly MetadataValue[], defined: ReadonlySet<string>): MetadataPlan {
  const stored: MetadataValue[] = [];
  let keyBytes = 0;
  for (const entry of reported) {
    keyBytes += Buffer.byteLength(entry.key);
    if (keyBytes > maxMetadataKeyBytes) return { stored, keysTooLong: true };
    if (defined.has(entry.key)) stored.push(fitted(entry));
  }
  return { stored, keysTooLong: false };
}

function fitted({ key, value, error }: MetadataValue): MetadataValue {
  const valueBytes = Buffer.byteLength(value);
  const errorBytes = Buffer.byteLength(error);
  const clean = (text: string) => text.replaceAll('\0', '').toWellFormed();
  return {
    key,
    value: valueBytes > maxMetadataBytes ? cutAtCharacter(clean(value), maxMetadataBytes) : clean(value),
    error:
      valueBytes > maxMetadataBytes
        ? `value of ${valueBytes} bytes exceeded ${maxMetadataBytes} bytes`
        : errorBytes > maxMetadataBytes
          ? `error of ${errorBytes} bytes exceeded ${maxMetadataBytes} bytes`
          : clean(error),
  };
}

/** The longest prefix of whole characters within so many bytes of UTF-8. */
export function cutAtCharacter(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  let end = Math.min(bytes, encoded.length);
  // A byte 10xxxxxx goes on with the character before it.
  while (end < encoded.length && end > 0 && (encoded[end]! & 0xc0) === 0x80) end -= 1;
  return encoded.subarray(0, end).toString();
}
