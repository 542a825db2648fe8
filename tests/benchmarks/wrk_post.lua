-- Posts one body again and again, and ends with one line of JSON. Environment: BODY (a file), TYPE (Content-Type).
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = os.getenv("TYPE")

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  num_ok, num_busy, num_other = 0, 0, 0
end

function response(status)
  if status == 200 then
    num_ok = num_ok + 1
  elseif status == 503 then
    num_busy = num_busy + 1
  else
    num_other = num_other + 1
  end
end

function done(summary, latency)
  local counts = {num_ok = 0, num_busy = 0, num_other = 0}
  for _, thread in ipairs(threads) do
    for name in pairs(counts) do
      counts[name] = counts[name] + thread:get(name)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"elapsed_s": %f, "p50_ms": %f, "p95_ms": %f, "p99_ms": %f, "num_ok": %d, "num_busy": %d, "num_other": %d, "num_broken": %d}\n',
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    counts.num_ok, counts.num_busy, counts.num_other, errors.connect + errors.read + errors.write + errors.timeout))
end
