# Lets the server send the head and writes the body itself.
run lambda { |_env|
	callback = lambda { |io|
		io.write("partially ")
		io.write("hijacked\n")
		io.close
	}
	[200, { "content-type" => "text/plain", "connection" => "close", "rack.hijack" => callback }, []]
}
