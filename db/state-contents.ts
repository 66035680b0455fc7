import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type ColumnCipher, UnknownKeyError } from './encryption.ts';

const compressAboveBytes = 1_048_576;

/** A state as it is stored, but for the encryption: that depends on the row. */
export interface PackedState {
  readonly packed: Buffer;
  readonly encoding: 'raw' | 'gzip';
  readonly serial: number;
  readonly lineage: string;
  /** Hex sha256 of the plain bytes. */
  readonly checksum: string;
  /** Of the plain bytes. */
  readonly size: number;
}

/** The columns of a row that make up its content. */
export interface SealedState extends Omit<PackedState, 'packed'> {
  readonly state: Buffer;
  readonly stateKeyId: string;
}

export interface PlainState {
  readonly bytes: Buffer;
  readonly serial: number;
  readonly lineage: string;
}

/**
 * What a row's content is encrypted for, so that it cannot be moved to another row. A build's run has one row, and its version
 * is only known when it is written; rows from before there were versions read the same.
 */
export type StatePlace =
  | { readonly source: 'build'; readonly buildId: string }
  | {
      readonly source: 'upload' | 'restore' | 'forget' | 'orphan';
      readonly workspaceId: string;
      readonly version: number;
    };

const placeText = (place: StatePlace): string =>
  `workspace_build_states:state:${place.source === 'build' ? place.buildId : `${place.workspaceId}:${place.version}`}`;

const checksumOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Compresses (above 1 MiB) and takes the checksum; the expensive part, done outside of locks where that is possible. */
export async function packState({ bytes, serial, lineage }: PlainState): Promise<PackedState> {
  const encoding = bytes.length > compressAboveBytes ? 'gzip' : 'raw';
  const packed = encoding === 'gzip' ? await promisify(gzip)(bytes) : bytes;
  return { packed, encoding, serial, lineage, checksum: checksumOf(bytes), size: bytes.length };
}

export function sealState(cipher: ColumnCipher, place: StatePlace, { packed, ...facts }: PackedState): SealedState {
  return { ...facts, state: cipher.encrypt(placeText(place), packed), stateKeyId: cipher.keyId };
}

export type OpenedState =
  | { readonly kind: 'intact'; readonly bytes: Buffer }
  /** `reason` continues the sentence "the state is damaged: …". */
  | { readonly kind: 'damaged'; readonly reason: string };

/**
 * Decrypts, unzips and compares with the checksum (rows from before there were any have an empty one, the cipher alone vouches
 * for them). Never throws: what is damaged is an answer.
 */
export async function openState(
  cipher: ColumnCipher,
  place: StatePlace,
  row: Pick<SealedState, 'state' | 'stateKeyId' | 'encoding' | 'checksum'>,
): Promise<OpenedState> {
  let packed: Buffer;
  try {
    packed = cipher.decrypt(placeText(place), row.stateKeyId, row.state);
  } catch (err) {
    const reason =
      err instanceof UnknownKeyError
        ? `it is encrypted with key ${err.keyId}, which is not configured`
        : 'it cannot be decrypted';
    return { kind: 'damaged', reason };
  }
  try {
    const bytes = row.encoding === 'gzip' ? await promisify(gunzip)(packed) : packed;
    return row.checksum === '' || checksumOf(bytes) === row.checksum
      ? { kind: 'intact', bytes }
      : { kind: 'damaged', reason: 'it does not match its checksum' };
  } catch {
    return { kind: 'damaged', reason: 'it cannot be unzipped' };
  }
}
