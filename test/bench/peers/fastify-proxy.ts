/** @fastify/http-proxy with as many upstream connections as are wanted. Arguments: port, upstream. */
import httpProxy from '@fastify/http-proxy';
import { fastify } from 'fastify';

const [port, upstream] = process.argv.slice(2) as [string, string];
const server = fastify({ logger: false });
await server.register(httpProxy, { upstream, undici: { connections: 128, pipelining: 1 } });
await server.listen({ host: '127.0.0.1', port: Number(port) });
process.on('SIGTERM', () => { process.exit(0); });
