# The application "echo" inside Rack::Lint, which raises when server or
# application break Rack's specification.
require "rack/lint"
use Rack::Lint
run Array(Rack::Builder.parse_file(File.expand_path("../echo/config.ru", __dir__))).first
