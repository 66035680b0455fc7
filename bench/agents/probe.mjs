/**
 * Preloaded into the server under test, ours and bare alike: what only the process itself knows, asked for over IPC. Plain Node,
 * so that it costs the same on both sides.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const resolution = 10;
const delay = monitorEventLoopDelay({ resolution });
delay.enable();
let session;
const post = (method, params) =>
  new Promise((resolve, reject) => {
    session.post(method, params, (err, result) => (err ? reject(err) : resolve(result)));
  });

const methods = {
  /** Lag in ms since the last reset: the histogram holds whole intervals of its timer. */
  lag: ({ q }) => Math.max(0, delay.percentile(q * 100) / 1e6 - resolution),
  resetLag: () => delay.reset(),
  /** Bytes that are reachable. */
  live() {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc');
    gc();
    gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  },
  async startProfile() {
    session = new Session();
    session.connect();
    await post('Profiler.enable');
    await post('Profiler.setSamplingInterval', { interval: 500 });
    await post('Profiler.start');
  },
  async stopProfile({ path }) {
    const { profile } = await post('Profiler.stop');
    session.disconnect();
    writeFileSync(path, JSON.stringify(profile));
  },
};

process.on('message', ({ id, method, params }) => {
  Promise.resolve()
    .then(() => methods[method](params))
    .then(
      (result) => process.send({ id, result }),
      (err) => process.send({ id, error: String(err) }),
    );
});
process.channel.unref();
