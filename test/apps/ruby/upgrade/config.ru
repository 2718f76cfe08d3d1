# 101 to "Upgrade: echo", then everything that comes goes back, until the end.
run lambda { |env|
	next [426, { "content-type" => "text/plain", "upgrade" => "echo" }, ["Upgrade: echo is needed\n"]] unless env["HTTP_UPGRADE"] == "echo"
	callback = lambda { |io|
		Thread.new do
			begin
				while (first = io.read(1)) # Rack::Lint lets through only what Rack promises
					more = io.read_nonblock(16_384, exception: false) if io.respond_to?(:read_nonblock)
					io.write(more.is_a?(String) ? first + more : first)
				end
			rescue IOError, SystemCallError
				nil # the other side is gone
			ensure
				io.close
			end
		end
	}
	[101, { "connection" => "Upgrade", "upgrade" => "echo", "rack.hijack" => callback }, []]
}
