# A websocket by a full hijack: short text frames come back, and when the process stops every client is told (1001).
require "digest/sha1"

module Sockets
	ALL = Queue.new
	GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

	def self.echo(io)
		while (head = io.read(2)) && head.getbyte(0) & 15 == 1
			size = head.getbyte(1) & 127
			mask, data = io.read(4), io.read(size)
			io.write([129, size].pack("CC"), data.bytes.each_with_index.map { |byte, i| byte ^ mask.getbyte(i & 3) }.pack("C*"))
		end
	rescue IOError, SystemCallError
		nil # the other side is gone
	ensure
		io.close
	end

	def self.goodbye
		ALL.pop.write([136, 2, 1001].pack("CCn")) until ALL.empty?
	rescue IOError, SystemCallError
		retry
	end
end

PhusionPassenger.on_event(:stopping_worker_process) { Sockets.goodbye }

run lambda { |env|
	key = env["HTTP_SEC_WEBSOCKET_KEY"]
	next [200, { "content-type" => "text/plain" }, ["plain #{Process.pid}\n"]] unless key
	io = env["rack.hijack"].call
	io.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
		"Sec-WebSocket-Accept: #{[Digest::SHA1.digest(key + Sockets::GUID)].pack("m0")}\r\n\r\n")
	Sockets::ALL << io
	Thread.new { Sockets.echo(io) }
	[200, { "content-type" => "text/plain" }, []] # nobody looks at it
}
