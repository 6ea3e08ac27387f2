/**
 * A holder of the past is refused: `node build/examples/fencing.js [HOST:PORT]`, with a coordinator there.
 *
 * The first writer takes a lock for a second and then hangs, as a process does that is suspended or collects its garbage. The second is
 * given the lock. When the first wakes up and writes, it is too late, and the coordinator knows.
 */
import { connect, StaleFence } from "@concert-dev/client";

const [address] = process.argv.slice(2);
await using client = connect(address);

const first = await client.locks.acquire("ledger", { leaseMs: 1000 }); // Nobody renews it: it hangs.
console.log("the first holds the ledger");
await client.withLock("ledger", async (second) => {
  const higher = second.fencingToken > (first[0]?.fencingToken ?? 0n); // It waited until the lease had run out.
  console.log(`the second holds the ledger, and its token is higher: ${higher}`);
  await client.state.update({ "ledger/balance": 100 }, { fences: [second] });
  try {
    await client.state.update({ "ledger/balance": 0 }, { fences: first });
  } catch (refused) {
    if (!(refused instanceof StaleFence)) throw refused;
    console.log(`the first wakes up and is refused: ${refused.reason} ${refused.resource}`);
  }
});
console.log(`balance: ${(await client.state.get("ledger/balance"))?.value}`);
