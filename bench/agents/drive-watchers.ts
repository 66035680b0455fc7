import { WebSocket } from 'ws';
import { answer } from './child.ts';
import { Errors } from './http.ts';
import { metadataKeys } from './rows.ts';

/** Process with the metadata watchers, one agent each. */
interface Frame {
  readonly type: string;
  readonly data?: readonly { result: { value: string }; description: { key: string } }[];
}

const errors = new Errors();
const sockets: WebSocket[] = [];
const firstEvents: number[] = [];
let visible: number[] = [];
let events = 0;

/** Resolves at the first event. */
const watch = (url: string, token: string): Promise<void> =>
  new Promise((resolve) => {
    const begin = performance.now();
    let seen: string | undefined;
    const socket = new WebSocket(url, { headers: { 'Coder-Session-Token': token }, perMessageDeflate: false });
    sockets.push(socket);
    socket.on('message', (message: Buffer) => {
      const frame = JSON.parse(message.toString()) as Frame;
      if (frame.type !== 'data') return;
      events += 1;
      const sentAt = frame.data?.find(({ description }) => description.key === metadataKeys[0])?.result.value ?? '';
      if (seen === undefined) firstEvents.push(performance.now() - begin);
      else if (sentAt !== seen && sentAt !== '') visible.push(Date.now() - Number(sentAt));
      seen = sentAt;
      resolve();
    });
    socket.on('error', (err) => errors.add(err));
    socket.on('close', () => {
      errors.add(new Error('closed'));
      resolve();
    });
  });

answer({
  async watch(to: { url: string; ids: string[]; token: string; perSecond: number }) {
    const address = `${to.url.replace('http', 'ws')}/api/v2/workspaceagents`;
    await Promise.all(
      to.ids.map(async (id, index) => {
        await new Promise((done) => setTimeout(done, (index / to.perSecond) * 1_000));
        await watch(`${address}/${id}/watch-metadata-ws`, to.token);
      }),
    );
    return { firstEvents };
  },
  reset() {
    visible = [];
    events = 0;
  },
  sample: () => ({ visible, events, errors: errors.take() }),
  close() {
    for (const socket of sockets.splice(0)) socket.removeAllListeners('close').terminate();
  },
});
