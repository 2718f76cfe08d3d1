# The Ruby twin of test/apps/command/origin.py: the same routes, the same JSON, for tests that run over both.
require "json"
require "digest/sha1"

$inside = 0
$most = 0

def query_of(env)
  env["QUERY_STRING"].split("&").map { |pair| pair.split("=", 2).map { |x| Rack::Utils.unescape(x.to_s) } }
                     .to_h { |name, value| [name, value.to_s] }
end

def body_of(env)
  length = 0
  digest = Digest::SHA1.new
  while (piece = env["rack.input"].read(262_144))
    length += piece.bytesize
    digest.update(piece)
  end
  [length, digest.hexdigest]
end

def echo_of(env)
  length, sha1 = body_of(env)
  headers = env.select { |name, _| name.start_with?("HTTP_") }
               .to_h { |name, value| [name.delete_prefix("HTTP_").downcase.tr("_", "-"), value] }
  headers["content-type"] = env["CONTENT_TYPE"] if env["CONTENT_TYPE"]
  headers["content-length"] = env["CONTENT_LENGTH"] if env["CONTENT_LENGTH"]
  strings = env.select { |_, value| value.is_a?(String) }
  { pid: Process.pid, method: env["REQUEST_METHOD"], target: env["REQUEST_URI"], path: env["PATH_INFO"],
    query: env["QUERY_STRING"], headers: headers, length: length, sha1: sha1, remote: env["REMOTE_ADDR"],
    env: strings, multithread: env["rack.multithread"], multiprocess: env["rack.multiprocess"],
    environ: ENV.to_h }
end

class Big
  def initialize(count)
    @left = count
  end

  def each
    block = "z" * 65_536
    while @left.positive?
      yield block[0, @left]
      @left -= [@left, 65_536].min
    end
  end
end

class Lines
  def initialize(count)
    @count = count
  end

  def each
    @count.times do |i|
      yield "line #{i}\n"
      sleep 0.02
    end
  end
end

def upgrade(env)
  io = env["rack.hijack"].call
  io.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
  io.flush
  Thread.new do
    while (data = io.readpartial(65_536))
      break if data == "bye\n"
      io.write(data)
      io.flush
    end
  rescue EOFError, SystemCallError, IOError
    nil
  ensure
    io.close
  end
  [200, {}, []] # nobody looks at it
end

# Header values are octets; JSON wants characters: each octet becomes one.
def characters(value)
  case value
  when String then value.dup.force_encoding("UTF-8").valid_encoding? ? value.dup.force_encoding("UTF-8") : value.dup.force_encoding("ISO-8859-1").encode("UTF-8")
  when Hash then value.to_h { |name, inner| [characters(name.to_s), characters(inner)] }
  else value
  end
end

def json(value, status = 200)
  body = JSON.generate(characters(value))
  [status, { "Content-Type" => "application/json", "Content-Length" => body.bytesize.to_s }, [body]]
end

# Waits ?ms=N, or until the file ?gate=FILE is there.
def pause(query, ms)
  return sleep(query.fetch("ms", ms).to_i / 1000.0) unless query["gate"]
  6000.times { File.exist?(query["gate"]) ? break : sleep(0.01) }
end

def count(env, query)
  File.open(query["file"], "a") { |f| f.syswrite("#{Process.pid} #{query["tag"]}\n") }
  pause(query, 0)
  json(echo_of(env))
end

def inside(env, query)
  $inside += 1
  $most = [$most, $inside].max
  pause(query, 50)
  $inside -= 1
  json(echo_of(env).merge(inside: $most))
end

run(lambda do |env|
  query = query_of(env)
  case env["PATH_INFO"]
  when "/hello"
    body = "hello from #{Process.pid}\n"
    [200, { "Content-Type" => "text/plain", "Content-Length" => body.bytesize.to_s }, [body]]
  when "/sleep"
    pause(query, 100)
    json(echo_of(env))
  when "/count" then count(env, query)
  when "/big" then [200, { "Content-Length" => query["n"] }, Big.new(query["n"].to_i)]
  when "/stream" then [200, {}, Enumerator.new { |out| query["n"].to_i.times { out << "s" * 1000 } }]
  when "/late" then [200, {}, Lines.new(query["n"].to_i)]
  when "/status"
    code = query["code"].to_i
    [204, 304].include?(code) ? [code, {}, []] : json(echo_of(env), code)
  when "/header" then [200, { "Content-Length" => "2" }.merge(query), ["ok"]]
  when "/raise" then raise "the program failed"
  when "/exit" then Process.exit!(7)
  when "/upgrade" then upgrade(env)
  when "/inside" then inside(env, query)
  else json(echo_of(env))
  end
end)
