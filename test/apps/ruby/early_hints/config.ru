# Sends 103 Early Hints and then the answer.
run lambda { |env|
	env["rack.early_hints"]&.call("link" => "</style.css>; rel=preload; as=style")
	[200, { "content-type" => "text/plain" }, ["hinted\n"]]
}
