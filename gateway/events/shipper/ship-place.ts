/**
 * partition.json in a stream's directory: where in Kafka the stream goes.
 *
 *   { "crc": <CRC-32 of the place's JSON>, "place": { "format": 1, "cluster": …, "topic": …, "partition": 3 } }
 *
 * Frames that come again are recognised within one partition, which one collector reads at a time. So the place is chosen once, and is on disk, its
 * name in the directory too, before the first chunk of the stream is sent: also a power cut moves no stream.
 *
 * The file is made blank with the stream, of real bytes: a spool that grew while Kafka was away may have filled the disk, and its places are
 * written before anything goes that would make room.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { writeWhole } from '../write-whole.js';

export const PLACE_FILE = 'partition.json';
/** A sector: written over in place, it is the old one or the new one. */
const PLACE_BYTES = 512;

export interface ShipPlace {
  /** Kafka's own name of it. */
  readonly cluster: string;
  readonly topic: string;
  readonly partition: number;
}

/** Room for the place of a stream that is just being made. Throws what the file system says. */
export function createPlace(streamDir: string): void {
  writeWhole(join(streamDir, PLACE_FILE), 'w', Buffer.alloc(PLACE_BYTES, ' '), true);
}

/** Null: none was chosen. Throws what the file system says, and where the file holds no place: then nobody knows where the stream's chunks lie. */
export function readPlace(streamDir: string): ShipPlace | null {
  let text: string;
  try {
    text = readFileSync(join(streamDir, PLACE_FILE), 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  if (text.trim() === '') return null;
  const place = decode(text);
  if (place === null) throw new Error(`${join(streamDir, PLACE_FILE)} is damaged: remove it, and the stream's place is chosen anew, which is the same one if no partitions were added`);
  return place;
}

/** On disk when it returns, the name too. By rename, or in place where there is no room. Throws what the file system says. */
export function writePlace(streamDir: string, place: ShipPlace): void {
  const path = join(streamDir, PLACE_FILE);
  const json = JSON.stringify({ format: 1, ...place });
  const text = Buffer.from(`{"crc":${crc32(json)},"place":${json}}\n`.padEnd(PLACE_BYTES, ' '), 'latin1');
  try {
    writeWhole(`${path}.tmp`, 'w', text, true);
    renameSync(`${path}.tmp`, path);
  } catch (error) {
    rmSync(`${path}.tmp`, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    const hasRoom = text.length === PLACE_BYTES && statSync(path, { throwIfNoEntry: false })?.size === PLACE_BYTES;
    if ((code !== 'ENOSPC' && code !== 'EDQUOT') || !hasRoom) throw error;
    writeWhole(path, 'r+', text, true);
  }
  flushNames(streamDir);
}

/** Some network file systems refuse fsync of a directory: durable enough is what they give. A disk that fails is told. */
function flushNames(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EINVAL' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error;
  } finally {
    closeSync(fd);
  }
}

const ENCODED = /^\{"crc":(\d+),"place":(\{.*\})\}\n *$/;

function decode(text: string): ShipPlace | null {
  const [, crc, json] = ENCODED.exec(text) ?? [];
  if (json === undefined || crc32(json) !== Number(crc)) return null;
  const { format, cluster, topic, partition } = JSON.parse(json) as Record<string, unknown>;
  const sound = format === 1 && typeof cluster === 'string' && typeof topic === 'string' && Number.isSafeInteger(partition) && (partition as number) >= 0;
  return sound ? { cluster, topic, partition: partition as number } : null;
}
