/**
 * Pairs of keys for tests. A key that `generateKeyPairSync` answered as an object shares its lock with the job that made it; on Node 20 a collection of that job
 * while the key is exported waits for the lock forever (one run in fifty). So they are made as text, and read.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

export interface KeyPair { readonly privateKey: KeyObject; readonly publicKey: KeyObject }

const publicKeyEncoding = { type: 'spki', format: 'pem' } as const;
const privateKeyEncoding = { type: 'pkcs8', format: 'pem' } as const;

export const rsaPair = (modulusLength = 2048): KeyPair => read(generateKeyPairSync('rsa', { modulusLength, publicKeyEncoding, privateKeyEncoding }).privateKey);
export const ecPair = (namedCurve = 'P-256'): KeyPair => read(generateKeyPairSync('ec', { namedCurve, publicKeyEncoding, privateKeyEncoding }).privateKey);
export const ed25519Pair = (): KeyPair => read(generateKeyPairSync('ed25519', { publicKeyEncoding, privateKeyEncoding }).privateKey);

function read(pem: string): KeyPair {
  const privateKey = createPrivateKey(pem);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}
