# Reads the body and answers its length; with ?twice=1 it rewinds (Rack 2) and
# reads again, with ?read=N it reads N bytes only and leaves the rest.
run lambda { |env|
	input = env["rack.input"]
	query = env["QUERY_STRING"]
	limit = query[/(?:\A|&)read=(\d+)/, 1]
	count = lambda {
		length = 0
		while (piece = input.read(65_536))
			length += piece.bytesize
		end
		length
	}
	if limit
		piece = input.read(limit.to_i)
		text = "read #{piece ? piece.bytesize : 0}\n"
	elsif query.include?("twice=1") && input.respond_to?(:rewind)
		first = count.call
		input.rewind
		text = "#{first} #{count.call}\n"
	else
		text = "#{count.call}\n"
	end
	[200, { "content-type" => "text/plain" }, [text]]
}
