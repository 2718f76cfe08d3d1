# Answers 12 bytes, whatever is asked.
run ->(_env) { [200, { "content-type" => "text/plain" }, ["hello world\n"]] }
