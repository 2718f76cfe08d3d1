# Answers its process id; GET /threads says which thread and rack.multithread.
run lambda { |env|
	text = "#{Process.pid}\n"
	text = "#{Thread.current == Thread.main ? "main" : "other"} #{env["rack.multithread"]}\n" if env["PATH_INFO"] == "/threads"
	[200, { "content-type" => "text/plain" }, [text]]
}
