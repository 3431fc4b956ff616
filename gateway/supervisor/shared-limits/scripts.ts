/**
 * What Redis runs. One hash a limit, `<prefix>:{<key as asked>}`, in one slot of a cluster with `…:recorded`, which a collector may fill in:
 *
 *   run, epoch, since, ok       the server that the hash was last found whole on (run_id), a name of that moment, when (ms), and whether all have declared
 *   x:<node>, d:<node>          since then: who is expected to declare what it used and holds, and who has
 *   v:<node>                    version of what stands here of the node: a call that knows another one changes nothing
 *   m:<node>                    its name
 *   quota: day, start, end      the day that is open (ms since the epoch, half open); a later one opens with the first call that names it, none before,
 *                               and none that begins later than EARLY_MS from now by this server's clock
 *          g:<node>             of that day: what the node may have used or hold in all
 *   rate:  tokens, at           as of `at` (ms, of this server's clock); below 0: owed, nodes made units themselves
 *          qps, burst, idle     the limit as last told; for how long (ms) nobody had any unit when this epoch began (`filled`: the bucket has been made of it)
 *          h:<node>, s:<node>   what the node may still spend, and when it was last heard (ms)
 *
 * A call says what is true of its node in absolute numbers, so that a lost answer is mended by the next call; and it is compared with the version, so that
 * a call that was given up and runs later changes nothing. Nothing is granted before everyone who may have used something has declared, or SETTLE_MS are over.
 */

/** How long grants wait, after a wipe, a restart or a failover, for nodes that do not declare. */
export const SETTLE_MS = 2000;
/** What a node holds of a rate is no longer counted when it was silent for this long. A quota's is never given away. */
export const RATE_SILENT_MS = 10_000;
/** A clock that is ahead of Redis's by more opens no day. */
export const EARLY_MS = 60_000;
/** Hashes that nobody calls for go after this. */
const KEEP_MS = 8 * 86_400_000;

/** ARGV 1-5 of both: epoch, node, its name, version, expected nodes (space between). */
const BEGIN = `
local key, epoch, node, name, version = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local f, flat = {}, redis.call('HGETALL', key)
for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
local function set(field, value)
  if type(value) == 'number' then value = string.format('%.3f', value):gsub('%.?0+$', '') end
  f[field] = value
  redis.call('HSET', key, field, value)
end
if f.run ~= run then
  for field in pairs(f) do
    if string.match(field, '^[dx]:') then redis.call('HDEL', key, field); f[field] = nil end
  end
  set('epoch', run .. ':' .. time[1] .. '.' .. time[2])
  set('run', run); set('since', now); set('ok', '0'); set('idle', '1e15')
  if f.at then set('tokens', '0'); set('at', now) end
end
redis.call('PEXPIRE', key, ${KEEP_MS})
local open = f.ok == '1'
if not open then
  for id in string.gmatch(ARGV[5], '%S+') do if not f['x:' .. id] then set('x:' .. id, '1') end end
end
local known = tonumber(f['v:' .. node] or '-1')
local declared = f['d:' .. node] ~= nil
`;

const DECLARED = `
local function declare()
  known = known + 1
  set('v:' .. node, tostring(known))
  if not declared then set('d:' .. node, '1'); set('d:@' .. name, '1'); set('m:' .. node, name) end
end
local function settled()
  if open then return true end
  if now - f.since < ${SETTLE_MS} then
    for field in pairs(f) do
      if string.sub(field, 1, 2) == 'x:' and not f['d:' .. string.sub(field, 3)] then return false end
    end
  end
  set('ok', '1')
  return true
end
`;

/**
 * KEYS: hash, recorded. ARGV 6-13: day ('' declares that there is nothing), start, end, what the node may have of it in all as it knows, units wanted,
 * limit, living nodes, 1: what stands here of the node is not to be lowered. Answers [status, epoch, version, mine, left, day, start, end, time (ms)]; status: `ok`; `epoch`, `version`: nothing was changed, call again
 * with what the answer says; `day`: another is open; `early`: the day has not come, nothing was changed; `settling`: declared, and others have not yet.
 */
export const QUOTA_SCRIPT = `${BEGIN}${DECLARED}
local day, stated, want, limit, nodes = ARGV[6], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local mine = tonumber(f['g:' .. node] or '0')
local function answer(status, left)
  return { status, f.epoch, known, string.format('%.0f', mine), string.format('%.0f', left), f.day or '', f.start or '0', f['end'] or '0', string.format('%.0f', now) }
end
if epoch ~= f.epoch then return answer('epoch', 0) end
if declared and version ~= known then return answer('version', 0) end
if day ~= '' and (not f.day or day > f.day) then
  if tonumber(ARGV[7]) > now + ${EARLY_MS} then return answer('early', 0) end
  for field in pairs(f) do
    if string.sub(field, 1, 2) == 'g:' then redis.call('HDEL', key, field); f[field] = nil end
  end
  mine = 0
  set('day', day); set('start', ARGV[7]); set('end', ARGV[8])
end
if day == f.day then
  -- a time zone that was changed makes a day longer
  if tonumber(ARGV[8]) > tonumber(f['end']) then set('end', ARGV[8]) end
  if declared and ARGV[13] ~= '1' then mine = stated else mine = math.max(mine, stated) end
  set('g:' .. node, mine)
end
declare()
if not settled() then return answer('settling', 0) end
if day ~= f.day then return answer(day == '' and 'ok' or 'day', 0) end
local byName = {}
for field, units in pairs(f) do
  if string.sub(field, 1, 2) == 'g:' then
    local of = f['m:' .. string.sub(field, 3)] or field
    byName[of] = (byName[of] or 0) + tonumber(units)
  end
end
-- what the store has of a node that has not told us: a node's own word is never less
local recorded = redis.call('HGETALL', KEYS[2])
for i = 1, #recorded, 2 do
  local of = string.match(recorded[i], '^' .. day:gsub('%-', '%%-') .. '|(.*)$')
  if of then byName[of] = math.max(byName[of] or 0, tonumber(recorded[i + 1])) end
end
local sum = 0
for _, units in pairs(byName) do sum = sum + units end
local left = math.max(0, limit - sum)
local grant = math.min(want, left)
if grant > 0 and nodes > 1 then grant = math.min(grant, math.max(1, math.floor(left / (2 * nodes)))) end
if grant > 0 then
  mine = mine + grant
  set('g:' .. node, mine)
end
return answer('ok', left - grant)
`;

/**
 * KEYS: hash. ARGV 6-12: units that the node holds unspent, units that it gives back, units wanted, qps, burst (0, 0: declares that there is nothing),
 * living nodes, units that it made itself beyond what it had been granted (1e15: not known how many); 13: for how long (ms) it has had none. Answers [status, epoch, version, granted, left, wait in ms].
 */
export const RATE_SCRIPT = `${BEGIN}${DECLARED}
local held, back, want, qps, burst, nodes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local made = tonumber(ARGV[12])
local tokens = tonumber(f.tokens or '0')
local function answer(status, granted, wait)
  return { status, f.epoch, known, string.format('%.0f', granted), string.format('%.0f', math.max(0, math.floor(tokens))), string.format('%.0f', wait) }
end
if epoch ~= f.epoch then return answer('epoch', 0, 0) end
if declared and version ~= known then return answer('version', 0, 0) end
if not declared then
  set('idle', math.min(tonumber(f.idle), tonumber(ARGV[13])))
  back = 0
end
set('h:' .. node, held); set('s:' .. node, now)
local out = 0
for field, units in pairs(f) do
  if string.sub(field, 1, 2) == 'h:' then
    local seen = tonumber(f['s:' .. string.sub(field, 3)] or '0')
    if now - seen > ${RATE_SILENT_MS} then redis.call('HDEL', key, field) else out = out + tonumber(units) end
  end
end
declare()
if not settled() then return answer('settling', 0, 0) end
if qps == 0 then return answer('ok', 0, 1) end
if f.filled ~= f.epoch then
  set('filled', f.epoch)
  -- as full as it can be, if nobody had any for so long
  for field in pairs(f) do
    if string.sub(field, 1, 2) == 'x:' and not f['d:' .. string.sub(field, 3)] then set('idle', math.min(tonumber(f.idle), now - f.since)) end
  end
  tokens = math.min(burst, qps * tonumber(f.idle) / 1000)
elseif f.burst and tonumber(f.burst) > 0 then
  tokens = tokens + tonumber(f.qps) * math.max(0, now - f.at) / 1000
  -- a raised burst is there at once
  if burst > tonumber(f.burst) then tokens = tokens + burst - f.burst end
end
tokens = math.max(math.min(0, tokens), math.min(burst - out, tokens + back))
-- what others had meanwhile is owed, a second's or a burst of it at most; where nobody could be asked, each made its share, and nobody owes
if made < 1e15 then tokens = math.max(-math.max(qps, burst), tokens - made) else tokens = math.min(0, tokens) end
local grant = math.max(0, math.min(want, math.floor(tokens)))
if grant > 0 and nodes > 1 then grant = math.min(grant, math.max(1, math.floor(tokens / (2 * nodes)))) end
tokens = tokens - grant
set('h:' .. node, held + grant)
set('tokens', tokens); set('at', now); set('qps', qps); set('burst', burst)
-- for a batch of what 10 ms bring, if the burst allows it
local batch = math.max(1, math.min(qps / 100, burst / 4))
return answer('ok', grant, math.max(1, math.ceil((batch - tokens) * 1000 / qps)))
`;

/** KEYS: the registry. ARGV: node, its name, ms after which a silent one is not alive. Answers [epoch, node, name, …] of those alive. */
export const HEARTBEAT_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or string.sub(epoch, 1, #run) ~= run then
  epoch = run .. ':' .. time[1] .. '.' .. time[2]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
local answer, flat = { epoch }, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local id = string.match(flat[i], '^n:(.*)$')
  if id then
    local seen, name = string.match(flat[i + 1], '^(%d+) (.*)$')
    if now - tonumber(seen) <= tonumber(ARGV[3]) then
      answer[#answer + 1] = id
      answer[#answer + 1] = name
    elseif now - tonumber(seen) > 86400000 then redis.call('HDEL', KEYS[1], flat[i]) end
  end
end
return answer
`;

/** KEYS: the registry. ARGV: node. It leaves in good order: nobody waits for it. */
export const LEAVE_SCRIPT = 'return redis.call(\'HDEL\', KEYS[1], \'n:\' .. ARGV[1])';
