import { run } from '#sandbox/sandbox';

const FOLDER = '/opt/faults';

/** Which call of a run fails, counted from 1; and how: never begun, ended well and reported as failed, or killed. */
export interface Fault {
  readonly call: number;
  readonly how: 'refused' | 'lost' | 'killed';
}

/** Programs of a host that stand before the real ones in `PATH`, count their calls, and fail one of them. */
export interface FaultyPrograms {
  /** What a command line is to begin with so that they are called. */
  readonly prefix: string;
  /** Begins to count anew; left out, none fails. */
  arm(fault?: Fault): Promise<void>;
  /** What was called since, in order. */
  calls(): Promise<readonly string[]>;
}

const SCRIPT = `#!/bin/sh
me=\${0##*/}
call=$(/usr/bin/flock ${FOLDER}/lock sh -c 'n=$(($(cat ${FOLDER}/count) + 1)); echo $n | tee ${FOLDER}/count')
printf '%s\\n' "$call $me $*" | head -n 1 | cut -c 1-200 >> ${FOLDER}/calls
[ "$call" = "$(cat ${FOLDER}/call)" ] || exec /usr/bin/$me "$@"
case $(cat ${FOLDER}/how) in
  refused) echo 'refused by the test' >&2; exit 1 ;;
  lost) /usr/bin/$me "$@"; echo 'failed by the test' >&2; exit 1 ;;
  killed) (sleep 0.2; kill -KILL $$) > /dev/null 2>&1 < /dev/null & exec /usr/bin/$me "$@" ;;
esac
`;

/** Puts such programs on a sandbox host; without being named in `PATH` they change nothing. */
export async function faultyPrograms(host: string, programs: readonly string[]): Promise<FaultyPrograms> {
  const on = async (script: string, input = ''): Promise<string> => {
    const { stdout, stderr, exitCode } = await run(host, ['sh', '-c', script], { input });
    if (exitCode !== 0) throw new Error(`${script}\n${stdout}${stderr}`);
    return stdout;
  };
  await on(`mkdir -p ${FOLDER}/bin && cd ${FOLDER}/bin && cat > shim && chmod 0755 shim`, SCRIPT);
  for (const program of programs) await on(`test -x /usr/bin/${program} && ln -sf shim ${FOLDER}/bin/${program}`);
  return {
    prefix: `PATH=${FOLDER}/bin:$PATH`,
    async arm({ call, how } = { call: 0, how: 'refused' }) {
      await on(`cd ${FOLDER}; echo 0 > count; : > calls; echo ${call} > call; echo ${how} > how`);
    },
    async calls() {
      return (await on(`cat ${FOLDER}/calls`)).split('\n').filter((line) => line !== '');
    },
  };
}
