-- For wrk: each request is a page view of another visitor. Prints what `saturated` reads.
local format, random = string.format, math.random

function init(args)
  cookie = args[1]
  math.randomseed(tonumber(args[2]) or 1)
  headers = {
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64)",
    ["Accept"] = "text/html",
    ["Accept-Language"] = "en-IE",
  }
end

function request()
  headers["Cookie"] = format(
    "%s=%08x-%04x-4%03x-8%03x-%06x%06x",
    cookie, random(0, 0x7fffffff), random(0, 0xffff), random(0, 0xfff), random(0, 0xfff),
    random(0, 0xffffff), random(0, 0xffffff)
  )
  return wrk.format("GET", nil, headers)
end

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(format(
    'RESULT {"requests": %d, "seconds": %f, "p99": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3, failed
  ))
end
