"""Fuzzing: whatever bytes, messages and frames come, the coordinator answers by its contract and lives on.

    make fuzz N=100000           so many cases of every target, from a seed that is printed
    make fuzz MINUTES=120        rounds of them until the time is over
    make fuzz REPLAY=FILE        what failed, once more

`targets` has what takes bytes and nothing else (codecs, parsers, tokens); `surface` has the rpcs and the session, with
requests made from the descriptors, within this process and against a real one.
"""
