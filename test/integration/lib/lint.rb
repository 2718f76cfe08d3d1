# ruby -r this: every application is wrapped in Rack::Lint, whose complaints fail the test that meets them.
require "rack"

Rack::Builder.singleton_class.prepend(Module.new do
  def parse_file(*)
    result = super
    result.is_a?(Array) ? [Rack::Lint.new(result[0]), *result[1..]] : Rack::Lint.new(result)
  end
end)
