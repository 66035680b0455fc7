import { setTimeout as delay } from 'node:timers/promises';
import { claimJudgement, claimProgress } from '../claim-facts.ts';
import { type Context, everythingReady } from '../context.ts';
import { type Machines, followMachines } from '../machines.ts';
import { eventually } from '../patience.ts';
import { type Claimant, claimOne, createClaimant } from '../pool-claims.ts';
import { adoptBuilds, endLife, judgeLife, untrackedIn } from '../pool-lives.ts';
import { type PoolRow, describeRows, isAtRest, judgeChange, poolStart } from '../pool-oracle.ts';
import { poolsFleet, poolsRemark } from '../pools-fleet.ts';
import { type Pool, createPool, drainPools, resize, restOf, rowsOf } from '../pools.ts';
import { createRandom } from '../random.ts';
import { type Run, addFindings, createRun } from '../run.ts';
import type { Scenario } from '../scenario.ts';
import { nearestRank } from '../tally.ts';
import { type Shares, type Victim, drawVictim, strikeDown } from '../victims.ts';
import { addUsualHost } from './strike-scenario.ts';

const claimsAtOnce = 4;
/** One more than is claimed at once of each pool: what a dying process still holds locked must not look like an empty pool. */
const spare = 1;
const shares: Shares = { api: 0.35, control: 0.3, provisioner: 0.2, postgres: 0.15 };
/** Around the request itself, where the claim's transaction and its answer are. */
const aroundRequestMs = { from: -50, to: 250 };
const afterReadyMs = 300;

/** A pool whose claims hand the agent over at once, or after Terraform. */
interface Kind {
  readonly pool: Pool;
  readonly handsOver: boolean;
}

interface Claim extends Kind {
  readonly run: Run;
  readonly claimant: Claimant;
  readonly momentMs: number;
  readyAtMs: number | undefined;
}

interface Cast {
  readonly kinds: readonly Kind[];
  readonly claimants: readonly Claimant[];
  readonly machines: Machines;
}

/**
 * Somebody claims a prebuild whose agent runs; from the request until the agent has begun for its new owner something is killed. He
 * has one workspace, nobody else's data is in it, and the agent began anew once.
 */
export const killDuringClaim: Scenario = {
  name: 'kill-during-claim',
  fleet: poolsFleet,
  remark: poolsRemark,
  begin: addUsualHost,
  async play(context, { runs, seed, onRuns, times }) {
    const size = Math.min(claimsAtOnce, runs);
    const cast = await gather(context, size);
    const pools = cast.kinds.map(({ pool }) => pool);
    try {
      // Told how long builds take here, one undisturbed round can be saved.
      const calm = times === undefined ? await playRound(context, cast, { seed: 0, size, readyMs: [] }) : undefined;
      const broken = calm?.runs.find(({ findings }) => findings.length > 0);
      if (broken !== undefined)
        throw new Error(`without any fault: ${broken.findings.map(({ kind, what }) => `${kind}: ${what}`).join('; ')}`);
      const readyMs = calm?.readyMs ?? cast.kinds.map(({ handsOver }) => (handsOver ? 0.4 : 1) * (times?.start ?? 0));
      console.error(
        `  an agent is usually its new owner's after: ${readyMs.map((ms) => `${Math.round(ms)} ms`).join(', ')}`,
      );
      for (let done = 0, round = 0; done < runs; round += 1) {
        const next = Math.min(size, runs - done);
        await onRuns((await playRound(context, cast, { seed: seed + round, size: next, readyMs })).runs);
        done += next;
      }
      await drainPools(context, pools);
    } finally {
      await cast.machines.stop();
    }
  },
};

async function gather(context: Context, size: number): Promise<Cast> {
  const create = async (name: string, named: boolean) => ({
    pool: await createPool(context, { name, named }),
    handsOver: !named,
  });
  const kinds = await Promise.all([create('claimed-pure', false), create('claimed-named', true)]);
  const names = Array.from({ length: size }, (_, index) => `claimant-${'abcdefgh'[index]}`);
  const claimants: Claimant[] = [];
  for (const name of names) claimants.push(await createClaimant(context, name));
  const machines = followMachines(context);
  for (const { pool } of kinds) await resize(context, pool, Math.ceil(size / kinds.length) + spare);
  return { kinds, claimants, machines };
}

interface RoundOrder {
  readonly seed: number;
  readonly size: number;
  /** Of each kind, how long it takes until the agent is its new owner's; empty = nothing is struck, so that it can be measured. */
  readonly readyMs: readonly number[];
}

async function playRound(context: Context, cast: Cast, { seed, size, readyMs }: RoundOrder) {
  const random = createRandom(seed);
  const struck: Victim | undefined = readyMs.length === 0 ? undefined : drawVictim(random, shares);
  const before = await waitForPools(context, cast);
  const claims = Array.from({ length: size }, (_, index): Claim => {
    const place = index % cast.kinds.length;
    const { from, to } = aroundRequestMs;
    const usual = readyMs[place] ?? 0;
    const momentMs = random.next() < 0.5 ? random.between(from, to) : random.between(from, usual + afterReadyMs);
    const run = createRun({ scenario: context.scenario, seed, size, name: `k-${seed}-${index}` });
    const claimant = cast.claimants[(index + seed) % cast.claimants.length]!;
    const { name } = cast.kinds[place]!.pool;
    if (struck !== undefined)
      run.notes.push(
        `${claimant.name} claims of ${name}; ${struck} killed ${Math.round(momentMs)} ms after the request`,
      );
    return { ...cast.kinds[place]!, run, claimant, momentMs, readyAtMs: undefined };
  });
  const beganAt = Date.now();
  const strikeAt = beganAt + Math.max(...claims.map(({ momentMs }) => momentMs));
  const ends = claims.map(async (claim) => {
    await delay(Math.max(0, strikeAt - claim.momentMs - Date.now()));
    await liveThrough(context, cast.machines, claim);
  });
  if (struck !== undefined) {
    await delay(Math.max(0, strikeAt - Date.now()));
    await strikeDown(context, random, struck);
  }
  await Promise.all([...ends, everythingReady(context)]);
  await settle(context, cast, { claims, before, strikeAt });
  const measured = cast.kinds.map(({ pool }) => {
    const those = claims.filter((claim) => claim.pool === pool && claim.readyAtMs !== undefined);
    return those.length === 0
      ? 0
      : nearestRank(
          those.map(({ readyAtMs, momentMs }) => readyAtMs! - (strikeAt - momentMs)),
          0.5,
        );
  });
  return { runs: claims.map(({ run }) => run), readyMs: measured };
}

/** Full pools whose agents all run, so that every prebuild can be claimed. Answers the rows of each. */
async function waitForPools(context: Context, { kinds, machines }: Cast): Promise<readonly (readonly PoolRow[])[]> {
  return Promise.all(
    kinds.map(async ({ pool }) => {
      const ready = await restOf(
        context,
        pool,
        (rows, wanted) => isAtRest(rows, wanted) && rows.every(isPoolReady(machines)),
      );
      if (ready === undefined) throw new Error(`${pool.name} has: ${describeRows(await rowsOf(context, pool))}`);
      await claimProgress(context, { pool, allReadyWithinMs: context.boundMs });
      return ready.rows;
    }),
  );
}

const isPoolReady =
  (machines: Machines) =>
  ({ id, isPrebuild, deleted }: PoolRow): boolean =>
    !isPrebuild || deleted || (machines.of(id)?.starts().length ?? 0) > 0;

/** From the request until the agent is ready for its new owner and the build is over. */
async function liveThrough(context: Context, machines: Machines, claim: Claim): Promise<void> {
  const { run, claimant, pool } = claim;
  const id = await claimOne(run, { claimant, pool, name: run.name });
  if (id === undefined) return;
  await adoptBuilds(context, run, id);
  const over = await eventually(
    async () => {
      const { agentReady, buildOver } = await claimProgress(context, { workspaceId: id });
      if (agentReady && (machines.of(id)?.starts().length ?? 0) > 1) claim.readyAtMs ??= Date.now();
      return buildOver && claim.readyAtMs !== undefined;
    },
    { boundMs: context.boundMs, everyMs: 50 },
  );
  if (over !== undefined) return;
  const progress = JSON.stringify(await claimProgress(context, { workspaceId: id }));
  const starts = machines.of(id)?.starts().join(' | ');
  addFindings(run, [{ kind: 'stuck', what: `the agent is not its owner's: ${progress}, it began: ${starts}` }]);
}

/** When all is over: every claim, both pools, then the end of what was claimed. */
async function settle(
  context: Context,
  cast: Cast,
  { claims, before, strikeAt }: { claims: readonly Claim[]; before: readonly (readonly PoolRow[])[]; strikeAt: number },
): Promise<void> {
  const { kinds, machines, claimants } = cast;
  await Promise.all(
    kinds.map(async ({ pool }, place) => {
      const own = claims.filter((claim) => claim.pool === pool);
      const rest = await restOf(context, pool, isAtRest);
      const after = rest?.rows ?? (await rowsOf(context, pool));
      const findings = judgeChange(before[place]!, after, { created: own.length, claimed: own.length, removed: 0 });
      if (rest === undefined) findings.push({ kind: 'stuck', what: `the pool has: ${describeRows(after)}` });
      for (const { id } of after.filter(({ isPrebuild, deleted }) => isPrebuild && !deleted)) {
        const starts = machines.of(id)?.starts() ?? [];
        if (starts.length > 1 || starts.some((line) => line !== poolStart))
          findings.push({ kind: 'two_owners', what: `the agent of prebuild ${id} began: ${starts.join(' | ')}` });
      }
      // What is wrong with a pool is nobody's claim in particular.
      if (own[0] !== undefined) addFindings(own[0].run, findings);
    }),
  );
  const untracked = await untrackedIn(context);
  for (const { run } of claims.slice(0, 1))
    for (const id of untracked) addFindings(run, [{ kind: 'orphan', what: `${id} had effects and is no workspace` }]);
  await Promise.all(
    claims.map(async (claim) => {
      const { run, pool } = claim;
      if (run.workspaceId === '') return;
      const machine = machines.of(run.workspaceId);
      const was = before.flat().find(({ id }) => id === run.workspaceId);
      const facts = {
        claim,
        claimants,
        machine,
        wasPrebuild: was?.isPrebuild === true && was.versionId === pool.versions[0]!.id,
      };
      const judgement = await claimJudgement(context, { ...facts, strikeAt });
      run.phase = judgement.phase;
      if (claim.readyAtMs !== undefined && claim.readyAtMs > strikeAt && judgement.phase !== 'before the request')
        run.recoveryMs = claim.readyAtMs - strikeAt;
      addFindings(run, judgement.findings);
      await judgeLife(context, run);
      await endLife(context, run);
      // A second beginning may come late: until the very end there was one.
      run.reinits = Math.max(0, (machine?.starts().length ?? 1) - 1);
      if (run.reinits !== 1)
        addFindings(run, [{ kind: 'wrong', what: `its agent began anew ${run.reinits} times in all` }]);
      await machine?.end();
    }),
  );
}
