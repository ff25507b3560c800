-- Load on a gateway, with percentiles of latency and the number of answers that are not 2xx:
--   EQUIROUTER_KEY=eq-... MODEL=equirouter/auto \
--     wrk -t2 -c64 -d30s --latency -s deploy/load.lua http://127.0.0.1:8080/v1/chat/completions
-- It costs what the providers charge: point the models' upstream at a fake one first
-- (benchmarks/gateway_upstream.py).
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. (os.getenv("EQUIROUTER_KEY") or "")

local words = {"river", "stone", "garden", "winter", "letter", "music", "bridge", "market"}

function request()
  local text = {}
  for i = 1, 18 do
    text[i] = words[math.random(#words)]
  end
  return wrk.format(nil, nil, nil, string.format(
    '{"model": "%s", "max_tokens": 64, "messages": [{"role": "user", "content": "%s"}]}',
    os.getenv("MODEL") or "equirouter/auto", table.concat(text, " ")))
end
