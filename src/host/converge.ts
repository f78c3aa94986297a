import { asDeployError } from '#core/errors';
import type { ConvergeRequest } from '#protocol/plan';
import { Application } from './application.ts';
import { Bookkeeping } from './bookkeeping.ts';
import { Guard, type Laptop, unprovenGuards } from './guard.ts';
import { differs, itemOf, readOne } from './items.ts';
import type { Emit } from './journal.ts';
import type { Machine } from './machine.ts';
import { readOwnership } from './ownership.ts';
import { pending } from './pending.ts';
import { guardStep, leftovers, removalStep, stepOf, triggerStep } from './steps.ts';

/** What a run did, in numbers of resources. */
export interface Outcome {
  readonly changed: number;
  readonly unchanged: number;
  readonly removed: number;
}

/**
 * Makes a host what was declared: reads everything at once, tells the plan, and (unless only the plan was asked for)
 * applies what differs in order, each time reading again afterwards. Resolves with what was done.
 */
export async function converge(
  machine: Machine,
  request: ConvergeRequest,
  emit: Emit,
  laptop: Laptop,
): Promise<Outcome> {
  const items = request.resources.map(itemOf);
  const declared = new Set(items.map(({ key }) => key));
  const [ownership, readings, marks, unproven] = await Promise.all([
    readOwnership(request.app),
    Promise.all(items.map((item) => readOne(machine, item))),
    pending(),
    unprovenGuards(machine),
  ]);
  const surplus = leftovers(ownership, declared);
  const differing = items.filter((_, index) => differs(readings[index]));
  const steps = [
    ...unproven.map(guardStep),
    ...marks.map(triggerStep),
    ...items.flatMap((item, index) => {
      const reading = readings[index];
      return reading !== undefined && differs(reading) ? [stepOf(item, reading)] : [];
    }),
    ...surplus.map(removalStep),
  ];
  emit({ type: 'plan', steps, unchanged: items.length - differing.length });

  const foreseen = items.flatMap(({ kind, key, props }, index) => {
    const error = kind.foresee?.(readings[index]?.state, props);
    return error === undefined ? [] : [error.at({ resource: key })];
  });
  if (request.verb === 'plan') for (const { message, hint } of foreseen) machine.warn(message, hint);
  else if (foreseen[0] !== undefined) throw foreseen[0];

  const book = new Bookkeeping(request.app, ownership, items);
  if (request.verb === 'plan') return { changed: 0, unchanged: items.length - differing.length, removed: 0 };
  await book.adopt(items.filter((item, index) => !differs(readings[index]) && !ownership.own.has(item.key)));
  if (steps.length === 0) {
    await book.settle();
    return { changed: 0, unchanged: items.length, removed: 0 };
  }

  const application = new Application(machine, emit, book, new Guard(machine, emit, request.loginUser, laptop));
  try {
    await application.inheritGuard();
    await application.catchUp();
    await application.pass(items, readings);
    // Something applied late may have changed what was read early (a package brings its own configuration).
    machine.forget();
    const again = await Promise.all(items.map((item) => readOne(machine, item)));
    await application.pass(items, again);
    for (const owned of surplus) await application.remove(owned);
    await application.flush();
    await application.finishGuard();
  } catch (error) {
    await application.giveUp(asDeployError(error).message);
    throw error;
  }
  await book.settle();
  return {
    changed: application.changed.size,
    unchanged: items.length - application.changed.size,
    removed: surplus.length,
  };
}
