import type { Command } from 'commander';
import { registerNode } from './start.js';

export function register(program: Command): void {
  registerNode(program, 'collector', 'collector', 'runs only the collector half: supervisor and collector, no workers; needs Kafka');
}
