/** Bits of an RSA public key's modulus (RFC 4253, section 6.6); undefined where the line holds no RSA key. */
export function rsaBits(line: string): number | undefined {
  const blob = /(?:^|\s)ssh-rsa\s+([A-Za-z0-9+/]+=*)/.exec(line)?.[1];
  if (blob === undefined) return undefined;
  const bytes = Buffer.from(blob, 'base64');
  const fields: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    fields.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  const modulus = fields[2];
  if (modulus === undefined) return undefined;
  return BigInt(`0x0${modulus.toString('hex')}`).toString(2).length;
}

/** Bits below which an RSA key is not taken at all (NIST SP 800-131A). */
export const LEAST_RSA_BITS = 2048;

/** The least size of an RSA key to ask for: 3072 bits, less only where a declared key is shorter. */
export function requiredRsaSize(keys: readonly string[]): number {
  return Math.max(LEAST_RSA_BITS, Math.min(3072, ...keys.flatMap((key) => rsaBits(key) ?? [])));
}
