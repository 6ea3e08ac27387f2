// Another language's stock tooling: loads the protos as they are, publishes, subscribes, and says what it saw.
//
// Usage: node publish_and_subscribe.js ADDRESS PROTOS NAMESPACE; prints one line of JSON.
"use strict";

const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const [address, protos, namespace] = process.argv.slice(2);
const options = { includeDirs: [protos], longs: String, enums: String, defaults: false, oneofs: true };
const definition = protoLoader.loadSync("concert/v1/event_service.proto", options);
const { EventService } = grpc.loadPackageDefinition(definition).concert.v1;
const client = new EventService(address, grpc.credentials.createInsecure());

const drafts = ["page_rendered", "page_checked"].map((name, number) => ({
  custom: { name, data: { json: { structValue: { fields: { number: { numberValue: number } } } } } },
}));

function publish(request) {
  return new Promise((resolve, reject) => {
    client.publish(request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

async function main() {
  const filter = { customNames: ["page_checked"] };
  const subscription = client.subscribe({ namespace, filter, position: "START_POSITION_EARLIEST" });
  const seen = new Promise((resolve, reject) => {
    subscription.on("error", reject);
    subscription.on("data", ({ events }) => events && events.length && resolve(events[0]));
  });
  const published = await publish({ namespace, requestId: "node-1", events: drafts });
  const replayed = await publish({ namespace, requestId: "node-1", events: drafts });
  const event = await seen;
  subscription.removeAllListeners("error").on("error", () => {}); // cancelling is reported as one
  subscription.cancel();
  const refused = await publish({ namespace, events: [] }).catch((error) => error);
  const details = refused.metadata.get("grpc-status-details-bin").length;
  console.log(JSON.stringify({ published, replayed, event, refused: refused.code, details }));
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
