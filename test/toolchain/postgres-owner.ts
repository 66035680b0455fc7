import { startPostgres } from '../../toolchain/postgres.ts';
import { silentProgress } from '../../toolchain/progress.ts';

/** A process that owns a PostgreSQL until it is killed. Prints the server's identity. */
const server = await startPostgres({ dir: process.argv[2] ?? '', progress: silentProgress, throwaway: true });
console.log(JSON.stringify(server.identity));
setInterval(() => undefined, 60_000);
