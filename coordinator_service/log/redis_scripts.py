"""The scripts that run within Redis: each a change that has to see its fence and be done at once.

They append, read and fence; they decide nothing else. Everything of a namespace lies under keys with one hash tag
(RedisKeys). `meta` is a hash:

    format          version of this layout
    log_id          which log it is
    epoch, nonce    of the last claim; the nonce tells apart two claims of one epoch, of which one was lost with a tail
    holder          who claimed it, empty after a release
    last, hash      where the stream ends, and the chain hash up to there
    committed       up to where it is durable by the configured condition: readers stop here
    base, base_hash what was trimmed ends here
    bytes, base_bytes   of all events ever appended, and of those that were trimmed
    acknowledged    set where something up to that sequence was acknowledged and is gone; nobody may claim the log then

`log` is a stream: one entry a batch, its id `<last sequence>-0`, its fields f(irst sequence), t(ime), h(ash),
b(ytes up to its end), e(vents). `snapshots` is a hash from sequence to `<id> <parts> <hex hash>`, `snapshot:<id>` a
list of parts, `cursors` a hash from name to msgpack.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_FENCE = """
local has = redis.call('HMGET', KEYS[1], 'epoch', 'nonce', 'last', 'bytes')
if has[1] ~= ARGV[1] or has[2] ~= ARGV[2] then return {'FENCED', has[1] or '0'} end
"""
"""ARGV 1 and 2: epoch and nonce of the caller."""

_EVIDENCE = """
local function lost(log_id, sequence, hash)
  local at = redis.call('HMGET', KEYS[1], 'log_id', 'last', 'base', 'acknowledged')
  if at[4] then return tonumber(at[4]) end
  if at[1] ~= log_id then return nil end
  local gone = tonumber(sequence) > tonumber(at[2])
  if not gone and tonumber(sequence) > tonumber(at[3]) then
    local found = redis.call('XRANGE', KEYS[2], sequence .. '-0', sequence .. '-0')
    gone = #found == 0 or found[1][2][6] ~= hash
  end
  if not gone then return nil end
  redis.call('HSET', KEYS[1], 'acknowledged', sequence, 'holder', '', 'nonce', '')
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  return tonumber(sequence)
end
"""
"""Whether something that was acknowledged is gone, or another thing lies in its place: then nobody owns the log."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and its name to the server."""

    body: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.body.encode(), usedforsecurity=False).hexdigest())


OPEN = Script("""
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then
  if redis.call('EXISTS', KEYS[2]) == 1 then return {'FOREIGN', KEYS[2]} end
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'log_id', ARGV[2], 'epoch', 0, 'nonce', '', 'holder', '', 'last', 0,
    'hash', ARGV[3], 'committed', 0, 'base', 0, 'base_hash', ARGV[3], 'bytes', 0, 'base_bytes', 0)
elseif kind ~= 'hash' then
  return {'FOREIGN', KEYS[1]}
end
local format = redis.call('HGET', KEYS[1], 'format')
if not format then return {'FOREIGN', KEYS[1]} end
local last = redis.call('HGET', KEYS[1], 'last')
kind = redis.call('TYPE', KEYS[2])['ok']
if kind ~= 'none' and kind ~= 'stream' then return {'FOREIGN', KEYS[2]} end
local newest = kind == 'stream' and redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1) or {}
local at = redis.call('HMGET', KEYS[1], 'log_id', 'epoch', 'nonce', 'last', 'base')
return {'OK', format, at[1], at[2], at[3], at[4], at[5], #newest > 0 and newest[1][1] or ''}
""")
"""ARGV: format, log_id and genesis hash of a log that is new. FOREIGN names a key that is none of ours."""

CLAIM = Script(
    _EVIDENCE
    + """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return {'GONE'} end
if ARGV[7] ~= 'accepting' then
  local gone = lost(ARGV[4], ARGV[5], ARGV[6])
  if gone then
    local at = redis.call('HMGET', KEYS[1], 'log_id', 'last')
    return {'LOST', at[1], at[2], tostring(gone)}
  end
end
if ARGV[1] ~= '' and ARGV[1] ~= epoch then return {'FENCED', epoch} end
epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'nonce', ARGV[3])
local at = redis.call('HMGET', KEYS[1], 'log_id', 'last', 'hash')
return {'OK', epoch, at[1], at[2], at[3]}
"""
)
"""ARGV: after which epoch, or empty; holder; nonce; log_id, sequence and hash of what is known to be acknowledged;
`accepting` where an operator accepts that something is lost."""

REPORT = Script(
    _EVIDENCE
    + """
local gone = lost(ARGV[1], ARGV[2], ARGV[3])
if not gone then return {'OK'} end
local at = redis.call('HMGET', KEYS[1], 'log_id', 'last')
return {'LOST', at[1], at[2], tostring(gone)}
"""
)
"""ARGV: log_id, sequence and hash of what is known to be acknowledged."""

RELEASE = Script(
    _FENCE
    + """
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'holder', '', 'nonce', '')
return {'OK', has[3]}
"""
)
"""Answers where the log ends."""

CONFIRM = Script(
    _FENCE
    + """
redis.call('HINCRBY', KEYS[1], 'confirmed', 1)
return {'OK', has[3], redis.call('HGET', KEYS[1], 'committed')}
"""
)
"""For where a write is needed to find out whether the replicas still follow this server. Answers where the log ends,
and up to where readers are told that it is durable."""

APPEND = Script(
    _FENCE
    + """
if has[3] ~= ARGV[3] then return {'GAP', has[3]} end
local size = tonumber(has[4])
local count = #ARGV
for i = 6, count, 5 do
  size = size + #ARGV[i + 4]
  redis.call('XADD', KEYS[2], ARGV[i + 1] .. '-0', 'f', ARGV[i], 't', ARGV[i + 2], 'h', ARGV[i + 3],
    'b', string.format('%.0f', size), 'e', ARGV[i + 4])
end
local last = ARGV[count - 3]
redis.call('HSET', KEYS[1], 'last', last, 'hash', ARGV[count - 1], 'bytes', string.format('%.0f', size))
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], 'committed', last)
  redis.call('PUBLISH', ARGV[5], last)
end
return {'OK'}
"""
)
"""ARGV: epoch, nonce, where the log is to end before, `1` when what is appended is committed by that, the channel that
followers listen to, and then first sequence, last sequence, time, hash and events of each batch."""

COMMIT = Script(
    _FENCE
    + """
redis.call('HSET', KEYS[1], 'committed', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return {'OK'}
"""
)
"""ARGV: epoch, nonce, up to where the log is durable now, the channel."""

TRIM = Script(
    _FENCE
    + """
if redis.call('HLEN', KEYS[3]) < 2 then return {'OK', '0'} end
local limit = tonumber(ARGV[3])
for _, sequence in ipairs(redis.call('HKEYS', KEYS[3])) do
  if tonumber(sequence) < limit then limit = tonumber(sequence) end
end
local base = tonumber(redis.call('HGET', KEYS[1], 'base'))
local step = string.format('%.0f', math.min(limit, base + tonumber(ARGV[4])))
local found = redis.call('XREVRANGE', KEYS[2], step .. '-0', '-', 'COUNT', 1)
if #found == 0 then
  found = redis.call('XRANGE', KEYS[2], '-', string.format('%.0f', limit) .. '-0', 'COUNT', 1)
end
if #found == 0 then return {'OK', '0'} end
local last = string.match(found[1][1], '^%d+')
redis.call('HSET', KEYS[1], 'base', last, 'base_hash', found[1][2][6], 'base_bytes', found[1][2][8])
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', tonumber(last) + 1) .. '-0')
return {'OK', '1'}
"""
)
"""ARGV: epoch, nonce, the last sequence that may go, how many sequences at most go at once. Answers 1 when there may be
more to drop."""

CURSORS = Script(
    _FENCE
    + """
local dropped = tonumber(ARGV[3])
for i = 4, 3 + dropped do redis.call('HDEL', KEYS[2], ARGV[i]) end
for i = 4 + dropped, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return {'OK'}
"""
)
"""ARGV: epoch, nonce, how many names are dropped, those, and then name and msgpack of each that is saved."""

SNAPSHOT_PART = Script(
    _FENCE
    + """
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {'OK'}
"""
)
"""ARGV: epoch, nonce, the part, how long it stays if the snapshot is never completed."""

SNAPSHOT_DONE = Script(
    _FENCE
    + """
local dropped = {}
local replaced = redis.call('HGET', KEYS[2], ARGV[3])
if replaced then dropped[1] = replaced end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('PERSIST', KEYS[3])
local kept = redis.call('HKEYS', KEYS[2])
table.sort(kept, function(one, other) return tonumber(one) > tonumber(other) end)
for i = tonumber(ARGV[5]) + 1, #kept do
  dropped[#dropped + 1] = redis.call('HGET', KEYS[2], kept[i])
  redis.call('HDEL', KEYS[2], kept[i])
end
return {'OK', dropped}
"""
)
"""ARGV: epoch, nonce, sequence, what `snapshots` says of it, how many are kept. Answers what it said of those that
went."""

LOCATE = Script("""
local at = redis.call('HMGET', KEYS[1], 'base', 'committed')
local low, high = tonumber(at[1]), tonumber(at[2])
local function before(one, other)  -- as text: a number here is exact to 2^53 only
  if #one ~= #other then return #one < #other end
  return one < other
end
while low < high do
  local middle = math.floor((low + high) / 2)
  local found = redis.call('XRANGE', KEYS[2], string.format('%.0f', middle + 1) .. '-0', '+', 'COUNT', 1)
  local last = #found > 0 and tonumber(string.match(found[1][1], '^%d+'))
  if last and last <= high and before(found[1][2][4], ARGV[1]) then
    low = last
  else
    high = middle
  end
end
return string.format('%.0f', low)
""")
"""ARGV: a time. By halving, since times rise with sequences."""

MEASURE = Script("""
local at = redis.call('HMGET', KEYS[1], 'base', 'committed', 'base_bytes')
local function size(sequence)
  if tonumber(sequence) > tonumber(at[2]) then sequence = at[2] end
  local found = redis.call('XREVRANGE', KEYS[2], sequence .. '-0', '-', 'COUNT', 1)
  return #found > 0 and tonumber(found[1][2][8]) or tonumber(at[3])
end
return string.format('%.0f', math.max(0, size(ARGV[2]) - size(ARGV[1])))
""")
"""ARGV: after which sequence, until which."""

REACH = Script("""
local at = redis.call('HMGET', KEYS[1], 'last', 'base_bytes')
local low, high = tonumber(ARGV[1]), tonumber(at[1])
local function size(sequence)
  local found = redis.call('XREVRANGE', KEYS[2], string.format('%.0f', sequence) .. '-0', '-', 'COUNT', 1)
  return #found > 0 and tonumber(found[1][2][8]) or tonumber(at[2])
end
local limit = size(low) + tonumber(ARGV[2])
while low < high do
  local middle = math.ceil((low + high) / 2)
  if size(middle) <= limit then low = middle else high = middle - 1 end
end
return string.format('%.0f', low)
""")
"""ARGV: after which sequence, how many bytes of events. Answers until which sequence there are no more than that."""

REBASE = Script(
    _FENCE
    + """
redis.call('DEL', KEYS[3])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[4]) end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
redis.call('PERSIST', KEYS[5])
redis.call('HSET', KEYS[1], 'log_id', ARGV[5], 'base', ARGV[3], 'last', ARGV[3], 'committed', ARGV[3],
  'base_hash', redis.call('HGET', KEYS[1], 'hash'), 'base_bytes', has[4], 'holder', '', 'nonce', '')
redis.call('HDEL', KEYS[1], 'acknowledged')
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return {'OK'}
"""
)
"""ARGV: epoch, nonce, where the new log begins after, what `snapshots` says of the state there, the new log_id. KEYS:
meta, log, snapshots, where the old log is kept, the snapshot's parts."""
