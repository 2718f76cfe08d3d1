# Prints to stdout and to stderr, while it is loaded and with every request.
puts "noisy: loading, stdout"
warn "noisy: loading, stderr"

run lambda { |env|
	puts "noisy: stdout #{env["PATH_INFO"]}"
	warn "noisy: stderr #{env["PATH_INFO"]}"
	env["rack.errors"].puts "noisy: rack.errors #{env["PATH_INFO"]}"
	print "noisy: no line end"
	[200, { "content-type" => "text/plain" }, ["noisy\n"]]
}
