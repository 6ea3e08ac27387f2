import { runAgents, type TaskContext } from "@concert-dev/client/agent";

await runAgents({
  name: "greeter",
  slots: 4, // Tasks at once.
  handlers: {
    async greeting(context: TaskContext<{ name: string }>) {
      const { name } = context.input;
      context.progress(0.5, `thinking of ${name}`); // Never waits.
      await context.withLock("guest-book", async (lock) => {
        await context.publish("signed", { name, page: Number(lock.fencingToken) });
      });
      context.setState({ [`guests/${name}`]: "greeted" }); // True together with the completion, or not at all.
      context.signal.throwIfAborted(); // Aborted when the task is cancelled, timed out, or lost.
      return `Hello, ${name}! Before you: ${[...context.previousResults].length || "nobody"}.`;
    },
  },
  cleanup: ({ taskId }) => console.log(`done with ${taskId}`), // Always runs.
});
