# Answers files by to_path: a file of ?n= bytes (1048576) made at the start of
# the request; with ?wrong=1 the announced length isn't the file's.
require "tempfile"

class FileBody
	def initialize(file)
		@file = file
	end

	def to_path
		@file.path
	end

	def each
		@file.rewind
		while (piece = @file.read(16_384))
			yield piece
		end
	end

	def close
		@file.close!
		warn "file: closed"
	end
end

run lambda { |env|
	bytes = (env["QUERY_STRING"][/(?:\A|&)n=(\d+)/, 1] || "1048576").to_i
	file = Tempfile.new("file-app")
	file.binmode
	file.write("x" * bytes)
	file.flush
	headers = { "content-type" => "application/octet-stream" }
	headers["content-length"] = (bytes + 1).to_s if env["QUERY_STRING"].include?("wrong=1")
	headers["content-length"] = bytes.to_s if env["QUERY_STRING"].include?("length=1")
	[200, headers, FileBody.new(file)]
}
