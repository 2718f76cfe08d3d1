# Takes the socket over and answers from a thread of its own, after ?ms= (0).
run lambda { |env|
	io = env["rack.hijack"].call
	ms = env["QUERY_STRING"][/(?:\A|&)ms=(\d+)/, 1].to_i
	Thread.new do
		sleep(ms / 1000.0)
		io.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhijacked\n")
		io.close
	end
	[200, { "content-type" => "text/plain" }, []] # nobody looks at it
}
