# Answers the strings of the Rack environment as JSON; of the rack.* values
# those that are true, false or nil, and rack.url_scheme, under their own names.
require "json"

run lambda { |env|
	shown = env.select { |_name, value| value.is_a?(String) || [true, false].include?(value) }
	shown = shown.map { |name, value| [name, value.is_a?(String) ? value.dup.force_encoding("ISO-8859-1").encode("UTF-8") : value] }
	body = JSON.generate(shown.to_h)
	[200, { "content-type" => "application/json" }, [body]]
}
