# Answers method, path, query, and length and SHA-1 of the body, as JSON. The
# body is read in pieces of ?piece= bytes (16384), so it is never in memory whole.
require "json"
require "digest/sha1"

run lambda { |env|
	piece_bytes = env["QUERY_STRING"][/(?:\A|&)piece=(\d+)/, 1].to_i
	piece_bytes = 16_384 if piece_bytes == 0
	digest = Digest::SHA1.new
	length = 0
	while (piece = env["rack.input"].read(piece_bytes))
		digest << piece
		length += piece.bytesize
	end
	body = JSON.generate(
		"method" => env["REQUEST_METHOD"], "path" => env["PATH_INFO"], "query" => env["QUERY_STRING"],
		"length" => length, "sha1" => digest.hexdigest
	)
	[200, { "content-type" => "application/json" }, [body]]
}
