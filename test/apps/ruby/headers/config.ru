# Answers with headers that are hard to write: ?case= chooses which.
run lambda { |env|
	headers = { "content-type" => "text/plain" }
	status = 200
	body = ["headers\n"]
	case env["QUERY_STRING"][/(?:\A|&)case=(\w+)/, 1]
	when "joined" then headers["set-cookie"] = "a=1\nb=2"
	when "array" then headers["set-cookie"] = ["a=1", "b=2"]
	when "cr" then headers["x-bad"] = "a\rb"
	when "crlf" then headers["x-bad"] = "a\r\nx-injected: yes"
	when "array_lf" then headers["x-bad"] = ["a\nx-injected: yes"]
	when "nul" then headers["x-bad"] = "a\0b"
	when "bad_name" then headers["x bad"] = "a"
	when "utf8" then headers["x-name"] = "Grüße".dup.force_encoding("UTF-8"); body = ["\xff\xfe\n".b, "ü\n"]
	when "binary" then headers["x-name"] = "\xff".b; headers["x-other"] = "ü"
	when "rack" then headers["rack.session.options"] = "no"
	when "status" then headers["status"] = "500 Wrong"
	when "close" then headers["connection"] = "close"
	when "wrong_length" then headers["content-length"] = "3"
	when "bad_length" then headers["content-length"] = "3x"
	when "string_status" then status = "201"
	when "odd_status" then status = 299
	when "bad_status" then status = 42
	when "bare_100" then status = 100
	when "empty" then status, headers, body = 204, {}, []
	when "empty_with_body" then status, headers, body = 204, { "content-length" => "5" }, ["body\n"]
	when "not_modified" then status, headers, body = 304, { "etag" => '"a"' }, []
	when "chunked" then headers["transfer-encoding"] = "chunked"; body = ["8\r\nheaders\n\r\n", "0\r\n\r\n"]
	when "nil_body" then body = nil
	when "not_array" then next 42
	end
	[status, headers, body]
}
