# Rack 3: bodies that respond to call and not to each. ?way= in_call writes and
# closes at once, thread goes on in a thread, raise fails after the first part,
# upgrade answers 101 and echoes, read gives back the request's body.
run lambda { |env|
	headers = { "content-type" => "text/plain" }
	case env["QUERY_STRING"][/(?:\A|&)way=(\w+)/, 1]
	when "thread"
		body = ->(stream) { Thread.new { sleep 0.05; stream.write("from a thread\n"); stream.close } }
	when "raise"
		body = ->(stream) { stream << "first part\n"; raise "a late secret" }
	when "read"
		body = ->(stream) { stream.write(stream.read); stream.close }
	when "upgrade"
		next [101, { "connection" => "Upgrade", "upgrade" => "echo" }, lambda { |stream|
			stream.write(stream.readpartial(16_384))
			stream.close
		}]
	else
		body = ->(stream) { stream << "in " << "call\n"; stream.close }
	end
	[200, headers, body]
}
