# Requests that do what no request should: /sleep, /spin, /hold (the interpreter, in one call of C), /leak (100 MB, kept).
kept = []
run(lambda do |env|
  case env["PATH_INFO"]
  when "/sleep" then sleep
  when "/spin" then loop { nil }
  when "/hold" then (1 << 150_000_000).to_s(7)
  when "/leak" then kept << ("x" * 100_000_000)
  end
  [200, { "content-type" => "text/plain" }, ["#{Process.pid}\n"]]
end)
