import { setRecord, stop } from '#sandbox/sandbox';
import { deploy, noop } from './deploy.ts';
import { benchHosts, demoInternet } from './hosts.ts';
import { interleave, medianOf, type Samples } from './measure.ts';
import { DOMAIN, makeProject, wayTo } from './project.ts';
import { circumstances, print, row, spread } from './report.ts';
import { record, replay, requestFor } from './runner.ts';

const SIZE = 10;
const MOTHER = 'bench-mother';

/**
 * A no-op on ten hosts against one: each host is a VPS of its own, copied from one that was brought up. Measured once as
 * they are, and once as if their work were not done by the processors that the laptop's part needs.
 */
export async function fleet(rounds = 9): Promise<void> {
  const internet = await demoInternet();
  await using mothers = await benchHosts([MOTHER]);
  const [mother] = mothers;
  if (mother === undefined) return;
  await setRecord(DOMAIN, { a: [mother.address], aaaa: [mother.address6] });
  using brought = makeProject([wayTo(mother)], internet);
  console.error('bringing the first host up');
  await deploy('up', brought);
  await stop(MOTHER);
  const names = Array.from({ length: SIZE }, (_, index) => `bench-fleet-${index + 1}`);
  console.error(`copying it ${SIZE} times`);
  await using hosts = await benchHosts(names, MOTHER);
  using all = makeProject(
    hosts.map((host) => wayTo(host)),
    internet,
  );
  using one = makeProject(
    hosts.slice(0, 1).map((host) => wayTo(host)),
    internet,
  );
  await deploy('up', all);
  const conditions = circumstances();
  const say = (message: string) => console.error(message);
  const contenders = [
    { name: `${SIZE} hosts`, run: () => noop(all) },
    { name: 'one host', run: () => noop(one) },
  ];
  const real = await interleave(contenders, rounds, say);
  const [first] = hosts;
  if (first === undefined) return;
  const recording = await record(first, await requestFor(one, first), 5);
  for (const host of hosts) replay(host, recording);
  const replayed = await interleave(contenders, rounds, say);
  console.log(`${spread(real)}\n\nwith each runner's work replayed:\n${spread(replayed)}`);
  const compared = (name: string, samples: Samples) =>
    row({
      ...{ name, link: 'direct', slipway: medianOf(samples, `${SIZE} hosts`) },
      ...{ peer: 'no-op on one host', peerValue: medianOf(samples, 'one host') },
    });
  print(
    'fleet',
    [
      compared(`no-op on ${SIZE} hosts that share these processors`, real),
      compared(`no-op on ${SIZE} hosts as if each had its own`, replayed),
    ],
    [
      `The ${SIZE} are real sandbox hosts, and all of their work is done by this machine's processors. The second row has`,
      `the runner on each wait as long as it works when it is alone (${recording.greeting.toFixed(3)} s until it answers, ${recording.answer.toFixed(3)} s for the`,
      'request) and then say what it said; the logins and all the work on the laptop stay as they are.',
      conditions,
    ],
  );
}
