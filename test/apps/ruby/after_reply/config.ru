# Runs something after the answer, by each of the ways that Rack knows.
run lambda { |env|
	env["rack.after_reply"] << -> { warn "after_reply: called" }
	finished = env["rack.response_finished"] # Rack 3
	finished << ->(_env, status, _headers, error) { warn "response_finished: #{status} #{error.inspect}" } if finished
	raise "after_reply: failing" if env["PATH_INFO"] == "/raise"
	[200, { "content-type" => "text/plain" }, ["after\n"]]
}
