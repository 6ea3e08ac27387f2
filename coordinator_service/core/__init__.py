"""The pure core: from a state and a command to events and an answer.

Nothing here reads a clock, draws a random number, touches a disk or a socket, or knows of asyncio, gRPC, protobuf or
telemetry. Time and identity arrive in the command; everything that happened leaves as an event. Read it in this order:
values, specs, events, commands, rejections, state, deciding, then the nouns (agents, runs, scheduler, locks,
shared_state), and last decide and apply, which only say which noun owns which command and event.
"""
