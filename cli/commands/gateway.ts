import type { Command } from 'commander';
import { registerNode } from './start.js';

export function register(program: Command): void {
  registerNode(program, 'gateway', 'gateway', 'runs only the gateway half: supervisor and workers, no collector; needs Kafka');
}
