# Sleeps ?ms= milliseconds (default 100), then answers "slept N\n".
run lambda { |env|
	ms = (env["QUERY_STRING"][/(?:\A|&)ms=(\d+)/, 1] || "100").to_i
	sleep(ms / 1000.0)
	[200, { "content-type" => "text/plain" }, ["slept #{ms}\n"]]
}
