import { parseArgs } from 'node:util';
import { asDeployError } from '#core/errors';
import { down, internet, list, type Release, setRecord, shell, start, stop, up, type Variety } from './sandbox.ts';

const [verb = 'list', ...rest] = process.argv.slice(2);

async function main(): Promise<void> {
  if (verb === 'ssh') {
    const [name = '', ...command] = rest;
    process.exitCode = await shell(name, command);
    return;
  }
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: {
      variety: { type: 'string', multiple: true },
      release: { type: 'string' },
      from: { type: 'string' },
      all: { type: 'boolean' },
      cache: { type: 'boolean' },
      'apt-cache': { type: 'boolean' },
    },
  });
  if (verb === 'up') {
    for (const name of positionals) {
      const started = performance.now();
      const host = await up({
        name,
        ...(values.release === undefined ? {} : { release: values.release as Release }),
        ...(values.from === undefined ? {} : { from: values.from }),
        varieties: (values.variety ?? []) as Variety[],
        aptCache: values['apt-cache'] === true,
        report: (message) => console.error(message),
      });
      console.error(`${((performance.now() - started) / 1000).toFixed(2)} s`);
      console.log(JSON.stringify(host, null, 2));
    }
  } else if (verb === 'internet') {
    const started = performance.now();
    const there = await internet({ report: (message) => console.error(message) });
    console.error(`${((performance.now() - started) / 1000).toFixed(2)} s`);
    console.log(JSON.stringify(there, null, 2));
  } else if (verb === 'record') {
    const [name = '', a] = positionals;
    await setRecord(name, a === undefined ? {} : { a: [a] });
  } else if (verb === 'down') {
    if (positionals.length === 0 && values.all !== true) throw new Error('name the hosts, or say --all');
    await down(values.all === true ? undefined : positionals, { cache: values.cache === true });
  } else if (verb === 'stop') for (const name of positionals) await stop(name);
  else if (verb === 'start') for (const name of positionals) await start(name);
  else if (verb === 'list') {
    for (const host of await list()) {
      console.log([host.name, host.state, host.address, host.address6, host.release, ...host.varieties].join('  '));
    }
  } else throw new Error(`unknown verb ${verb}`);
}

await main().catch((thrown: unknown) => {
  const error = asDeployError(thrown);
  console.error(`${error.message}\n${error.hint}`);
  process.exitCode = error.exitCode;
});
