# Counts in the memory of its process. GET /count tells, POST /inc adds one.
# The addition is not atomic on purpose, with ?ms= between reading and writing:
# two requests at once on one process lose an update.
count = 0

run lambda { |env|
	case [env["REQUEST_METHOD"], env["PATH_INFO"]]
	when %w[GET /count]
		status = 200
	when %w[POST /inc]
		status = 200
		before = count
		ms = env["QUERY_STRING"][/(?:\A|&)ms=(\d+)/, 1].to_i
		sleep(ms / 1000.0) if ms > 0
		count = before + 1
	else
		status = 404
	end
	[status, { "content-type" => "text/plain" }, ["#{count}\n"]]
}
