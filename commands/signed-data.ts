import { X509Certificate, createHash, createVerify } from 'node:crypto';

/** One value of a DER encoding (X.690): tag, content, and the bytes of both. */
interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

const tags = { integer: 0x02, octets: 0x04, oid: 0x06, sequence: 0x30, set: 0x31, context0: 0xa0 } as const;
const oids = {
  signedData: '2a864886f70d010702',
  messageDigest: '2a864886f70d010904',
  digests: new Map([
    ['608648016503040201', 'sha256'],
    ['608648016503040202', 'sha384'],
    ['608648016503040203', 'sha512'],
  ]),
} as const;

function readElement(bytes: Buffer, offset: number): Element {
  const tag = bytes[offset];
  let length = bytes[offset + 1];
  if (tag === undefined || length === undefined) throw new Error('the signature ends too early');
  let start = offset + 2;
  if (length >= 0x80) {
    const size = length & 0x7f;
    // 0x80 alone is an indefinite length, which DER does not have.
    if (size < 1 || size > 4) throw new Error('the signature is not DER');
    if (start + size > bytes.length) throw new Error('the signature ends too early');
    length = bytes.readUIntBE(start, size);
    start += size;
  }
  const end = start + length;
  if (end > bytes.length) throw new Error('the signature ends too early');
  return { tag, content: bytes.subarray(start, end), whole: bytes.subarray(offset, end) };
}

function readAll(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const element = readElement(bytes, offset);
    elements.push(element);
    offset += element.whole.length;
  }
  return elements;
}

/** Takes elements in order; `optional` ones only when the tag is there. */
function sequenceReader(element: Element | undefined) {
  const elements = element === undefined ? [] : readAll(element.content);
  let next = 0;
  const optional = (tag: number): Element | undefined => (elements[next]?.tag === tag ? elements[next++] : undefined);
  const take = (tag: number): Element => {
    const found = optional(tag);
    if (found === undefined) throw new Error('the signature has not the form of signed data');
    return found;
  };
  return { take, optional };
}

export interface SignedData {
  readonly content: Buffer;
  /** Its key signed the content; whether it may is the caller's decision. */
  readonly signer: X509Certificate;
  readonly certificates: readonly X509Certificate[];
}

/**
 * A PKCS #7 / CMS `SignedData` (RFC 5652 §5) with one RSA signer and the content inside, verified against the signer's
 * certificate that it carries. Throws Error for anything else. Source: spec/05 §2 (Azure's attested document).
 */
export function readSignedData(bytes: Buffer): SignedData {
  const info = sequenceReader(readElement(bytes, 0));
  if (info.take(tags.oid).content.toString('hex') !== oids.signedData) throw new Error('it is no signed data');
  const signedData = sequenceReader(readElement(info.take(tags.context0).content, 0));
  signedData.take(tags.integer);
  signedData.take(tags.set);

  const encapsulated = sequenceReader(signedData.take(tags.sequence));
  encapsulated.take(tags.oid);
  const inner = readElement(encapsulated.take(tags.context0).content, 0);
  if (inner.tag !== tags.octets) throw new Error('the content is not one run of bytes');

  const certificates = readAll(signedData.take(tags.context0).content).map(({ whole }) => new X509Certificate(whole));
  signedData.optional(0xa1);
  const [signerInfo, ...others] = readAll(signedData.take(tags.set).content);
  if (signerInfo === undefined || others.length > 0) throw new Error('it has not exactly one signer');

  const signer = sequenceReader(signerInfo);
  signer.take(tags.integer);
  const identifier = sequenceReader(signer.take(tags.sequence));
  identifier.take(tags.sequence);
  const serial = identifier.take(tags.integer).content.toString('hex').replace(/^0+/, '').toUpperCase();
  const digestOid = sequenceReader(signer.take(tags.sequence)).take(tags.oid).content.toString('hex');
  const digest = oids.digests.get(digestOid);
  if (digest === undefined) throw new Error('the digest is not of the SHA-2 family');
  const attributes = signer.optional(tags.context0);
  signer.take(tags.sequence);
  const signature = signer.take(tags.octets).content;

  // By serial number only: the signature itself shows that it is the right certificate.
  const certificate = certificates.find((each) => each.serialNumber.replace(/^0+/, '') === serial);
  if (certificate === undefined) throw new Error("the signer's certificate is missing");
  if (attributes !== undefined) requireDigest(attributes, createHash(digest).update(inner.content).digest());
  // Attributes are signed in the form that a SET has (RFC 5652 §5.4).
  const signed =
    attributes === undefined ? inner.content : Buffer.concat([Buffer.from([tags.set]), attributes.whole.subarray(1)]);
  if (!createVerify(`RSA-${digest.toUpperCase()}`).update(signed).verify(certificate.publicKey, signature))
    throw new Error('the signature does not match');
  return { content: inner.content, signer: certificate, certificates };
}

function requireDigest(attributes: Element, digest: Buffer): void {
  for (const attribute of readAll(attributes.content)) {
    const reader = sequenceReader(attribute);
    if (reader.take(tags.oid).content.toString('hex') !== oids.messageDigest) continue;
    const value = readElement(reader.take(tags.set).content, 0);
    if (value.tag === tags.octets && value.content.equals(digest)) return;
    throw new Error('the content is not what was signed');
  }
  throw new Error('the signature does not cover the content');
}
