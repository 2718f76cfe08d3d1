# Streams ?n= bytes (1048576) of the letter x in parts of 64 KiB; with ?length=1
# it says so in Content-Length, with ?array=1 it gives them as an array.
class Letters
	PART = ("x" * 65_536).freeze

	def initialize(bytes)
		@bytes = bytes
	end

	def each
		left = @bytes
		while left > 0
			yield left >= PART.bytesize ? PART : PART.byteslice(0, left)
			left -= PART.bytesize
		end
	end
end

run lambda { |env|
	query = env["QUERY_STRING"]
	bytes = (query[/(?:\A|&)n=(\d+)/, 1] || "1048576").to_i
	headers = { "content-type" => "application/octet-stream" }
	headers["content-length"] = bytes.to_s if query.include?("length=1")
	body = Letters.new(bytes)
	body = body.enum_for(:each).to_a if query.include?("array=1")
	[200, headers, body]
}
