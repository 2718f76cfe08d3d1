# Raises when a part of the body has been sent already; with ?length=1 after it
# announced a length, with ?short=1 it does not raise but ends early.
class Broken
	def initialize(quiet)
		@quiet = quiet
	end

	def each
		yield "first part\n"
		raise "a late secret" unless @quiet
	end

	def close
		warn "raise_late: closed"
	end
end

run lambda { |env|
	headers = { "content-type" => "text/plain" }
	query = env["QUERY_STRING"]
	headers["content-length"] = "1000" if query.match?(/length=1|short=1/)
	[200, headers, Broken.new(query.include?("short=1"))]
}
