//! What Redis does in one step. Every key is declared, and those of one call are in one slot.
//!
//! Places in a record and a lease are those of `record`. Numbers of 64 bits are compared as bytes by halves: Lua's numbers have 53 bits,
//! and its comparison of texts goes by the locale.

use sha1::{Digest, Sha1};
use std::sync::LazyLock;

/// A script and its name.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    pub(super) sha: String,
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let sha = format!("{:x}", Sha1::digest(text.as_bytes()));
        Self { text, sha }
    }
}

const LESS: &str = "
local function less(a, b)
  local a1, a2 = struct.unpack('>I4I4', a)
  local b1, b2 = struct.unpack('>I4I4', b)
  return a1 < b1 or a1 == b1 and a2 < b2
end
";

/// `alive(record, from)`: ARGV from there are pairs of a node's name and the first start of it that is not dead.
const ALIVE: &str = "
local function alive(record, from)
  local name, incarnation = string.sub(record, 28), string.sub(record, 12, 19)
  for i = from, #ARGV, 2 do
    if ARGV[i] == name then return not less(incarnation, ARGV[i + 1]) end
  end
  return true
end
";

/// KEYS marks; `state(epoch, name, incarnation)`: 0 the bucket is of another epoch, -1 that start was swept, nil neither.
const STATE: &str = "
local function state(epoch, name, incarnation)
  local marks = redis.call('HMGET', KEYS[1], '', name)
  if marks[1] ~= epoch then return 0 end
  if marks[2] and not less(marks[2], incarnation) then return -1 end
end
";

/// KEYS marks, user, index; ARGV epoch, resource, record, name in the index, limit, whether to keep, then pairs of `ALIVE`.
/// {0} not of this epoch, {-1} swept, {1} done, {2, old} done, {3, old} taken, {4} limit.
pub(super) static BIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        ALIVE,
        STATE,
        "
local epoch, resource, record = ARGV[1], ARGV[2], ARGV[3]
local wrong = state(epoch, string.sub(record, 28), string.sub(record, 12, 19))
if wrong then return {wrong} end
local answer = {1}
local old = redis.call('HGET', KEYS[2], resource)
if old and string.sub(old, 12) == string.sub(record, 12) then
  if less(string.sub(record, 4, 11), string.sub(old, 4, 11)) then record = old end
elseif old and alive(old, 7) then
  if ARGV[6] == '1' then return {3, old} end
  answer = {2, old}
elseif not old then
  local limit = tonumber(ARGV[5])
  if redis.call('HLEN', KEYS[2]) >= limit then
    local count = 0
    for _, other in ipairs(redis.call('HVALS', KEYS[2])) do
      if alive(other, 7) then count = count + 1 end
    end
    if count >= limit then return {4} end
  end
end
redis.call('HSET', KEYS[2], resource, record)
redis.call('SADD', KEYS[3], ARGV[4])
return answer
",
    ])
});

/// KEYS user; ARGV resource, token, seq, priority. {0} nobody, {1} done or overtaken, {2, old} another's.
pub(super) static UPDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        "
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old then return {0} end
if string.sub(old, 12) ~= ARGV[2] then return {2, old} end
if less(string.sub(old, 4, 11), ARGV[3]) then
  local new = string.sub(old, 1, 1) .. ARGV[4] .. ARGV[3] .. string.sub(old, 12)
  redis.call('HSET', KEYS[1], ARGV[1], new)
end
return {1}
",
    ])
});

/// KEYS user, index, turn; ARGV resource, token, name in the index. {1} removed, {0} not its own.
pub(super) static UNBIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&["
if redis.call('GET', KEYS[3]) == ARGV[2] then redis.call('DEL', KEYS[3]) end
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and string.sub(old, 12) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SREM', KEYS[2], ARGV[3])
  return {1}
end
-- a later session of the same node has the same name in the index
if not old or string.sub(old, 28) ~= string.sub(ARGV[2], 17) then redis.call('SREM', KEYS[2], ARGV[3]) end
return {0}
"])
});

/// KEYS turn; ARGV token, milliseconds. {1} it is that one's, {0} another one's.
pub(super) static TURN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&["
local has = redis.call('GET', KEYS[1])
if has and has ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1}
"])
});

/// KEYS marks, index, user of each; ARGV epoch, name, incarnation, how many, then resource, record, name in the index of each, then pairs
/// of `ALIVE`. {0} not of this epoch, {-1} swept, {1, place, old, ...}: done but for these (the first has place 0).
pub(super) static CONFIRM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        ALIVE,
        STATE,
        "
local wrong = state(ARGV[1], ARGV[2], ARGV[3])
if wrong then return {wrong} end
local answer, count = {1}, tonumber(ARGV[4])
local pairs_from = 5 + 3 * count
for i = 0, count - 1 do
  local resource, record, member = ARGV[5 + 3 * i], ARGV[6 + 3 * i], ARGV[7 + 3 * i]
  local old = redis.call('HGET', KEYS[3 + i], resource)
  local same = old and string.sub(old, 12) == string.sub(record, 12)
  if old and not same and alive(old, pairs_from) then
    answer[#answer + 1] = i
    answer[#answer + 1] = old
  else
    if not same or less(string.sub(old, 4, 11), string.sub(record, 4, 11)) then
      redis.call('HSET', KEYS[3 + i], resource, record)
    end
    redis.call('SADD', KEYS[2], member)
  end
end
return answer
",
    ])
});

/// A page of the index, and from now on no later word of that start counts in this bucket. KEYS marks, index; ARGV name, incarnation,
/// cursor. {cursor, names}.
pub(super) static PAGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        "
local swept = redis.call('HGET', KEYS[1], ARGV[1])
if not swept or less(swept, ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return redis.call('SSCAN', KEYS[2], ARGV[3], 'COUNT', 100)
",
    ])
});

/// A page of an index, which stays as it is. KEYS index; ARGV cursor. {cursor, names}.
pub(super) static LISTED: LazyLock<Script> =
    LazyLock::new(|| Script::new(&["return redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', 100)"]));

/// KEYS index, user of each; ARGV name, incarnation, then resource and name in the index of each. {place, record, ...}: these were removed.
pub(super) static SWEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        "
local answer = {}
for i = 0, #KEYS - 2 do
  local key, resource, member = KEYS[2 + i], ARGV[3 + 2 * i], ARGV[4 + 2 * i]
  local old = redis.call('HGET', key, resource)
  if not old or string.sub(old, 28) ~= ARGV[1] then
    redis.call('SREM', KEYS[1], member)
  elseif not less(ARGV[2], string.sub(old, 12, 19)) then
    redis.call('HDEL', key, resource)
    redis.call('SREM', KEYS[1], member)
    answer[#answer + 1] = i
    answer[#answer + 1] = old
  end
end
return answer
",
    ])
});

/// KEYS leases, control; `now()` in ms, `roll()`: {epoch, its age in ms, the servers it was made on, now, leases}.
const ROLL_PART: &str = "
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function roll()
  local control, at = redis.call('HMGET', KEYS[2], 'epoch', 'made', 'servers'), now()
  local age = at - (tonumber(control[2] or '') or at)
  return {control[1] or '0', age, control[3] or '', at, redis.call('HGETALL', KEYS[1])}
end
";

/// KEYS leases, control.
pub(super) static ROLL: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[ROLL_PART, "return roll()"]));

/// KEYS leases, control; ARGV name, incarnation, JSON, term in ms, epoch that was confirmed, epoch in which it began or '' at the first
/// time, most leases. {-1} fenced, {-2} too many, {-3} dead, else as `ROLL`.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        ROLL_PART,
        "
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local known = string.sub(old, 1, 8)
  if less(ARGV[2], known) then return {-1} end
  if known == ARGV[2] and string.sub(old, 9, 9) == 'd' then return {-3} end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[7]) then
  return {-2}
end
local epoch = redis.call('HGET', KEYS[2], 'epoch') or '0'
local confirmed, known = string.rep('0', 20), string.rep('0', 20 - #epoch) .. epoch
if ARGV[5] == epoch or ARGV[6] == epoch or ARGV[6] == '' then confirmed = known end
-- whoever renews it: what was confirmed once in an epoch is
if old and string.sub(old, 1, 8) == ARGV[2] and string.sub(old, 35, 54) == known then confirmed = known end
local until_ms = string.format('%015.0f', now() + tonumber(ARGV[4]))
local term = string.format('%010.0f', tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. 'l' .. until_ms .. term .. confirmed .. ARGV[3])
return roll()
",
    ])
});

/// `bury(name, incarnation)`: that start never has a lease again.
const BURY: &str = "
local function bury(name, incarnation)
  local rest = string.rep('0', 45)
  redis.call('HSET', KEYS[1], name, incarnation .. 'd' .. rest)
end
";

/// KEYS leases, control; ARGV name, incarnation.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        BURY,
        "
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old or not less(ARGV[2], string.sub(old, 1, 8)) then bury(ARGV[1], ARGV[2]) end
return 1
",
    ])
});

/// KEYS leases, control; ARGV name, incarnation. 1 dead, 0 its lease is good.
pub(super) static REAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&[
        LESS,
        ROLL_PART,
        BURY,
        "
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local known = string.sub(old, 1, 8)
  if less(ARGV[2], known) then return 1 end
  local good = string.sub(old, 9, 9) == 'l' and tonumber(string.sub(old, 10, 24)) > now()
  if good then return 0 end
end
bury(ARGV[1], ARGV[2])
return 1
",
    ])
});

/// The first step of a new epoch. KEYS control, maker; ARGV the epoch before, the new one, ms. 1: it may be made.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&["
if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then return 0 end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return 1 end
return 0
"])
});

/// The last. KEYS control, maker; ARGV the new epoch, the servers. 1: it is the epoch.
pub(super) static PUBLISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&["
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local made = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'made', made, 'servers', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"])
});
