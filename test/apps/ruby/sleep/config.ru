# Sleeps ?ms= milliseconds (default 100), then answers "slept N\n"; or until the file ?gate= is there, in whose .inside
# it leaves a dot.
run lambda { |env|
	ms = (env["QUERY_STRING"][/(?:\A|&)ms=(\d+)/, 1] || "100").to_i
	if (gate = env["QUERY_STRING"][/(?:\A|&)gate=([^&]+)/, 1])
		File.write(gate + ".inside", ".", mode: "a")
		6000.times { File.exist?(gate) ? break : sleep(0.01) }
	else
		sleep(ms / 1000.0)
	end
	[200, { "content-type" => "text/plain" }, ["slept #{ms}\n"]]
}
