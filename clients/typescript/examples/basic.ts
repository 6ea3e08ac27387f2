/** An agent, and a run of two tasks for it: `node build/examples/basic.js [HOST:PORT]`, with a coordinator there. */
import { connect, task } from "@concert-dev/client";
import { type Agent, AgentHost, type TaskContext } from "@concert-dev/client/agent";

const greeter: Agent = {
  name: "greeter",
  handlers: {
    async greeting(context: TaskContext<{ name: string }>) {
      const { name } = context.input;
      context.progress(0.5, `thinking of ${name}`);
      await context.withLock("guest-book", async (lock) => {
        await context.publish("signed", { name, page: Number(lock.fencingToken) });
      });
      context.setState({ [`guests/${name}`]: "greeted" }); // True together with the completion.
      const earlier = [...context.previousResults].map(([, greeting]) => greeting).join(", ");
      return `Hello, ${name}!${earlier && ` (${earlier})`}`;
    },
  },
};

const [address] = process.argv.slice(2);
await using client = connect(address);
await using host = AgentHost.start(greeter, { address: client.addresses });
await host.registered();

const run = await client.submitRun({
  tasks: [
    task("second", { capability: "greeting", input: { name: "Grace" }, dependsOn: ["first"] }),
    task("first", { capability: "greeting", input: { name: "Ada" } }),
  ],
});
await run.wait();
console.log(await run.result("first"));
console.log(await run.result("second"));
console.log(`guests: ${(await client.state.list("guests")).map(({ key }) => key).join(", ")}`);
