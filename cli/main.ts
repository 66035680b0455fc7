#!/usr/bin/env node
import { loadCliConfig } from '../config.ts';
import { runCli } from './run.ts';

// A reader that has seen enough (`berth list | head`) is no failure.
process.stdout.on('error', (err: NodeJS.ErrnoException) => process.exit(err.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  config: loadCliConfig(),
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  onInterrupt(callback) {
    process.once('SIGINT', callback);
    return () => process.removeListener('SIGINT', callback);
  },
});
