# The application "early_hints" inside Rack::Lint, which raises when server or
# application break Rack's specification.
require "rack/lint"
use Rack::Lint
run Array(Rack::Builder.parse_file(File.expand_path("../early_hints/config.ru", __dir__))).first
