# A Sinatra application, as people write them, for the tests through Apache.
require "sinatra/base"
require "digest/sha1"
require "json"

class Zeros
  def initialize(count)
    @left = count
  end

  def each
    block = "z" * 262_144
    while @left.positive?
      yield block[0, @left]
      @left -= [@left, block.bytesize].min
    end
  end
end

class Shop < Sinatra::Base
  set :show_exceptions, false

  get("/") { "<h1>Shop</h1>#{Process.pid}" }

  # /private is where Apache asks for a password.
  ["/env", "/private/env", "/echo/*"].each do |path|
    get(path) do
      content_type :json
      JSON.generate(request.env.select { |_, value| value.is_a?(String) })
    end
  end

  post("/upload") do
    length = 0
    while (piece = request.body.read(262_144))
      length += piece.bytesize
    end
    length.to_s
  end

  get("/download/:count") do |count|
    [200, { "Content-Type" => "application/octet-stream", "Content-Length" => count }, Zeros.new(count.to_i)]
  end

  get("/new/*") { "new #{params["splat"].first}" }
end

run Shop
