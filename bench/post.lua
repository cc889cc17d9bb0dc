-- wrk's side of the load: every request has a body of its own.
-- Arguments: a file with the head of all requests, one with targets (path and event type, one a line), one
-- with the inside of the payload's lines, and how many messages a request has. The result is one JSON line.

local head, lines, targets, batch
local n = 0

local function read(path)
  local file = assert(io.open(path, "r"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  head, lines, batch = read(args[1]), read(args[3]), tonumber(args[4])
  targets = {}
  for path, kind in read(args[2]):gmatch("(%S+) (%S+)\n") do
    targets[#targets + 1] = { path, kind }
  end
  n = os.time() % 100000 * 1000
end

local function message(kind)
  n = n + 1
  return '{"eventType":"' .. kind .. '","payload":{"n":' .. n .. ',"lines":[' .. lines .. ']}}'
end

function request()
  local target = targets[1]
  if #targets > 1 then target = targets[math.random(#targets)] end
  local body
  if batch == 1 then
    body = message(target[2])
  else
    local all = {}
    for i = 1, batch do all[i] = message(target[2]) end
    body = '{"messages":[' .. table.concat(all, ",") .. ']}'
  end
  return "POST " .. target[1] .. " HTTP/1.1\r\n" .. head .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50":%.3f,"p99":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000
  ))
end
