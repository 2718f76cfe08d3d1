# Streams ?n= parts (3) with ?ms= milliseconds (0) before each but the first.
# Says on stderr when its body is closed, and how often.
class Parts
	def initialize(count, pause_ms)
		@count = count
		@pause_ms = pause_ms
		@closed = 0
	end

	def each
		@count.times do |number|
			sleep(@pause_ms / 1000.0) if number > 0 && @pause_ms > 0
			yield "part #{number}\n"
		end
	end

	def close
		@closed += 1
		warn "stream: closed #{@closed}"
	end
end

run lambda { |env|
	query = env["QUERY_STRING"]
	count = (query[/(?:\A|&)n=(\d+)/, 1] || "3").to_i
	pause_ms = query[/(?:\A|&)ms=(\d+)/, 1].to_i
	[200, { "content-type" => "text/plain" }, Parts.new(count, pause_ms)]
}
