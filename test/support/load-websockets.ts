import { WebSocket } from 'ws';
import { type Clients, codeOf, type Note, now, PATIENCE, type Target } from './load-clients.ts';

interface Message {
  readonly due: number;
  readonly text: string;
  /** It was under way when its connection was closed. */
  retried?: true;
  readonly answered: () => void;
}

/**
 * WebSockets that send a message in their turn and expect it back. One that is closed with a close frame is opened again
 * and what it had not answered is sent again, as any client does that wants to live; one closed without is a failure.
 */
export function webSocketClients(target: Target, count: number, note: Note): Clients {
  let isOver = false;
  const clients = Array.from({ length: count }, () => {
    let pending: Message[] = [];
    let socket: WebSocket | undefined;
    let tag: string | undefined;
    const fail = (failure: string) => {
      const [first] = pending;
      const due = first?.due ?? now();
      note({ kind: 'websocket', due, sent: due, ended: now(), failure, ...(tag === undefined ? {} : { tag }) });
      pending = pending.slice(1);
      first?.answered();
    };
    const open = () => {
      tag = undefined;
      let isRefused = false;
      socket = new WebSocket(`wss://${target.address}:${target.port}/ws`, {
        ...{ servername: target.domain, headers: { host: target.domain }, ca: target.ca, handshakeTimeout: PATIENCE },
      });
      socket.on('message', (data) => {
        if (tag === undefined) {
          tag = String(data);
          for (const { text } of pending) socket?.send(text);
          return;
        }
        const [message] = pending;
        if (message === undefined || message.text !== String(data)) return fail('another message came back');
        pending = pending.slice(1);
        const entry = { kind: 'websocket', due: message.due, sent: message.due, ended: now(), tag } as const;
        note(message.retried === undefined ? entry : { ...entry, retried: true });
        message.answered();
      });
      socket.on('unexpected-response', (_, response) => {
        isRefused = true;
        // One that says when to come back is come back to: what waits is sent then.
        const isTurnedAway = response.statusCode === 503 && response.headers['retry-after'] !== undefined;
        if (!isOver && !isTurnedAway) fail(`status ${response.statusCode}`);
        response.resume();
        socket?.terminate();
      });
      socket.on('error', (error) => {
        if (!isOver && tag === undefined && !isRefused) fail(codeOf(error));
      });
      socket.on('close', (code) => {
        if (isOver) return;
        // RFC 6455, 7.1.5: 1006 is what a client notes where no close frame came.
        if (code === 1006 && tag !== undefined) fail('closed without a close frame');
        for (const message of pending) message.retried = true;
        setTimeout(open, tag === undefined ? 200 : 0);
      });
    };
    open();
    return {
      send: (due: number, number: number) =>
        new Promise<void>((resolve) => {
          const message = { due, text: `message ${number}`, answered: resolve };
          pending.push(message);
          if (tag !== undefined && socket?.readyState === WebSocket.OPEN) socket.send(message.text);
        }),
      close: () => {
        for (const { due } of pending)
          note({ kind: 'websocket', due, sent: due, ended: now(), failure: 'no answer in time' });
        socket?.terminate();
      },
    };
  });
  return {
    kind: 'websocket',
    send: (due, number) => clients[number % count]?.send(due, number) ?? Promise.resolve(),
    close: () => {
      isOver = true;
      for (const client of clients) client.close();
    },
  };
}
