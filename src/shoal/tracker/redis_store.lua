-- Answer questions about swarms, one after the other, in one step. Needs Redis 5 or newer, or Valkey.
--
-- ARGV: the time ('' for this server's own), a random number, how long a peer may be silent, most peers, most swarms,
-- and then the questions. Gives an answer for each. Why the keys are as they are: docs/decisions/0007-shared-store.md
--
--   shoal1:swarm:HASH   hash: `completed` -> how often; and the letter of each pool that has peers
--   shoal1:pool:P:HASH  sorted set, P the letter of the pool: packed peers by the second in which they are forgotten
--   shoal1:swarms       sorted set: the info hash of every swarm; with one score for all, they are in its order
--   shoal1:totals       hash: what there is altogether, and how far the recount of it has come

local SWARM, POOL, SWARMS, TOTALS = 'shoal1:swarm:', 'shoal1:pool:', 'shoal1:swarms', 'shoal1:totals'
local LEECHING, SEEDING, GONE, LOOKING = 0, 1, 2, 3
local RECOUNT_SECONDS = 30 -- for all swarms, as long as it can be kept up
local SLOWEST, FASTEST = 100, 5000 -- swarms a second; one takes this server some 10 us
local SLICE = 500 -- swarms in a step, so that nobody else waits for long
local SPARE_SECONDS = 120 -- the recount takes note of a swarm's end before Redis drops its keys

local call, pack = redis.call, struct.pack

local now = tonumber(ARGV[1])
if not now then
    local time = call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
math.randomseed(tonumber(ARGV[2])) -- scripts of Redis would otherwise all draw the same
local lifetime, max_peers, max_swarms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local QUESTIONS_FROM = 6
local silent_before = string.format('(%d', math.ceil(now))
local forgotten_at = string.format('%d', math.ceil(now + lifetime))
local key_seconds = math.ceil(lifetime) + SPARE_SECONDS

-- A write that writes nothing fails as any other would: for want of memory, and then nobody new is let in; or because
-- this server takes no writes, which is an error for everybody.
local has_room = true
local tried = redis.pcall('SETRANGE', 'shoal1:room', 0, '')
if type(tried) == 'table' and tried.err then
    has_room = not tried.err:find('OOM', 1, true)
    if has_room then call('SETRANGE', 'shoal1:room', 0, '') end
end

-- What there is altogether, and the part of it that the recount has seen: the swarms up to its `cursor`.

local COUNTED = {'swarms', 'seeds', 'leechers', 'seen_swarms', 'seen_seeds', 'seen_leechers', 'next_slice_at'}
local totals, cursor, has_changed = {}, call('HGET', TOTALS, 'cursor') or '', false
for place, number in ipairs(call('HMGET', TOTALS, unpack(COUNTED))) do
    totals[COUNTED[place]] = tonumber(number) or 0
end

local function add(prefix, swarms, seeds, leechers)
    totals[prefix .. 'swarms'] = totals[prefix .. 'swarms'] + swarms
    totals[prefix .. 'seeds'] = totals[prefix .. 'seeds'] + seeds
    totals[prefix .. 'leechers'] = totals[prefix .. 'leechers'] + leechers
    has_changed = true
end

-- Byte by byte, as Redis sorts; Lua's own comparison follows the locale.
local function is_seen(hash)
    for place = 1, #cursor do
        local left, right = hash:byte(place), cursor:byte(place)
        if left ~= right then return left < right end
    end
    return cursor ~= ''
end

-- A swarm while it is worked on: `sizes` of its pools by their letter.

local function pool_name(scope, family, role) -- family 1: IPv6; role 1: seeds
    return string.char(65 + scope * 4 + family * 2 + role)
end

local function is_of_seeds(pool)
    return pool:byte() % 2 == 0
end

local function sum(swarm)
    local seeds, leechers = 0, 0
    for pool, size in pairs(swarm.sizes) do
        if is_of_seeds(pool) then seeds = seeds + size else leechers = leechers + size end
    end
    return seeds, leechers
end

local function new_swarm(hash)
    return {hash = hash, was_here = false, completed = 0, sizes = {}, seeds_before = 0, leechers_before = 0}
end

-- Read a swarm, without those who have been silent for too long.
local function read(hash)
    local swarm, fields = new_swarm(hash), call('HGETALL', SWARM .. hash)
    swarm.was_here = #fields > 0
    for place = 1, #fields, 2 do
        local field = fields[place]
        if field == 'completed' then
            swarm.completed = tonumber(fields[place + 1])
        else
            local key = POOL .. field .. ':' .. hash
            local silent = call('ZREMRANGEBYSCORE', key, '-inf', silent_before)
            local size = call('ZCARD', key)
            swarm.sizes[field] = size
            local role = is_of_seeds(field) and 'seeds_before' or 'leechers_before'
            swarm[role] = swarm[role] + silent + size
        end
    end
    return swarm
end

-- Note what has become of a swarm; one without peers is gone. Gives its seeds and leechers.
local function settle(swarm)
    local key, seeds, leechers = SWARM .. swarm.hash, sum(swarm)
    local is_here = seeds + leechers > 0
    if is_here then
        for pool, size in pairs(swarm.sizes) do
            if size == 0 then call('HDEL', key, pool) end
        end
    elseif swarm.was_here then
        call('DEL', key)
        call('ZREM', SWARMS, swarm.hash)
    end
    if is_here and not swarm.was_here then
        call('ZADD', SWARMS, 0, swarm.hash)
    end
    local change = (is_here and 1 or 0) - (swarm.was_here and 1 or 0)
    local more_seeds, more_leechers = seeds - swarm.seeds_before, leechers - swarm.leechers_before
    if change ~= 0 or more_seeds ~= 0 or more_leechers ~= 0 then
        add('', change, more_seeds, more_leechers)
        if is_seen(swarm.hash) then add('seen_', change, more_seeds, more_leechers) end
    end
    return seeds, leechers
end

local function open(hash)
    local swarm = read(hash)
    local seeds, leechers = sum(swarm)
    if not swarm.was_here or seeds + leechers > 0 then return swarm end
    settle(swarm) -- all have fallen silent: this one is gone, and whoever comes begins another
    return new_swarm(hash)
end

local function take(swarm, pool, record)
    local size = swarm.sizes[pool]
    if not size or call('ZREM', POOL .. pool .. ':' .. swarm.hash, record) == 0 then return false end
    swarm.sizes[pool] = size - 1
    return true
end

local function put(swarm, pool, record)
    local key, size = POOL .. pool .. ':' .. swarm.hash, swarm.sizes[pool]
    call('ZADD', key, forgotten_at, record)
    call('EXPIRE', key, key_seconds)
    if not size then call('HSET', SWARM .. swarm.hash, pool, '') end
    call('EXPIRE', SWARM .. swarm.hash, key_seconds)
    swarm.sizes[pool] = (size or 0) + 1
end

-- Up to `wanted` of a pool's peers onto the end of `told`; how many. They are a run from anywhere, round the end, so
-- that all are told equally often. ZRANDMEMBER takes longer, and tells some of a large set nearly three times as often.
local function sample(swarm, pool, wanted, told)
    local key, size = POOL .. pool .. ':' .. swarm.hash, swarm.sizes[pool] or 0
    wanted = math.min(wanted, size)
    if wanted <= 0 then return 0 end
    local first = wanted < size and math.random(0, size - 1) or 0
    for _, peer in ipairs(call('ZRANGE', key, first, first + wanted - 1)) do told[#told + 1] = peer end
    if first + wanted > size then
        for _, peer in ipairs(call('ZRANGE', key, 0, first + wanted - size - 1)) do told[#told + 1] = peer end
    end
    return wanted
end

-- Peers for a visitor who is in no pool just now: the nearest scope first, and in it its own family. Packed, by family.
local function choose(swarm, scope, family, wanted, with_seeds)
    local told = {[0] = {}, [1] = {}}
    for nearer = scope, 0, -1 do
        for _, other in ipairs({family, 1 - family}) do
            local seeds, leechers = pool_name(nearer, other, 1), pool_name(nearer, other, 0)
            local seed_count, total = with_seeds and swarm.sizes[seeds] or 0, swarm.sizes[leechers] or 0
            total = total + seed_count
            local share = seed_count -- or in proportion, rounded up: one seed beats none
            if wanted < total then share = math.ceil(wanted * seed_count / total) end
            local from_seeds = sample(swarm, seeds, math.min(share, seed_count), told[other])
            wanted = wanted - from_seeds
            wanted = wanted - sample(swarm, leechers, wanted, told[other])
        end
    end
    return table.concat(told[0]), table.concat(told[1])
end

-- The questions, by their first letter.

local answer = {}

-- v, role, has it completed?, scope, how many are wanted (2 bytes), info hash, record
function answer.v(question)
    local role, has_completed, scope, wanted, hash, at = struct.unpack('>BBBI2c20', question, 2)
    local record = question:sub(at)
    local family = #record == 18 and 1 or 0
    local seeds, leechers = pool_name(scope, family, 1), pool_name(scope, family, 0)
    local swarm = open(hash)
    local had_seeds, had_leechers = sum(swarm)
    local was_seed = role ~= LOOKING and take(swarm, seeds, record)
    local was_leecher = role ~= LOOKING and not was_seed and take(swarm, leechers, record)
    if role == GONE then
        settle(swarm)
        return pack('>I4I4I2', 0, 0, 0)
    end
    local is_listed = role ~= LOOKING
    if is_listed and not was_seed and not was_leecher then
        local is_full = had_seeds + had_leechers == 0 and totals.swarms >= max_swarms
        if is_full or totals.seeds + totals.leechers >= max_peers or not has_room then
            settle(swarm)
            return ''
        end
    end
    local v4, v6 = choose(swarm, scope, family, wanted, role ~= SEEDING)
    if is_listed then put(swarm, role == SEEDING and seeds or leechers, record) end
    if role == SEEDING and has_completed == 1 and not was_seed then
        call('HINCRBY', SWARM .. hash, 'completed', 1)
    end
    local complete, incomplete = settle(swarm)
    return pack('>I4I4I2', complete, incomplete, #v4) .. v4 .. v6
end

-- s, info hash: a scrape of it
function answer.s(question)
    local swarm = open(question:sub(2))
    local seeds, leechers = settle(swarm)
    if seeds + leechers == 0 then return '' end
    return pack('>I4I4I4', seeds, leechers, swarm.completed)
end

-- c: the sizes of everything
function answer.c()
    return pack('>I4I4I4', math.max(totals.swarms, 0), math.max(totals.seeds, 0), math.max(totals.leechers, 0))
end

-- l, how many (4 bytes): some of those who are here; of each its info hash, 1 for a seed, length and record
function answer.l(question)
    local most, listed = struct.unpack('>I4', question, 2), {}
    if most == 0 then return '' end
    for _, hash in ipairs(call('ZRANGE', SWARMS, 0, most - 1)) do
        for _, pool in ipairs(call('HKEYS', SWARM .. hash)) do
            local room = most - #listed
            if room == 0 then return table.concat(listed) end
            if pool ~= 'completed' then
                local key, role = POOL .. pool .. ':' .. hash, is_of_seeds(pool) and 1 or 0
                local first = string.format('%d', math.ceil(now))
                for _, record in ipairs(call('ZRANGEBYSCORE', key, first, '+inf', 'LIMIT', 0, room)) do
                    listed[#listed + 1] = hash .. pack('BB', role, #record) .. record
                end
            end
        end
    end
    return table.concat(listed)
end

-- w: walk on with the recount, if it is time. What has been silent goes, and what Redis lost is no longer counted.
-- Answers `w` where that was not enough yet.
function answer.w()
    -- A slice that is due in an hour was planned by a clock that has been set back since.
    if now <= totals.next_slice_at and totals.next_slice_at < now + 10 then return '' end
    local pace = math.min(math.max(call('ZCARD', SWARMS) / RECOUNT_SECONDS, SLOWEST), FASTEST)
    local size = math.min(SLICE, math.ceil(pace))
    local first = cursor == '' and '-' or '(' .. cursor
    local hashes = call('ZRANGEBYLEX', SWARMS, first, '+', 'LIMIT', 0, size)
    for _, hash in ipairs(hashes) do
        local swarm = open(hash)
        local seeds, leechers = settle(swarm)
        if seeds + leechers > 0 then
            add('seen_', 1, seeds, leechers)
        else
            call('ZREM', SWARMS, hash)
        end
        cursor = hash
    end
    if #hashes < size then
        for _, name in ipairs({'swarms', 'seeds', 'leechers'}) do
            totals[name], totals['seen_' .. name] = totals['seen_' .. name], 0
        end
        cursor = ''
    end
    totals.next_slice_at = math.min(math.max(totals.next_slice_at, now - 1), now) + size / pace
    has_changed = true
    return totals.next_slice_at < now and 'w' or ''
end

local answers = {}
for place = QUESTIONS_FROM, #ARGV do
    answers[#answers + 1] = answer[ARGV[place]:sub(1, 1)](ARGV[place])
end

if has_changed then
    local fields = {'cursor', cursor}
    for _, name in ipairs(COUNTED) do
        fields[#fields + 1] = name
        fields[#fields + 1] = totals[name]
    end
    call('EXPIRE', SWARMS, 2 * key_seconds) -- first, as it needs no memory: a script that has begun to write may go on
    call('HSET', TOTALS, unpack(fields))
    call('EXPIRE', TOTALS, 2 * key_seconds)
end
return answers
