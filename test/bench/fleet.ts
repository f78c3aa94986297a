import { setRecord, stop } from '#sandbox/sandbox';
import { deploy, noop } from './deploy.ts';
import { benchHosts, demoInternet } from './hosts.ts';
import { interleave, medianOf } from './measure.ts';
import { DOMAIN, makeProject, wayTo } from './project.ts';
import { circumstances, print, row, spread } from './report.ts';

const SIZE = 10;
const MOTHER = 'bench-mother';

/** A no-op on ten hosts against one: each host is a VPS of its own, copied from one that was brought up. */
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
  const samples = await interleave(
    [
      { name: `${SIZE} hosts`, run: () => noop(all) },
      { name: 'one host', run: () => noop(one) },
    ],
    rounds,
    (message) => console.error(message),
  );
  console.log(spread(samples));
  print(
    'fleet',
    [
      row({
        ...{ name: `no-op on ${SIZE} hosts`, link: 'direct', slipway: medianOf(samples, `${SIZE} hosts`) },
        ...{ peer: 'no-op on one host', peerValue: medianOf(samples, 'one host') },
      }),
    ],
    [`the ${SIZE} hosts share this machine's processors, which real ones do not`, conditions],
  );
}
