/**
 * A consumer that goes on where it stopped: `node build/examples/resume.js HOST:PORT COUNT` processes so many orders and leaves.
 *
 * Start it again and it takes the next ones; kill the coordinator meanwhile and it waits for it. Each order comes, in order, whatever
 * happened between.
 */
import { connect, fromPayload } from "@concert-dev/client";

const [address, count] = process.argv.slice(2);
let left = Number(count);
await using client = connect(address);
await using orders = client.namedSubscription("orders", { customNames: ["order"], start: "earliest" });
await orders.ready();
console.log("waiting for orders");
for await (const order of orders) {
  if (order.payload?.$case !== "custom") continue;
  const { number } = fromPayload(order.payload.value.data) as { number: number };
  console.log(`order ${number}`);
  await orders.ack(order); // Durable: it does not come again.
  if (--left === 0) break;
}
