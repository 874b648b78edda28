-- The store port as one stateless script. KEYS[1] is the prefix of every key (a hash tag, so all keys share one slot);
-- ARGV is the operation, the time, and its arguments as JSON. Answers are JSON.
--
-- A script is atomic but not undone when it fails: everything is judged before anything is written.
-- Times stay text from end to end, since Lua's and cjson's numbers lose digits when they are printed.

local PREFIX, NOW = KEYS[1], ARGV[2]
local ask = cjson.decode(ARGV[3])
local SEP = "\0"

local function key(...) return PREFIX .. ":" .. table.concat({ ... }, SEP) end
local function text(number) return string.format("%.17g", number) end
local function past(at) return at ~= nil and tonumber(at) <= tonumber(NOW) end
local function sooner(a, b) return (tonumber(a) <= tonumber(b)) and a or b end

local function read(name)
  local flat = redis.call("HGETALL", name)
  if #flat == 0 then return nil end
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

local function write(name, hash)
  local flat = {}
  for field, value in pairs(hash) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call("DEL", name)
  redis.call("HSET", name, unpack(flat))
end

local STATE = key("state")
local function counter(name) return tonumber(redis.call("HGET", STATE, name) or "0") end
local revision = counter("revision")

local function take_revision()
  revision = revision + 1
  return text(revision)
end

local function take_token()
  return text(redis.call("HINCRBY", STATE, "tokens", 1))
end

local function fail(kind, reason) error({ err = kind .. " " .. reason }) end

-- records -------------------------------------------------------------------------------------------------------------

local function place(kind, id, entry) return key("list", entry[1], entry[2]), entry[3] .. SEP .. id .. SEP .. kind end

local function judge(kind, id, expect)
  local record = read(key("record", kind, id))
  local present = (record and not past(record.expires_at)) and tonumber(record.version) or 0
  if expect ~= nil and expect ~= present then
    fail("CONFLICT", kind .. " " .. id .. " is at version " .. present .. ", not " .. expect)
  end
  return record, present
end

local function move_entries(kind, id, before, after)
  for _, entry in ipairs(cjson.decode(before)) do redis.call("ZREM", place(kind, id, entry)) end
  for _, entry in ipairs(cjson.decode(after)) do
    local list, member = place(kind, id, entry)
    redis.call("ZADD", list, 0, member)
  end
end

local function put(change, record, present)
  local name = change.kind .. SEP .. change.id
  local fresh = {
    kind = change.kind, id = change.id, version = text(present + 1), revision = take_revision(),
    body = change.body, expires_at = change.expires_at, entries = change.entries, fed = change.fed and "1" or "0",
  }
  write(key("record", change.kind, change.id), fresh)
  local before = record and record.entries or "[]"
  if before ~= change.entries then move_entries(change.kind, change.id, before, change.entries) end
  if change.expires_at then
    redis.call("ZADD", key("expiry"), change.expires_at, name)
  elseif record and record.expires_at then
    redis.call("ZREM", key("expiry"), name)
  end
  if change.fed then
    redis.call("ZADD", key("feed"), fresh.revision, name)
    redis.call("ZREM", key("tombstones"), name)
    redis.call("DEL", key("tombstone", change.kind, change.id))
  elseif record and record.fed == "1" then
    redis.call("ZREM", key("feed"), name)
  end
  return fresh
end

local function delete(kind, id, record)
  local name = kind .. SEP .. id
  local version = record and tonumber(record.version) or 0
  local tombstone = { kind = kind, id = id, version = text(version + 1), revision = take_revision(), deleted = "1" }
  if record then
    move_entries(kind, id, record.entries, "[]")
    redis.call("DEL", key("record", kind, id))
    redis.call("ZREM", key("expiry"), name)
    if record.fed == "1" then
      write(key("tombstone", kind, id), tombstone)
      redis.call("ZADD", key("tombstones"), tombstone.revision, name)
      redis.call("ZADD", key("feed"), tombstone.revision, name)
    end
  end
  return tombstone
end

local function names(member)
  local at = string.find(member, SEP, 1, true)
  return string.sub(member, 1, at - 1), string.sub(member, at + 1)
end

-- logs ----------------------------------------------------------------------------------------------------------------

local function append(log, id, keys, at, body)
  local position = take_revision()
  local entry = { log = log, id = id, at = at, body = body, position = position, keys = cjson.encode(keys) }
  write(key("entry", position), entry)
  redis.call("ZADD", key("age", log), at, position)
  for _, name in ipairs(keys) do redis.call("ZADD", key("log", log, name), position, position) end
  return entry
end

-- jobs ----------------------------------------------------------------------------------------------------------------

local function job_of(name) return read(key("job", name)) end
local function member_of(job) return job.id .. SEP .. job.key end
local function ready_at(job) return job.token == "0" and job.due or job.lease_until end

local function forget(job)
  redis.call("ZREM", key("queue", job.lane, job.priority), member_of(job))
  redis.call("ZREM", key("jobs"), member_of(job))
  redis.call("DEL", key("job", job.key))
end

local function keep(job, before)
  if before then forget(before) end
  write(key("job", job.key), job)
  redis.call("ZADD", key("queue", job.lane, job.priority), ready_at(job), member_of(job))
  redis.call("ZADD", key("jobs"), 0, member_of(job))
end

local function changed(job, changes, drop)
  local fresh = {}
  for field, value in pairs(job) do fresh[field] = value end
  for field, value in pairs(changes) do fresh[field] = value end
  for _, field in ipairs(drop or {}) do fresh[field] = nil end
  return fresh
end

-- The JSON of a ports.store.Job, put together by hand so that times keep their digits.
local function epitaph(job, status, err)
  local function quoted(value) return value == nil and "null" or cjson.encode(value) end
  local body = '{"id":' .. quoted(job.id) .. ',"key":' .. quoted(job.key) .. ',"type":' .. quoted(job.type)
    .. ',"lane":' .. quoted(job.lane) .. ',"priority":' .. job.priority .. ',"status":' .. quoted(status)
    .. ',"attempts":' .. job.attempts .. ',"created_at":' .. job.created_at .. ',"due":null,"processed_at":'
    .. (job.processed_at or "null") .. ',"completed_at":' .. NOW .. ',"error":' .. quoted(err)
    .. ',"payload":' .. quoted(job.payload) .. "}"
  append("jobs", job.id, { "all", "id:" .. job.id, "key:" .. job.key, "type:" .. job.type }, NOW, "t" .. body)
end

local function wake(wish)
  local job = job_of(wish.key)
  if not job then
    keep({
      key = wish.key, id = wish.id, type = wish.type, lane = wish.lane, priority = text(wish.priority), due = wish.due,
      payload = wish.payload, token = "0", generation = "1", attempts = "0", created_at = NOW,
    })
    return
  end
  local merged = changed(job, { type = wish.type, lane = wish.lane, payload = wish.payload })
  merged.priority = text(math.max(tonumber(job.priority), wish.priority))
  if job.token == "0" then
    merged.due = sooner(job.due, wish.due)
  else
    merged.generation = text(tonumber(job.generation) + 1)
    merged.woken_due = job.woken_due and sooner(job.woken_due, wish.due) or wish.due
  end
  keep(merged, job)
end

local function let_go(job, due, again)
  local counts_on = again and again.keep_attempts
  local free = changed(job, { due = due, token = "0", attempts = counts_on and job.attempts or "0" },
    { "woken_due", "lease_until", "error" })
  if again and again.error then free.error = again.error end
  return free
end

local function finish(ending)
  local job, again = job_of(ending.claim.key), ending.requeue
  if not job or tonumber(job.token) ~= ending.claim.token then return end
  if tonumber(job.generation) ~= ending.claim.generation then
    keep(let_go(job, again and sooner(job.woken_due, again.due) or job.woken_due, again), job)
  elseif not again then
    forget(job)
    epitaph(job, ending.status, ending.error)
  elseif again.type ~= job.type then
    epitaph(job, "completed", nil)
    local fresh = changed(let_go(job, again.due, again),
      { id = again.id, type = again.type, priority = text(again.priority), created_at = NOW, attempts = "0" },
      { "processed_at" })
    keep(fresh, job)
  else
    keep(changed(let_go(job, again.due, again), { priority = text(again.priority) }), job)
  end
end

-- operations ----------------------------------------------------------------------------------------------------------

local operation = {}

function operation.commit()
  if ask.lease then
    local lease = read(key("lease", ask.lease.name))
    if not lease or tonumber(lease.token) ~= ask.lease.token then fail("LEASELOST", "the lease " .. ask.lease.name) end
  end
  if ask.finish then
    local job = job_of(ask.finish.claim.key)
    if not job or tonumber(job.token) ~= ask.finish.claim.token then
      fail("LEASELOST", "the job of " .. ask.finish.claim.key)
    end
  end
  for _, check in ipairs(ask.checks) do judge(check.kind, check.id, check.version) end
  local puts, deletes = {}, {}
  for i, change in ipairs(ask.puts) do puts[i] = { judge(change.kind, change.id, change.expect) } end
  for i, change in ipairs(ask.deletes) do deletes[i] = judge(change.kind, change.id, change.expect) or false end

  local records, entries = {}, {}
  for i, change in ipairs(ask.puts) do records[#records + 1] = put(change, puts[i][1], puts[i][2]) end
  for i, change in ipairs(ask.deletes) do
    records[#records + 1] = delete(change.kind, change.id, deletes[i] or nil)
  end
  for i, entry in ipairs(ask.appends) do
    entries[i] = append(entry.log, entry.id, entry.keys, entry.at, entry.body)
  end
  for _, cancel in ipairs(ask.cancels) do
    local job = job_of(cancel.key)
    if job then
      forget(job)
      epitaph(job, "cancelled", nil)
    end
  end
  for _, wish in ipairs(ask.wakes) do wake(wish) end
  if ask.finish then finish(ask.finish) end
  redis.call("HSET", STATE, "revision", text(revision))
  return { revision = text(revision), records = records, entries = entries }
end

function operation.get()
  local found = {}
  for _, id in ipairs(ask.ids) do
    local record = read(key("record", ask.kind, id))
    if record and not past(record.expires_at) then found[#found + 1] = record end
  end
  return found
end

function operation.list()
  local list, limit = key("list", ask.listing, ask.partition), ask.limit + 1
  local last, found = ask.cursor, {}
  while #found < limit do
    local bound = last and ("(" .. last) or nil
    local members
    if ask.descending then
      members = redis.call("ZREVRANGEBYLEX", list, bound or "+", "-", "LIMIT", 0, limit)
    else
      members = redis.call("ZRANGEBYLEX", list, bound or "-", "+", "LIMIT", 0, limit)
    end
    if #members == 0 then break end
    for _, member in ipairs(members) do
      last = member
      local _, rest = names(member)
      local id, kind = names(rest)
      local record = read(key("record", kind, id))
      if #found < limit and not past(record.expires_at) then found[#found + 1] = { record = record, member = member } end
    end
  end
  return found
end

function operation.count() return redis.call("ZCARD", key("list", ask.listing, ask.partition)) end

function operation.changes()
  local since, found, more = ask.since, {}, true
  while more and #found < ask.limit do
    local members = redis.call("ZRANGEBYSCORE", key("feed"), "(" .. text(since), "+inf", "WITHSCORES", "LIMIT", 0, ask.limit)
    more = #members > 0
    for i = 1, #members, 2 do
      local kind, id = names(members[i])
      local record = read(key("tombstone", kind, id)) or read(key("record", kind, id))
      since = tonumber(members[i + 1])
      if #found < ask.limit and not past(record.expires_at) then found[#found + 1] = record end
    end
  end
  return { records = found, revision = text(revision), feed_start = text(counter("feed_start")) }
end

function operation.revision() return text(revision) end

function operation.read_log()
  local name, after = key("log", ask.log, ask.key), ask.after and ("(" .. text(ask.after)) or nil
  local positions
  if ask.descending then
    positions = redis.call("ZREVRANGEBYSCORE", name, after or "+inf", "-inf", "LIMIT", 0, ask.limit + 1)
  else
    positions = redis.call("ZRANGEBYSCORE", name, after or "-inf", "+inf", "LIMIT", 0, ask.limit + 1)
  end
  local found = {}
  for i, position in ipairs(positions) do found[i] = read(key("entry", position)) end
  return found
end

function operation.count_log() return redis.call("ZCARD", key("log", ask.log, ask.key)) end

function operation.claim()
  local claims = {}
  for priority = 4, 1, -1 do
    local queue = key("queue", ask.lane, text(priority))
    local room = ask.limit - #claims
    local members = room > 0 and redis.call("ZRANGEBYSCORE", queue, "-inf", NOW, "LIMIT", 0, room) or {}
    for _, member in ipairs(members) do
      local _, name = names(member)
      local job = job_of(name)
      local held = changed(job, {
        token = take_token(), owner = ask.owner, attempts = text(tonumber(job.attempts) + 1), processed_at = NOW,
        lease_until = ask.lease_until,
      }, { "woken_due" })
      keep(held, job)
      claims[#claims + 1] = held
    end
  end
  return claims
end

function operation.renew()
  local still = {}
  for _, held in ipairs(ask.claims) do
    local job = job_of(held.key)
    if job and tonumber(job.token) == held.token then
      keep(changed(job, { lease_until = ask.lease_until }), job)
      still[#still + 1] = held.key
    end
  end
  return still
end

function operation.next_due()
  local earliest
  for priority = 1, 4 do
    local first = redis.call("ZRANGE", key("queue", ask.lane, text(priority)), 0, 0, "WITHSCORES")
    if first[2] then earliest = earliest and sooner(earliest, first[2]) or first[2] end
  end
  return earliest or ""
end

function operation.jobs()
  local name, members = key("jobs"), nil
  if ask.key then return { job_of(ask.key) } end
  if ask.id then
    members = redis.call("ZRANGEBYLEX", name, "[" .. ask.id .. SEP, "(" .. ask.id .. "\1", "LIMIT", 0, 1)
  else
    local bound = ask.cursor and ("(" .. ask.cursor .. SEP) or "+"
    members = redis.call("ZREVRANGEBYLEX", name, bound, "-", "LIMIT", 0, ask.limit + 1)
  end
  local found = {}
  for i, member in ipairs(members) do
    local _, job_key = names(member)
    found[i] = job_of(job_key)
  end
  return found
end

function operation.acquire()
  local name = key("lease", ask.name)
  local lease = read(name)
  if lease and lease.owner ~= ask.owner and not past(lease["until"]) then return {} end
  local token = (lease and lease.owner == ask.owner) and lease.token or take_token()
  write(name, { owner = ask.owner, token = token, ["until"] = ask["until"] })
  return { token = token }
end

function operation.release()
  local lease = read(key("lease", ask.name))
  if lease and tonumber(lease.token) == ask.token then redis.call("DEL", key("lease", ask.name)) end
  return true
end

function operation.expire()
  local members = redis.call("ZRANGEBYSCORE", key("expiry"), "-inf", NOW, "LIMIT", 0, ask.limit)
  for _, member in ipairs(members) do
    local kind, id = names(member)
    delete(kind, id, read(key("record", kind, id)))
  end
  redis.call("HSET", STATE, "revision", text(revision))
  return #members
end

function operation.trim_log()
  local positions = redis.call("ZRANGEBYSCORE", key("age", ask.log), "-inf", "(" .. ask.before, "LIMIT", 0, ask.limit)
  for _, position in ipairs(positions) do
    local entry = read(key("entry", position))
    for _, name in ipairs(cjson.decode(entry.keys)) do redis.call("ZREM", key("log", ask.log, name), position) end
    redis.call("ZREM", key("age", ask.log), position)
    redis.call("DEL", key("entry", position))
  end
  return #positions
end

function operation.trim_changes()
  local through = math.min(ask.before_revision - 1, revision)
  if through <= counter("feed_start") then return true end
  for _, member in ipairs(redis.call("ZRANGEBYSCORE", key("tombstones"), "-inf", text(through))) do
    redis.call("ZREM", key("tombstones"), member)
    redis.call("ZREM", key("feed"), member)
    redis.call("DEL", PREFIX .. ":tombstone" .. SEP .. member)
  end
  redis.call("HSET", STATE, "feed_start", text(through))
  return true
end

function operation.ping() return take_token() end

return cjson.encode(operation[ARGV[1]]())
