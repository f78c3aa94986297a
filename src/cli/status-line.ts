import { openQuestion } from '#cli/prompter';
import type { Event } from '#protocol/event';

/** Where a person reads what happens. */
export interface Terminal {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** The width of a terminal; some, such as those of CI, say that they have none. */
export function columnsOf({ columns = 0 }: Terminal): number {
  return columns === 0 ? 80 : columns;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** One line at the bottom of a terminal that says what is going on; nothing where there is no terminal. */
export function statusLine(terminal: Terminal): { show(text: () => string): void; clear(): void } {
  if (terminal.isTTY !== true) return { show: () => undefined, clear: () => undefined };
  let text = () => '';
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;
  const draw = () => {
    if (openQuestion() !== undefined) return;
    frame = (frame + 1) % FRAMES.length;
    terminal.write(`\r\u001b[2K${FRAMES[frame]} ${text()}`.slice(0, columnsOf(terminal) + 5));
  };
  return {
    show(next) {
      text = next;
      timer ??= setInterval(draw, 100);
      timer.unref();
      draw();
    },
    clear() {
      clearInterval(timer);
      timer = undefined;
      terminal.write('\r\u001b[2K');
    },
  };
}

/** The fuses that burn: for each host, when it undoes what is not proven by then. */
export function fuses() {
  const deadlines = new Map<string, number>();
  return {
    hear({ host = '', ...event }: Event): void {
      if (event.type === 'guard.armed') deadlines.set(host, performance.now() + event.seconds * 1000);
      else if (/^(guard\.(disarmed|undone)|operation\.(finished|failed))$/.test(event.type)) deadlines.delete(host);
    },
    burn: (host: string) => deadlines.has(host),
    /** The seconds that are left, as the beginning of a status line. */
    left(host: string): string {
      const deadline = deadlines.get(host);
      if (deadline === undefined) return '';
      return `⛨ ${Math.max(0, Math.ceil((deadline - performance.now()) / 1000))} s  `;
    },
  };
}
