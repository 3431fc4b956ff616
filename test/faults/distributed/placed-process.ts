/**
 * Kills a process of a distributed node at a place that a kill from outside cannot meet, without a seam in the product: loaded into every child
 * (NODE_OPTIONS=--import), it stands between the shipper or the event log and what they call. An order is a file `<role>.<place>` in the folder
 * TIDEGATE_TEST_ORDERS; the first process that comes by takes it away and dies there by SIGKILL.
 *
 *   supervisor.after-ack              Kafka has acknowledged chunks, nothing is noted of it
 *   supervisor.before-delete          and it is noted, and the segment is still there
 *   collector.after-intent            the intent is committed, the insert has not begun
 *   collector.mid-insert              while the store inserts, so many ms (the order's text) after it was told to
 *   collector.raw-without-rollup      raw rows are in the store and no rollup is: it does not die but stands still (SIGSTOP) with its client's view of it, and
 *                                     leaves `stands` with its pid; the view is back when the server has been started again
 *   collector.after-insert            rows are in, what nodes say of their streams is not noted
 *   collector.before-commit           and that is noted, and the offset has not moved
 *
 * TIDEGATE_TEST_SESSION_MS: after which a silent collector has lost its partitions, in place of the product's own.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { isBegun } from '../../../collector/log/kafka/intent.js';
import { KafkaSession } from '../../../collector/log/kafka/kafka-session.js';
import { Offer } from '../../../collector/log/kafka/offer.js';
import { ClickHouseStore } from '../../../collector/store/clickhouse-store.js';
import { KafkaSender } from '../../../gateway/events/shipper/kafka-sender.js';

/** Left by a process that stands still. */
export const STANDS = 'stands';

const orders = process.env['TIDEGATE_TEST_ORDERS'];
const role = /(supervisor|collector)-process\.[jt]s$/.exec(basename(process.argv[1] ?? ''))?.[1];
const { unlinkSync } = fs;

/** The order's text; null: there is none. */
function taken(place: string): string | null {
  if (orders === undefined || role === undefined) return null;
  const order = join(orders, `${role}.${place}`);
  try {
    const text = fs.readFileSync(order, 'utf8');
    unlinkSync(order);
    return text;
  } catch {
    return null;
  }
}

const die = (): void => { process.kill(process.pid, 'SIGKILL'); };

function passes(place: string): void {
  if (taken(place) !== null) die();
}

if (role === 'collector') {
  const commit: Offer['commit'] = Reflect.get(Offer.prototype, 'commit');
  Offer.prototype.commit = async function (this: Offer, offset: number, metadata: string): Promise<void> {
    if (!isBegun(metadata)) passes('before-commit');
    await commit.call(this, offset, metadata);
    if (isBegun(metadata)) passes('after-intent');
  };
  const insertRows: ClickHouseStore['insertRows'] = Reflect.get(ClickHouseStore.prototype, 'insertRows');
  ClickHouseStore.prototype.insertRows = async function (this: ClickHouseStore, ...args: Parameters<ClickHouseStore['insertRows']>): Promise<void> {
    const halved = taken('raw-without-rollup') !== null;
    if (halved) await this.command('DETACH TABLE tidegate.traffic_minute_view SYNC');
    const run = insertRows.apply(this, args);
    const soon = taken('mid-insert');
    if (soon !== null) setTimeout(die, Number(soon));
    await run;
    if (halved && orders !== undefined) {
      fs.writeFileSync(join(orders, STANDS), String(process.pid));
      process.kill(process.pid, 'SIGSTOP');
    }
    passes('after-insert');
  };
  const open: typeof KafkaSession.open = Reflect.get(KafkaSession, 'open');
  const sessionMs = process.env['TIDEGATE_TEST_SESSION_MS'];
  if (sessionMs !== undefined) KafkaSession.open = (options, log) => open.call(KafkaSession, { ...options, sessionTimeoutMs: Number(sessionMs) }, log);
}

if (role === 'supervisor') {
  const send: KafkaSender['send'] = Reflect.get(KafkaSender.prototype, 'send');
  KafkaSender.prototype.send = async function (this: KafkaSender, ...args: Parameters<KafkaSender['send']>): ReturnType<KafkaSender['send']> {
    const appendedAtMs = await send.apply(this, args);
    passes('after-ack');
    return appendedAtMs;
  };
  (fs as unknown as Record<string, unknown>)['unlinkSync'] = (path: fs.PathLike): void => {
    if (String(path).endsWith('.seg')) passes('before-delete');
    unlinkSync(path);
  };
  syncBuiltinESMExports();
}
