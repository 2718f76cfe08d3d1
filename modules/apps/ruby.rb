# frozen_string_literal: true

# The Ruby loader: loads a Rack application (2.2 or 3) and answers the session
# protocol (docs/session-protocol.md) for it. Started as `ruby LOADER` with
#
#   fd 0     end of file means: finish what you have and stop
#   fd 1, 2  output, captured by whoever started us
#   fd 3     the listening unix socket
#   fd 4     the control descriptor: arguments in, READY or ERROR out
#
# What it is made of, in the order of this file:
#
#   Arguments, Control, Stop      what the spawner says and is told
#   Backtraces                    stacks of all threads, when asked
#   Application                   finds Bundler and Rack, loads the application
#   Input, RewindableInput        rack.input: the request's body, read lazily
#   Connection                    one connection and what is known of it
#   Exchange, EarlyHints, Stream  one request, as the application may hold it
#   Responder                     one thread's way to answer frames on connections
#   SoloServer, ThreadedServer    who waits for what, and on which thread
#   Preloader                     forks processes of the loaded application
#
# It does no HTTP parsing, checks no password and never speaks to the network.
# It defines no constant at top level but PhusionPassenger, and no local
# variable there: config.ru is evaluated in the same scope.

require "socket"
require "io/wait" unless IO.method_defined?(:wait_readable)

# The name that applications and gems look for to learn what they run under.
module PhusionPassenger
	VERSION_STRING = "6.0.0"
	PACKAGE_NAME = "passenger"

	@event_callbacks = {}
	@advertised_concurrency_level = nil

	class << self
		# How many requests the application can handle at once, when it knows
		# better than thread_count; 0 means without limit. Told to the spawner
		# once, with READY.
		attr_accessor :advertised_concurrency_level

		# Events: :starting_worker_process (with forked = true or false),
		# :stopping_worker_process, :oob_work. Others may be asked for and never come.
		def on_event(name, &block)
			raise ArgumentError, "PhusionPassenger.on_event needs a block" unless block
			(@event_callbacks[name.to_sym] ||= []) << block
			nil
		end

		def call_event(name, *arguments)
			callbacks = @event_callbacks[name.to_sym]
			callbacks.each { |callback| callback.call(*arguments) } if callbacks
			nil
		end

		# Nothing needs to be installed into a framework any more.
		def install_framework_extensions!(*)
			nil
		end
	end

	# Options of the application, under the name that gems read them by.
	module App
		@options = {}

		class << self
			attr_reader :options

			def app_root
				@options["app_root"]
			end
		end
	end

	module Loader
		LISTENER_FD = 3
		CONTROL_FD = 4

		HEAD_BYTES = 8
		MAX_PAYLOAD_BYTES = 131_072
		READ_BYTES = 16_384
		MAX_SINGLE_WRITE_BYTES = 65_536
		MAX_DRAIN_BYTES = 1_048_576
		# They become arguments of one call; far more would overflow its stack.
		MAX_PAIRS = 8192
		MEMORY_SPOOL_BYTES = 65_536
		# What READY says for an application that advertises "no limit".
		UNLIMITED_CONCURRENCY = 4096

		FLAG_BODY_LENGTH = 1
		FLAG_BODY_FRAMES = 2
		FLAG_BYPASS = 4

		# The other side is gone, in the middle of a request or an answer.
		class Disconnected < EOFError
			def initialize(message = "the client closed the connection")
				super
			end
		end

		# The answer of the application cannot be put into HTTP.
		class BadResponse < StandardError; end

		# The other side of the connection does not keep to the protocol.
		class BadFrame < StandardError; end

		# ----------------------------------------------------------------------
		# What the spawner says

		class Arguments
			attr_reader :values

			# Reads `name NUL value NUL` pairs up to an empty name.
			def self.read(control)
				values = {}
				loop do
					name = field(control)
					break if name.empty?
					values[name] = field(control)
				end
				new(values)
			end

			def self.field(control)
				text = control.gets("\0")
				raise EOFError, "the arguments on descriptor 4 are incomplete" unless text && text.end_with?("\0")
				text.chomp!("\0")
				text.force_encoding(Encoding::UTF_8)
			end
			private_class_method :field

			def initialize(values)
				@values = values
			end

			def app_root
				@values["app_root"] || Dir.pwd
			end

			def startup_file
				@values["startup_file"].to_s.empty? ? "config.ru" : @values["startup_file"]
			end

			def environment
				@values["environment"].to_s.empty? ? "production" : @values["environment"]
			end

			def version
				@values["version"].to_s.empty? ? VERSION_STRING : @values["version"]
			end

			def bypass?
				@values["direct_bypass"] == "on"
			end

			def early_hints?
				@values["early_hints"] == "on"
			end

			def thread_count
				text = @values["thread_count"].to_s
				return 1 if text.empty?
				unless text.match?(/\A[1-9][0-9]{0,4}\z/)
					raise ArgumentError, "thread_count is #{text.inspect}; it must be a number from 1 to 99999"
				end
				text.to_i
			end

			def preloader_title
				"Passenger AppPreloader: #{app_root}"
			end

			def title
				"Passenger RubyApp: #{app_root} (#{environment})"
			end
		end

		# Descriptor 4, and descriptor 0 beside it. One small thread watches
		# both, because a command must be heard while the application computes.
		class Control
			attr_reader :socket

			def self.open
				socket = UNIXSocket.for_fd(CONTROL_FD)
				socket.close_on_exec = true
				new(socket)
			end

			def initialize(socket)
				@socket = socket
				@line = String.new(encoding: Encoding::BINARY)
			end

			def read_arguments
				Arguments.read(@socket)
			end

			def ready(concurrency, bypass)
				tell("READY concurrency=#{concurrency} bypass=#{bypass ? 1 : 0}\n")
			end

			def tell(line)
				@socket.write(line)
			rescue SystemCallError
				nil # whoever would have read it is gone; end of file on 0 stops us
			end

			def error(summary)
				tell("ERROR #{summary.gsub(/[\r\n\0]+/, " ")[0, 1000]}\n")
			end

			# stop is asked for once, from the watching thread, when descriptor 0
			# ends. The application's own STDIN becomes /dev/null: nothing it
			# reads there could ever come, and what it starts must not hold our pipe.
			def watch(stop)
				@watcher = Thread.new(lifeline) { |io| watch_loop(io, stop) }
				@watcher.name = "passenger control"
				@watcher.report_on_exception = true
			end

			# The watching thread has handed over: see watch_loop.
			def unwatch
				@watcher.join
			end

			# The end of descriptor 0, for us alone: see watch.
			def lifeline
				@lifeline ||= STDIN.dup.tap do |io|
					io.close_on_exec = true
					STDIN.reopen(File::NULL)
				end
			end

			private

			# Ends at the command to preload: what comes then is the preloader's.
			def watch_loop(lifeline, stop)
				watched = [lifeline, @socket]
				until watched.empty?
					IO.select(watched)[0].each do |io|
						more = io.equal?(@socket) ? read_commands : read_lifeline(io)
						return stop.ask_to_preload if more == :preload
						next if more
						watched.delete(io)
						stop.ask unless io.equal?(@socket)
					end
				end
			end

			def read_lifeline(io)
				io.read_nonblock(4096, exception: false) ? true : false
			rescue SystemCallError
				false
			end

			def read_commands
				piece = @socket.read_nonblock(4096, exception: false)
				return false if piece.nil?
				return true if piece == :wait_readable
				@line << piece
				while (line = @line.slice!(/\A[^\n]*\n/))
					Backtraces.print if line == "BACKTRACE\n"
					return :preload if line == "PRELOAD\n"
				end
				@line.clear if @line.bytesize > 4096
				true
			rescue SystemCallError
				false
			end
		end

		# How the process comes to its end: asked for once, it ends gracefully;
		# asked for by a second SIGTERM, at once.
		class Stop
			attr_reader :status, :waker

			# preloads: then there is never somebody who looks, and nothing that forks would share.
			def initialize(preloads)
				@asked = false
				@serving = false
				@pid = Process.pid
				@status = 0
				@waker, @alarm = IO.pipe unless preloads
			end

			def asked?
				@asked
			end

			# From here on there is somebody who looks at asked?.
			def serving!
				@serving = true
			end

			# To finish as for a stop, and then to be the preloader.
			def ask_to_preload
				@preload = true
				ask
			end

			def preload?
				@preload && @status == 0
			end

			# All is finished; from here on there is nobody who looks.
			def over
				@serving = false
				[@waker, @alarm].each(&:close)
			end

			# From any thread and from a signal handler.
			def ask(status = 0)
				@status = status unless @asked
				@asked = true
				exit!(status) unless @serving
				wake
			end

			def wake
				@alarm.write_nonblock("!", exception: false)
			rescue SystemCallError, IOError
				nil
			end

			def silence
				@waker.read_nonblock(256, exception: false)
			end

			def install_signals
				trap("TERM") do
					if Process.pid != @pid
						end_child
					else
						@asked ? exit!(143) : ask
					end
				end
				trap("HUP", "IGNORE")
			end

			private

			# A child that the application forked has no server to be stopped.
			def end_child
				trap("TERM", "SYSTEM_DEFAULT")
				Process.kill("TERM", Process.pid)
			end

			def exit!(status)
				Process.exit!(status)
			end
		end

		module Backtraces
			# The stacks of all threads, in one write, to the process's own stderr.
			def self.print
				STDERR.write(text)
			rescue SystemCallError, IOError
				nil
			end

			def self.text
				lines = ["========== Process #{Process.pid}: backtraces of all threads at #{Time.now} =========="]
				Thread.list.each do |thread|
					lines << "# Thread #{thread.inspect}#{", main" if thread == Thread.main}#{", current" if thread == Thread.current}"
					lines.concat((thread.backtrace || ["(none: it has ended)"]).map { |line| "    " + line })
					lines << ""
				end
				lines << "========== end of backtraces ==========" << ""
				lines.map(&:b).join("\n") # names and paths may be of any encoding
			end

			def self.install_signals
				trap("QUIT") { Backtraces.print }
				trap("ABRT") do
					Backtraces.print
					trap("ABRT", "SYSTEM_DEFAULT")
					Process.kill("ABRT", Process.pid)
				end
			end
		end

		# An exception as the log wants it: what, where from, and why.
		module ErrorReport
			def self.text(error, where)
				out = "*** Exception #{error.class} #{where} (process #{Process.pid}, thread #{Thread.current == Thread.main ? "main" : Thread.current.name}): ".b
				seen = []
				while error && !seen.include?(error)
					seen << error
					out << message(error) << "\n"
					(error.backtrace || []).each { |line| out << "\tfrom " << line.b << "\n" }
					error = error.cause
					out << "caused by #{error.class}: ".b if error && !seen.include?(error)
				end
				out
			end

			def self.message(error)
				error.message.to_s.b
			rescue Exception # the application's own message method
				"(its message could not be read)".b
			end

			def self.summary(error)
				"#{error.class}: ".b << message(error).lines.first.to_s.strip
			end

			# " (config.ru:2)": the first line of the backtrace that is the application's own.
			def self.place(error, root)
				lines = (error.backtrace || []).map(&:b)
				line = lines.find { |text| text.start_with?(root.b) && !text.start_with?(root.b + "vendor/") }
				line ? " (#{line.byteslice(root.bytesize, line.bytesize)[/\A.*?:\d+/n]})".b : ""
			end

			def self.log(error, where, output = STDERR)
				output.write(text(error, where))
			rescue SystemCallError, IOError
				nil
			end
		end

		# ----------------------------------------------------------------------
		# The application

		# Loading is apart from serving, so that a preloader can do the one,
		# fork, and let the child do the other.
		class Application
			attr_reader :app

			def initialize(arguments)
				@arguments = arguments
			end

			def load
				root = @arguments.app_root
				$LOAD_PATH.unshift(root) unless $LOAD_PATH.include?(root)
				set_load_paths(root)
				require "rack"
				@app = parse(File.expand_path(@arguments.startup_file, root))
				# Rack 2.2's Lint uses URI but counts on its server to have loaded it.
				require "uri" unless ::Rack.autoload?(:Lint)
				unless @app.respond_to?(:call)
					raise TypeError, "#{@arguments.startup_file} gave #{@app.inspect}, which does not respond to call; it must `run` a Rack application"
				end
				self
			end

			# A Rack of at least this major version.
			def self.rack_major
				@rack_major ||= ::Rack.release.to_i
			end

			private

			def set_load_paths(root)
				setup = File.join(root, "config", "setup_load_paths.rb")
				if File.exist?(setup)
					require setup
				elsif ENV["BUNDLE_GEMFILE"] || File.exist?(File.join(root, "Gemfile"))
					require_bundler
				end
			end

			# Bundler may not be installed, and then the application has to find
			# its gems itself; but when it is, its complaints are the application's.
			def require_bundler
				require "bundler"
			rescue LoadError
				nil
			else
				require "bundler/setup"
			end

			# Rack 2 answers [app, options], Rack 3 the application. The second
			# argument keeps Rack 2 from loading its command line parser.
			def parse(path)
				result = Application.rack_major < 3 ? ::Rack::Builder.parse_file(path, nil) : ::Rack::Builder.parse_file(path)
				result.is_a?(Array) && !result.respond_to?(:call) ? result.first : result
			end
		end

		# ----------------------------------------------------------------------
		# The body of a request

		# rack.input of a request without a body. It has no state, so one is
		# enough for all requests of all threads.
		class EmptyInput
			def read(length = nil, buffer = nil)
				buffer.replace("") if buffer
				return nil if length && length > 0
				buffer || String.new(encoding: Encoding::BINARY)
			end

			def gets
				nil
			end

			def each
				return enum_for(:each) unless block_given?
				self
			end

			def rewind
				0
			end

			def size
				0
			end

			def eof?
				true
			end

			def close
				nil
			end
		end

		# rack.input of a request with a body. Bytes are taken from the
		# connection when the application asks for them and not before.
		class Input
			GULP_BYTES = 65_536

			# remaining: bytes of the body still on the way, or nil when the body
			# comes in data frames.
			def initialize(connection, remaining)
				@connection = connection
				@framed = remaining.nil?
				@declared = remaining
				@remaining = remaining || 0
				@complete = remaining == 0
				@ahead = String.new(encoding: Encoding::BINARY)
				@scratch = String.new(encoding: Encoding::BINARY)
			end

			def read(length = nil, buffer = nil)
				raise ArgumentError, "negative length #{length} given" if length && length < 0
				out = (buffer ? buffer.clear : String.new).force_encoding(Encoding::BINARY)
				fill(out, length)
				out.empty? && length && length > 0 ? nil : out
			end

			def gets
				until (newline = @ahead.index("\n"))
					piece = pull(GULP_BYTES)
					break unless piece
					@ahead << piece
				end
				return @ahead.slice!(0, newline + 1) if newline
				@ahead.empty? ? nil : @ahead.slice!(0, @ahead.bytesize)
			end

			def each
				return enum_for(:each) unless block_given?
				while (line = gets)
					yield line
				end
				self
			end

			# The length of the whole body. Unknown lengths have to be waited for.
			def size
				return @declared if @declared
				nil
			end

			def eof?
				return false unless @ahead.empty?
				piece = pull(GULP_BYTES)
				return true unless piece
				@ahead << piece
				false
			end

			def close
				nil
			end

			# How much is surely still to come, for the decision to drop or to close.
			def pending
				@complete ? 0 : @remaining
			end

			# Throws away what the application left. :done, :again when more is
			# still on its way, :close when it is too much.
			def drain(budget = MAX_DRAIN_BYTES)
				@drained ||= 0
				return :close if pending > budget
				until @complete
					piece = fetch(GULP_BYTES, false)
					return :again if piece == :wait_readable
					break unless piece
					@drained += piece.bytesize
					return :close if @drained > budget
				end
				:done
			end

			private

			# Appends length bytes, or all when it is nil; fewer at the end only.
			def fill(out, length)
				out << (length && length < @ahead.bytesize ? @ahead.slice!(0, length) : @ahead.slice!(0, @ahead.bytesize)) unless @ahead.empty?
				until length && out.bytesize >= length
					piece = pull(length ? [length - out.bytesize, GULP_BYTES].min : GULP_BYTES)
					break unless piece
					out << piece
				end
			end

			# Up to limit bytes that were not pulled before; nil at the end. What it
			# returns is good until the next call: the string may be used again.
			def pull(limit)
				fetch(limit, true)
			end

			# Up to limit bytes of the body from the connection; nil at its end,
			# :wait_readable when told not to wait and nothing is there.
			def fetch(limit, wait)
				while !@complete
					if @remaining == 0
						length = @connection.take_frame_length(wait)
						return length if length == :wait_readable
						return finish if length == 0
						@remaining = length
					end
					piece = @connection.take(limit < @remaining ? limit : @remaining, wait, @scratch)
					return piece if piece == :wait_readable
					@remaining -= piece.bytesize
					@complete = true if @remaining == 0 && !@framed
					return piece
				end
				nil
			end

			def finish
				@complete = true
				nil
			end
		end

		# Rack 2 demands an input that can be rewound: what has been read is
		# kept, in memory while it is small and then in a file without a name.
		class RewindableInput < Input
			def initialize(connection, remaining)
				super
				@kept = String.new(encoding: Encoding::BINARY)
				@kept_bytes = 0
				@position = 0
				@at_end = true # of the file, when there is one
			end

			def rewind
				@ahead.clear
				@position = 0
			end

			def size
				return @declared if @declared
				position = @position
				@position = @kept_bytes
				nil while pull(GULP_BYTES)
				@position = position
				@kept_bytes
			end

			# The exchange is over; the file, if there is one, goes.
			def release
				@kept.close! unless @kept.is_a?(String)
				@kept = nil
			end

			private

			def pull(limit)
				return again(limit) if @position < @kept_bytes
				piece = super
				keep(piece) if piece
				piece
			end

			def again(limit)
				length = [limit, @kept_bytes - @position].min
				if @kept.is_a?(String)
					piece = @kept.byteslice(@position, length)
				else
					@kept.seek(@position)
					piece = @kept.read(length)
					@at_end = false
				end
				@position += piece.bytesize
				piece
			end

			def keep(piece)
				move_to_file if @kept.is_a?(String) && @kept_bytes + piece.bytesize > MEMORY_SPOOL_BYTES
				@kept.seek(@kept_bytes) unless @at_end
				@at_end = true
				@kept << piece
				@kept_bytes += piece.bytesize
				@position = @kept_bytes
			end

			def move_to_file
				require "tempfile" # here and not above: Bundler wants to choose its version
				file = Tempfile.new("passenger-body")
				file.unlink
				file.binmode
				file << @kept
				@kept = file
			end
		end

		# ----------------------------------------------------------------------
		# A connection and an exchange on it

		# One accepted socket. Owned by the server that accepted it until it is
		# closed or hijacked.
		class Connection
			attr_reader :io
			attr_accessor :unread_body

			def initialize(io)
				@io = io
				@rest = nil # bytes that were read and belong to what comes next
				@taken_over = false
				@unread_body = nil
			end

			def taken_over?
				@taken_over
			end

			def close
				@io.close
			rescue IOError, SystemCallError
				nil
			end

			# Bytes that came with a frame but are not part of it.
			def give_back(bytes)
				@rest = @rest ? bytes + @rest : bytes
			end

			def rest
				rest = @rest
				@rest = nil
				rest
			end

			def rest?
				!@rest.nil?
			end

			# At most limit bytes, at least one; they may be in buffer.
			def take(limit, wait, buffer = nil)
				if (rest = @rest)
					@rest = rest.bytesize > limit ? rest.byteslice(limit, rest.bytesize) : nil
					return @rest ? rest.byteslice(0, limit) : rest
				end
				receive(limit, wait, buffer)
			end

			# The length before a data frame.
			def take_frame_length(wait)
				head = String.new(encoding: Encoding::BINARY)
				while head.bytesize < 4
					piece = take(4 - head.bytesize, wait)
					if piece == :wait_readable
						give_back(head) unless head.empty?
						return piece
					end
					head << piece
				end
				head.unpack1("N")
			end

			def receive(limit, wait, buffer = nil)
				loop do
					piece = @io.read_nonblock(limit, buffer, exception: false)
					raise Disconnected if piece.nil?
					return piece unless piece == :wait_readable && wait
					@io.wait_readable
				end
			rescue IOError, SystemCallError => error
				raise error if error.is_a?(Disconnected)
				raise Disconnected
			end

			# Everything or Disconnected.
			def send_all(bytes)
				sent = @io.write_nonblock(bytes, exception: false)
				send_rest(bytes, sent) unless sent == bytes.bytesize
				nil
			rescue IOError, SystemCallError
				raise Disconnected
			end

			# Large pieces go without being copied together.
			def send_pieces(*pieces)
				@io.write(*pieces)
				nil
			rescue IOError, SystemCallError
				raise Disconnected
			end

			def send_file(file, length)
				IO.copy_stream(file, @io, length)
			rescue IOError, SystemCallError
				raise Disconnected
			end

			# The socket for the application, with what was read too early put
			# back into it. From now on the loader knows nothing of it.
			def take_over
				@taken_over = true
				if @rest
					@io.ungetbyte(@rest)
					@rest = nil
				end
				@io
			end

			private

			def send_rest(bytes, sent)
				offset = 0
				loop do
					if sent == :wait_writable
						@io.wait_writable
					else
						offset += sent
						return if offset == bytes.bytesize
					end
					sent = @io.write_nonblock(bytes.byteslice(offset, bytes.bytesize), exception: false)
				end
			end
		end

		# One request, as rack.hijack. The application may keep it longer than
		# the request lasts; then it does nothing more.
		class Exchange
			attr_accessor :env, :state

			# state: :head_due, then :head_sent; :hijacked instead of either; :over.
			def initialize(connection)
				@connection = connection
				@env = nil
				@state = :head_due
			end

			# rack.hijack
			def call
				return @env["rack.hijack_io"] if @state == :hijacked
				raise IOError, "this request has been answered; it can't be hijacked any more" unless @state == :head_due
				@state = :hijacked
				@env["rack.hijack_io"] = @connection.take_over
			end

			def early_hints(headers)
				return if @state != :head_due || @env["SERVER_PROTOCOL"] == "HTTP/1.0"
				out = String.new("HTTP/1.1 103 Early Hints\r\n", encoding: Encoding::BINARY)
				headers.each { |name, value| Responder.append_header(out, name, value) }
				@connection.send_all(out << "\r\n")
			end
		end

		# rack.early_hints
		class EarlyHints
			def initialize(exchange)
				@exchange = exchange
			end

			def call(headers)
				@exchange.early_hints(headers)
				nil
			end
		end

		# What a Rack 3 streaming body (one that responds to call) writes to:
		# reads come from the request's body, writes leave framed as the head
		# announced. It owns the connection when the application keeps it open
		# after its call has returned.
		class Stream
			def initialize(connection, input, chunked, discard)
				@connection = connection
				@input = input
				@chunked = chunked
				@discard = discard
				@open = true
				@readable = true
				@detached = false
				@lock = Mutex.new
			end

			def read(length = nil, buffer = nil)
				raise IOError, "not opened for reading" unless @readable
				@input.read(length, buffer)
			end

			def read_nonblock(length, buffer = nil, exception: true)
				piece = read(length, buffer)
				raise EOFError, "end of file reached" if piece.nil? && exception
				piece
			end

			alias_method :readpartial, :read_nonblock

			def gets
				@input.gets
			end

			def write(*pieces)
				raise IOError, "closed stream" unless @open
				pieces.sum do |piece|
					piece = piece.to_s
					send_piece(piece) unless piece.empty? || @discard
					piece.bytesize
				end
			end

			def write_nonblock(piece, exception: true)
				write(piece)
			end

			alias_method :syswrite, :write

			def <<(piece)
				write(piece)
				self
			end

			def print(*pieces)
				write(*pieces)
				nil
			end

			def flush
				self
			end

			def close_read
				@readable = false
				nil
			end

			def close_write
				@lock.synchronize do
					return nil unless @open
					@open = false
					@connection.send_all("0\r\n\r\n") if @chunked && !@discard
					@connection.close if @detached
				end
				nil
			end

			def close
				close_read
				close_write
			end

			def closed?
				!@open
			end

			# The thread goes on without it; the connection ends with the stream.
			# False when the stream has been closed already.
			def detach
				@lock.synchronize { @detached = @open }
			end

			# The answer can't be finished: what follows would not be believed.
			def abandon
				@lock.synchronize { @open = false }
			end

			private

			def send_piece(piece)
				if @chunked
					@connection.send_pieces("#{piece.bytesize.to_s(16)}\r\n", piece, "\r\n")
				else
					@connection.send_pieces(piece)
				end
			end
		end

		# ----------------------------------------------------------------------
		# Answering

		# Reads frames from connections and answers them, one at a time. It is
		# one thread's: its buffers are used again for the next request.
		class Responder
			EMPTY_INPUT = EmptyInput.new
			NUL = "\0"
			TOKEN = /\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/n
			CONNECTION_CLOSE = "Connection: close\r\n"
			UNPACK = [] # formats by the number of strings

			STATUS_LINES = {
				200 => "OK", 201 => "Created", 202 => "Accepted", 204 => "No Content", 206 => "Partial Content",
				301 => "Moved Permanently", 302 => "Found", 303 => "See Other", 304 => "Not Modified",
				307 => "Temporary Redirect", 308 => "Permanent Redirect", 400 => "Bad Request",
				401 => "Unauthorized", 403 => "Forbidden", 404 => "Not Found", 405 => "Method Not Allowed",
				422 => "Unprocessable Content", 429 => "Too Many Requests", 500 => "Internal Server Error",
				503 => "Service Unavailable"
			}.map { |status, reason| [status, "HTTP/1.1 #{status} #{reason}\r\n".b.freeze] }.to_h.freeze

			FAILURE_BODY = "The application could not answer this request.\n"
			FAILURE_HEAD = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n" \
				"Content-Length: #{FAILURE_BODY.bytesize}\r\n"

			# The slow and careful way to write one header, whatever its value is:
			# a string, one line a value (Rack 2), or an array (Rack 3).
			# Returns how many lines it wrote.
			def self.append_header(out, name, value)
				name = name.to_s.b
				raise BadResponse, "header name #{name.inspect} is not a token" unless name.match?(TOKEN)
				values = value.is_a?(Array) ? value : value.to_s.b.split("\n", -1)
				values = [""] if values.empty? && !value.is_a?(Array)
				values.each do |item|
					item = item.to_s.b
					if item.match?(/[\r\n\0]/n)
						raise BadResponse, "the value of header #{name} holds a line break or a NUL byte: #{item.inspect}"
					end
					out << name << ": " << item << "\r\n"
				end
				values.size
			end

			# multithread: whether the application may be called while it runs.
			def initialize(app, stop, arguments, multithread)
				@app = app
				@stop = stop
				@early_hints = arguments.early_hints?
				@in = String.new(capacity: READ_BYTES, encoding: Encoding::BINARY)
				@rack3 = Application.rack_major >= 3
				@input_class = @rack3 ? Input : RewindableInput
				@constant_pairs = constant_pairs(arguments.version, multithread)
			end

			# Reads what has come on the connection up to the end of a frame head
			# with its payload. Returns the flags of a request, :ping, or nil when
			# nothing was there to read; the frame is left for answer.
			def read_frame(connection)
				return nil if connection.unread_body && !drained?(connection)
				bytes = connection.rest
				unless bytes
					bytes = connection.io.read_nonblock(READ_BYTES, @in, exception: false)
					return nil if bytes == :wait_readable
					raise Disconnected unless bytes
				end
				read = bytes.bytesize
				bytes = read_more(connection, bytes, HEAD_BYTES) if read < HEAD_BYTES
				length = bytes.unpack1("@4N")
				bytes = assemble(connection, bytes, length) unless read == HEAD_BYTES + length
				@frame = bytes
				frame_kind(bytes, length)
			rescue SystemCallError, IOError => error
				raise error if error.is_a?(Disconnected)
				raise Disconnected
			end

			# Out-of-band work comes first, when that is what is wanted.
			def pong(connection)
				work_out_of_band if @frame.getbyte(1) == 1
				connection.send_all("PONG")
				true
			end

			# Runs the application for the frame read last and answers. True when
			# the connection is idle again; false when it is closed or somebody
			# else's.
			def answer(connection, flags)
				exchange = Exchange.new(connection)
				env = environment(exchange)
				@input = flags & (FLAG_BODY_LENGTH | FLAG_BODY_FRAMES) == 0 ? nil : attach_input(connection, flags, env)
				@head_only = env["REQUEST_METHOD"] == "HEAD"
				keep = call_application(connection, exchange, env)
				keep = false if @stop.asked?
				keep = settle_input(connection, keep) if @input
				connection.close unless keep || connection.taken_over?
				keep
			end

			private

			def work_out_of_band
				PhusionPassenger.call_event(:oob_work)
			rescue Exception => error
				raise if error.is_a?(SystemExit)
				ErrorReport.log(error, "in on_event(:oob_work)")
			end

			# -- frames

			def read_more(connection, bytes, wanted)
				bytes = bytes.dup
				bytes << connection.receive(READ_BYTES, true) while bytes.bytesize < wanted
				bytes
			end

			def assemble(connection, bytes, length)
				raise BadFrame, "a frame of #{length} bytes" if length > MAX_PAYLOAD_BYTES
				wanted = HEAD_BYTES + length
				bytes = read_more(connection, bytes, wanted) if bytes.bytesize < wanted
				return bytes if bytes.bytesize == wanted
				connection.give_back(bytes.byteslice(wanted, bytes.bytesize))
				bytes.byteslice(0, wanted)
			end

			def frame_kind(bytes, length)
				kind = bytes.getbyte(0)
				return bytes.getbyte(1) if kind == 82 # R
				raise BadFrame, "a frame of kind #{kind}" unless kind == 80 && length == 0 # P
				:ping
			end

			def drained?(connection)
				case connection.unread_body.drain
				when :again then return false
				when :close then raise Disconnected
				end
				connection.unread_body = nil
				true
			end

			# -- the environment

			def constant_pairs(version, multithread)
				pairs = [
					"rack.errors", $stderr,
					"rack.multithread", multithread,
					"rack.multiprocess", true,
					"rack.run_once", false,
					"rack.hijack?", true,
					"rack.url_scheme", "http",
					"SERVER_SOFTWARE", "Passenger/#{version}".freeze
				]
				pairs.push("rack.version", ::Rack::VERSION) unless @rack3
				pairs.freeze
			end

			def environment(exchange)
				pairs = payload_strings
				pairs.push("rack.input", EMPTY_INPUT, "rack.hijack", exchange, "rack.after_reply", [])
				pairs.push("rack.early_hints", EarlyHints.new(exchange)) if @early_hints
				pairs.push("rack.response_finished", []) if @rack3
				env = Hash[*pairs.concat(@constant_pairs)] # the quickest way there is
				env["rack.url_scheme"] = "https" if env["HTTPS"] == "on"
				env["HTTP_VERSION"] = env["SERVER_PROTOCOL"]
				exchange.env = env
			end

			# The NUL-terminated strings after the frame's head. One unpack with as
			# many Z* as there are strings is quicker than a split.
			def payload_strings
				head = @frame.byteslice(0, HEAD_BYTES)
				count = @frame.count(NUL) - head.count(NUL)
				raise BadFrame, "a request without an end" unless count.even? && count > 0 && @frame.getbyte(-1) == 0
				raise BadFrame, "#{count / 2} names in a request" if count > 2 * MAX_PAIRS
				@frame.unpack(UNPACK[count] ||= "@8#{"Z*" * count}".freeze)
			end

			def attach_input(connection, flags, env)
				remaining = nil
				if flags & FLAG_BODY_LENGTH != 0
					text = env["CONTENT_LENGTH"]
					raise BadFrame, "a body of length #{text.inspect}" unless text && text.match?(/\A[0-9]+\z/)
					remaining = text.to_i
				end
				env["rack.input"] = @input_class.new(connection, remaining)
			end

			# What is left of the request's body once it is answered.
			def settle_input(connection, keep)
				return false if connection.taken_over?
				@input.release if @input.respond_to?(:release)
				return false unless keep
				case @input.drain
				when :close then return false
				when :again then connection.unread_body = @input
				end
				true
			rescue Disconnected
				false
			end

			# -- the call

			def call_application(connection, exchange, env)
				status = headers = body = failure = nil
				@body_closed = false
				begin
					status, headers, body = @app.call(env)
					keep = exchange.state == :hijacked ? false : respond(connection, exchange, status, headers, body)
				rescue Disconnected => failure
					keep = false
				rescue SignalException
					raise
				rescue Exception => failure # an application can raise anything; the process goes on
					keep = fail(connection, exchange, failure)
				end
				close_body(body) unless @body_closed
				run_hooks(env, status, headers, failure)
				exchange.state = :over unless exchange.state == :hijacked
				keep
			end

			def close_body(body)
				body.close if body.respond_to?(:close)
			rescue SignalException
				raise
			rescue Exception => error
				ErrorReport.log(error, "while the application's body was closed")
			end

			def run_hooks(env, status, headers, failure)
				after = env["rack.after_reply"]
				after.each { |hook| run_hook { hook.call } } if after && !after.empty?
				finished = env["rack.response_finished"]
				return if !finished || finished.empty?
				finished.reverse_each { |hook| run_hook { hook.call(env, status, headers, failure) } }
			end

			def run_hook
				yield
			rescue SignalException
				raise
			rescue Exception => error
				ErrorReport.log(error, "in a hook after the answer")
			end

			def fail(connection, exchange, error)
				ErrorReport.log(error, "in Rack application object")
				@stop.ask(error.status) if error.is_a?(SystemExit)
				if exchange.state != :head_due
					connection.close
					return false
				end
				exchange.state = :head_sent
				closing = @stop.asked? ? CONNECTION_CLOSE : ""
				connection.send_all("#{FAILURE_HEAD}#{closing}\r\n#{FAILURE_BODY unless @head_only}")
				true
			rescue Disconnected
				false
			end

			# -- the answer

			# Writes the answer. True when the connection can carry another.
			def respond(connection, exchange, status, headers, body)
				status = status.to_i
				raise BadResponse, "the status is #{status}, not between 100 and 999" unless status >= 100 && status <= 999
				out = compose(status, headers)
				return take_over(connection, exchange, out, status, body) if @hijack || status == 101
				raise BadResponse, "#{status} is not the status of a final answer" if status < 200
				keep = !@close
				if @stop.asked? || (@input && @input.pending > MAX_DRAIN_BYTES)
					out << CONNECTION_CLOSE unless @close
					keep = false
				end
				if status == 204 || status == 304
					send_head(connection, exchange, out << "\r\n")
				elsif @head_only
					send_head_only(connection, exchange, out, body)
				elsif Array === body && !@transfer_encoding
					send_array(connection, exchange, out, body)
				else
					keep = send_other(connection, exchange, out, body) && keep
				end
				keep
			end

			# Status line and headers into a new buffer, without the empty line and
			# without what frames the body: that is kept apart for later.
			def compose(status, headers)
				out = (STATUS_LINES[status] || status_line(status)).dup
				@length = @transfer_encoding = @hijack = nil
				@close = false
				lines = 1
				headers.each do |name, value|
					next if special_header?(name, value)
					if String === value && String === name && TOKEN.match?(name)
						out << name << ": " << value << "\r\n"
						lines += 1
					else
						lines += Responder.append_header(out, name, value)
					end
				end
				# One look at the whole finds any value with a line break in it.
				out.force_encoding(Encoding::BINARY)
				if out.count("\n") != lines || out.count("\r") != lines || out.include?(NUL)
					return compose_carefully(status, headers)
				end
				out
			rescue Encoding::CompatibilityError
				compose_carefully(status, headers)
			end

			def compose_carefully(status, headers)
				out = (STATUS_LINES[status] || status_line(status)).dup
				headers.each do |name, value|
					Responder.append_header(out, name, value) unless special_header?(name, value)
				end
				out
			end

			def status_line(status)
				"HTTP/1.1 #{status} #{::Rack::Utils::HTTP_STATUS_CODES[status] || "Unknown"}\r\n".b
			end

			# Headers that are for us; of their length, few others are.
			def special_header?(name, value)
				case name.size
				when 6 # status: a relic of CGI
					name.casecmp("status") == 0
				when 10
					@close = true if name.casecmp("connection") == 0 && value.to_s.match?(/(?:\A|[,\s])close(?:[,\s]|\z)/i)
					false
				when 14
					return false unless name.casecmp("content-length") == 0
					@length = content_length(value)
					true
				when 17
					return false unless name.casecmp("transfer-encoding") == 0
					@transfer_encoding = value.to_s
					true
				else
					return false unless name.start_with?("rack.")
					@hijack = value if name == "rack.hijack"
					true
				end
			end

			def content_length(value)
				value = value.first if value.is_a?(Array) && value.size == 1
				text = value.to_s
				raise BadResponse, "Content-Length is #{value.inspect}" unless text.match?(/\A[0-9]{1,18}\z/)
				text.to_i
			end

			def send_head(connection, exchange, out)
				exchange.state = :head_sent
				connection.send_all(out)
			end

			def send_head_only(connection, exchange, out, body)
				@length ||= body.sum(&:bytesize) if Array === body && !body.empty? && !@transfer_encoding
				append_framing(out)
				send_head(connection, exchange, out << "\r\n")
			end

			def append_framing(out)
				if @transfer_encoding
					Responder.append_header(out, "Transfer-Encoding", @transfer_encoding)
				elsif @length
					out << "Content-Length: " << @length.to_s << "\r\n"
				end
			end

			# The body is at hand: its length is what it is, whatever was claimed.
			def send_array(connection, exchange, out, body)
				length = 0
				body.each { |part| length += part.bytesize }
				out << "Content-Length: " << length.to_s << "\r\n\r\n"
				exchange.state = :head_sent
				body.each do |part|
					if out.bytesize + part.bytesize > MAX_SINGLE_WRITE_BYTES && out.bytesize > 0
						connection.send_pieces(out)
						out = String.new(encoding: Encoding::BINARY)
						if part.bytesize > MAX_SINGLE_WRITE_BYTES
							connection.send_pieces(part)
							next
						end
					end
					append(out, part)
				end
				connection.send_all(out) unless out.empty?
			end

			# Adds bytes of any encoding.
			def append(out, part)
				out << part
			rescue Encoding::CompatibilityError
				out.force_encoding(Encoding::BINARY)
				out << part.b
			end

			# Everything that isn't an array. True when the connection can go on.
			def send_other(connection, exchange, out, body)
				if body.respond_to?(:to_path) && !@transfer_encoding && (file = open_file(body.to_path))
					return send_file(connection, exchange, out, file)
				end
				if @rack3 && !@transfer_encoding && body.respond_to?(:to_ary) && Array === (parts = body.to_ary)
					@body_closed = true # Rack 3: to_ary has closed it
					send_array(connection, exchange, out, parts)
					return true
				end
				return send_each(connection, exchange, out, body) if body.respond_to?(:each)
				return send_stream(connection, exchange, out, body) if body.respond_to?(:call)
				raise BadResponse, "the body is a #{body.class}, which responds neither to each nor to call"
			end

			# The file behind a body when it is a plain file of the length that was
			# announced; else nil, and the body is asked for its parts.
			def open_file(path)
				file = File.open(path, "rb")
				stat = file.stat
				return file if stat.file? && (@length.nil? || @length == stat.size)
				file.close
				nil
			rescue SystemCallError
				nil
			end

			def send_file(connection, exchange, out, file)
				@length = file.size
				append_framing(out)
				send_head(connection, exchange, out << "\r\n")
				sent = @length == 0 ? 0 : connection.send_file(file, @length)
				sent == @length
			ensure
				file.close
			end

			def send_each(connection, exchange, out, body)
				return send_each_known(connection, exchange, out, body) if @length && !@transfer_encoding
				@transfer_encoding ? append_framing(out) : out << "Transfer-Encoding: chunked\r\n"
				# The head goes first: an event stream may have nothing to say for long.
				send_head(connection, exchange, out << "\r\n")
				if @transfer_encoding # then the parts are encoded already
					body.each { |part| connection.send_pieces(part) unless part.empty? }
					return true
				end
				body.each { |part| send_chunk(connection, part) unless part.empty? }
				connection.send_all("0\r\n\r\n")
				true
			end

			def send_chunk(connection, part)
				size = part.bytesize
				head = "#{size.to_s(16)}\r\n"
				if size > READ_BYTES
					connection.send_pieces(head, part, "\r\n")
				else
					connection.send_all(append(head, part) << "\r\n")
				end
			end

			# As many bytes as the application announced, never more; fewer end the
			# connection, so that the answer looks cut short.
			def send_each_known(connection, exchange, out, body)
				append_framing(out)
				out << "\r\n"
				left = @length
				too_long = false
				body.each do |part|
					if part.bytesize > left
						too_long = true
						part = part.byteslice(0, left)
					end
					next if part.empty?
					left -= part.bytesize
					out = send_known_part(connection, exchange, out, part)
				end
				send_head(connection, exchange, out) if out
				complain_of_length(left, too_long) if left > 0 || too_long
				left == 0 && !too_long
			end

			# The first part travels with the head.
			def send_known_part(connection, exchange, out, part)
				exchange.state = :head_sent
				if out && part.bytesize <= MAX_SINGLE_WRITE_BYTES
					connection.send_all(append(out, part))
				elsif out
					connection.send_pieces(out, part)
				else
					connection.send_pieces(part)
				end
				nil
			end

			def complain_of_length(left, too_long)
				problem = too_long ? "the body was longer" : "#{left} bytes of the body were missing"
				STDERR.write("*** The application announced Content-Length #{@length}, but #{problem} (process #{Process.pid})\n")
			rescue SystemCallError, IOError
				nil
			end

			# Rack 3: body.call(stream). The connection ends with the stream, because
			# the application may go on with it from another thread.
			def send_stream(connection, exchange, out, body)
				chunked = @length.nil? && @transfer_encoding.nil?
				chunked ? out << "Transfer-Encoding: chunked\r\n" : append_framing(out)
				out << CONNECTION_CLOSE unless @close
				send_head(connection, exchange, out << "\r\n")
				stream = Stream.new(connection, @input || EMPTY_INPUT, chunked, false)
				begin
					body.call(stream)
				rescue Exception
					stream.abandon
					raise
				end
				if stream.detach
					connection.take_over
					exchange.state = :hijacked
					@input = nil
				end
				false
			end

			# 101 and rack.hijack as a header: the head is ours, the rest is not.
			def take_over(connection, exchange, out, status, body)
				callback = @hijack || body
				raise BadResponse, "101 needs a body that responds to call, or rack.hijack" unless callback.respond_to?(:call)
				if status != 101
					append_framing(out)
					out << CONNECTION_CLOSE unless @close
				end
				send_head(connection, exchange, out << "\r\n")
				exchange.state = :hijacked
				@input = nil
				callback.call(connection.take_over)
				false
			end
		end

		# ----------------------------------------------------------------------
		# Servers

		# What both kinds share: the listener, and how an accepted connection is
		# attended to.
		class Server
			def initialize(app, stop, arguments)
				@app = app
				@stop = stop
				@arguments = arguments
				@listener = UNIXServer.for_fd(LISTENER_FD)
				@listener.close_on_exec = true
			end

			private

			def responder(multithread)
				Responder.new(@app, @stop, @arguments, multithread)
			end

			# A new connection, or nil when there is none after all.
			def accept
				io = @listener.accept_nonblock(exception: false)
				io == :wait_readable ? nil : Connection.new(io)
			rescue Errno::ECONNABORTED, Errno::EINTR
				nil
			rescue SystemCallError => error
				ErrorReport.log(error, "while accepting a connection")
				sleep 0.1 # out of descriptors or memory: the connection waits
				nil
			end

			# Descriptor 3 stays taken, so that nothing else gets its number.
			def close_listener
				@listener.autoclose = false
				File.open(File::NULL) { |null| IO.for_fd(LISTENER_FD, autoclose: false).reopen(null) }
			end

			def report_bad_frame(error)
				STDERR.write("*** The request on the session socket was not understood (#{error.message}); the connection is closed (process #{Process.pid})\n")
			rescue SystemCallError, IOError
				nil
			end
		end

		# Everything on the main thread: the application is never called on
		# another, and nothing is handed from thread to thread.
		class SoloServer < Server
			def initialize(app, stop, arguments)
				super
				@responder = responder(false)
				@connections = {}.compare_by_identity
				@watched = [@listener, @stop.waker]
			end

			def run
				until @stop.asked?
					IO.select(@watched)[0].each { |io| attend(io) }
				end
				finish
			end

			# After run, when the process goes on.
			def close
				close_listener
				@connections.each_value(&:close)
			end

			private

			def attend(io)
				if (connection = @connections[io])
					serve(connection)
				elsif io.equal?(@listener)
					add(accept) unless @stop.asked?
				else
					@stop.silence
				end
			end

			def add(connection)
				return unless connection
				@connections[connection.io] = connection
				@watched << connection.io
			end

			def remove(connection)
				@connections.delete(connection.io)
				@watched.delete(connection.io)
			end

			def serve(connection)
				loop do
					flags = @responder.read_frame(connection)
					return unless flags
					keep = flags == :ping ? @responder.pong(connection) : @responder.answer(connection, flags)
					return remove(connection) unless keep
					return unless connection.rest?
				end
			rescue Disconnected, BadFrame => error
				report_bad_frame(error) if error.is_a?(BadFrame)
				remove(connection)
				connection.close
			end

			# A request that lies in a socket already has begun.
			def finish
				return if @connections.empty?
				ready = IO.select(@connections.keys, nil, nil, 0)
				ready[0].each { |io| serve(@connections[io]) } if ready
			end
		end

		# How many requests run and may run. The count of those that may wait for
		# a place: a request that bypasses takes none.
		class Places
			def initialize(count)
				@free = count
				@active = 0
				@lock = Mutex.new
				@freed = ConditionVariable.new
			end

			def enter
				@lock.synchronize { @active += 1 }
			end

			def leave
				@lock.synchronize { @active -= 1 }
			end

			def active
				@lock.synchronize { @active }
			end

			def with_place(bypass)
				return yield if bypass
				take
				begin
					yield
				ensure
					give
				end
			end

			private

			def take
				@lock.synchronize do
					@freed.wait(@lock) while @free == 0
					@free -= 1
				end
			end

			def give
				@lock.synchronize do
					@free += 1
					@freed.signal
				end
			end
		end

		# A thread for every connection and a limited number of places to call
		# the application in: no request is handed from thread to thread. The
		# balancer opens about as many connections as there are places, so there
		# are about as many threads. The main thread accepts.
		class ThreadedServer < Server
			def initialize(app, stop, arguments)
				super
				@places = Places.new(arguments.thread_count)
				@bypass = arguments.bypass?
				@connections = {}.compare_by_identity
				@lock = Mutex.new
				@serial = 0
			end

			def run
				watched = [@listener, @stop.waker]
				until @stop.asked?
					IO.select(watched)[0].each do |io|
						if io.equal?(@listener)
							add(accept) unless @stop.asked?
						else
							@stop.silence
						end
					end
				end
				finish
			end

			# After run, when the process goes on: no thread of ours does.
			def close
				close_listener
				@lock.synchronize { @connections.keys }.each do |io|
					io.shutdown
				rescue IOError, SystemCallError
					nil # it is closed already
				end
				sleep 0.005 until @lock.synchronize { @connections.empty? }
			end

			private

			def add(connection)
				return unless connection
				@lock.synchronize { @connections[connection.io] = connection }
				thread = Thread.new { serve(connection) }
				thread.name = "passenger connection #{@serial += 1}"
			end

			def remove(connection)
				@lock.synchronize { @connections.delete(connection.io) }
			end

			def serve(connection)
				responder = responder(true)
				loop do
					wait(connection)
					break unless serve_one(connection, responder)
				end
			rescue Disconnected, BadFrame => error
				report_bad_frame(error) if error.is_a?(BadFrame)
			ensure
				connection.close unless connection.taken_over?
				remove(connection)
				@stop.wake if @stop.asked?
			end

			def wait(connection)
				connection.io.wait_readable unless connection.rest?
			rescue IOError, SystemCallError
				raise Disconnected
			end

			# enter comes before the first byte is read, so that nobody stops the
			# process between the reading of a request and its run.
			def serve_one(connection, responder)
				@places.enter
				begin
					flags = responder.read_frame(connection)
					return true unless flags
					bypass = @bypass && flags != :ping && flags & FLAG_BYPASS != 0
					@places.with_place(bypass) do
						flags == :ping ? responder.pong(connection) : responder.answer(connection, flags)
					end
				ensure
					@places.leave
				end
			end

			def finish
				until quiet?
					IO.select([@stop.waker], nil, nil, 0.02)
					@stop.silence
				end
			end

			# Nothing runs and nothing lies unread in a socket.
			def quiet?
				return false if @places.active > 0
				waiting = @lock.synchronize { @connections.keys }
				waiting.empty? || IO.select(waiting, nil, nil, 0).nil?
			rescue IOError, SystemCallError
				false # one of them was closed meanwhile: look again
			end
		end

		# ----------------------------------------------------------------------

		# Forks a process of the loaded application whenever the spawner sends the
		# descriptors for one (docs/session-protocol.md, Preloading).
		module Preloader
			# Ends with the process.
			def self.run(control, application)
				@lifeline = control.lifeline
				socket = control.socket
				socket.autoclose = false # the child has another one there
				warm_up
				control.tell("READY preloader=1\n")
				loop do
					Process.exit!(0) if IO.select([@lifeline, socket])[0].include?(@lifeline)
					rights = socket.recvmsg(1, 0, nil, scm_rights: true)&.at(3)
					Process.exit!(0) unless rights
					make(rights.unix_rights, application)
				end
			end

			# So that the processes write to few of the pages that they share.
			def self.warm_up
				return Process.warmup if Process.respond_to?(:warmup)
				4.times { GC.start } # what has lived so long is left alone
				GC.compact
			rescue NotImplementedError, NoMethodError
				nil # nothing depends on it
			end
			private_class_method :warm_up

			# Forks twice, so that the child becomes the spawner's.
			def self.make(ios, application)
				report(ios) do
					disconnect
					apart do
						middle = Process.fork do
							parent = Process.pid
							report(ios) { Process.fork { become(ios, parent, application) } }
							Process.exit!(0)
						end
						Process.wait(middle)
					rescue Errno::ECHILD
						nil # the application ignores SIGCHLD
					end
				end
				ios.each(&:close)
			end
			private_class_method :make

			# On a thread of its own, which is the main one in what it forks: glibc gives it a heap
			# of its own. Free pieces of the old one lie everywhere; to fill them would take a copy
			# of nearly every page.
			def self.apart(&block)
				thread = Thread.new(&block)
				thread.name = "ruby"
				thread.report_on_exception = false # join raises it
				thread.join
			end
			private_class_method :apart

			# Into the output of the process that does not come to be.
			def self.report(ios)
				yield
			rescue Exception => error
				ErrorReport.log(error, "while a process was forked", ios[1])
			end
			private_class_method :report

			# A connection must not be shared by processes; each makes its own. On the thread that may have one.
			def self.disconnect
				::Sequel::DATABASES.each(&:disconnect) if defined?(::Sequel::DATABASES)
				return unless defined?(::ActiveRecord::Base)
				all = ::ActiveRecord::VERSION::STRING.to_f < 7.1 ? [] : [:all]
				::ActiveRecord::Base.connection_handler.clear_all_connections!(*all)
			end
			private_class_method :disconnect

			def self.become(ios, parent, application)
				Process.setsid
				sleep 0.001 while Process.ppid == parent
				[ios[0], ios[1], ios[1], ios[2], ios[3]].each_with_index do |io, fd|
					IO.for_fd(fd, autoclose: false).reopen(io)
				end
				[@lifeline, *ios].each(&:close)
				Loader.run(application)
			end
			private_class_method :become
		end

		# application: loaded already, by the preloader that forked us.
		def self.run(application = nil)
			control = Control.open
			control.tell("HELLO\n") if application
			arguments = control.read_arguments
			preloads = arguments.values.delete("mode")
			end_with_spawner(arguments.values) if application
			STDOUT.sync = true
			STDERR.sync = true
			# A service often runs without a locale; applications are written in UTF-8.
			Encoding.default_external = Encoding::UTF_8 if Encoding.default_external == Encoding::US_ASCII
			Process.setproctitle(preloads ? arguments.preloader_title : arguments.title)
			stop = Stop.new(preloads)
			stop.install_signals
			Backtraces.install_signals
			control.watch(stop) unless preloads
			server = start(control, arguments, stop, application, preloads)
			server.run
			tell_of_end
			exit(stop.status) unless application && stop.preload?
			Process.setproctitle(arguments.preloader_title)
			server.close
			control.unwatch
			stop.over
			Preloader.run(control, application)
		end

		# A fork is killed with the spawner only when it asks for that itself
		# (PR_SET_PDEATHSIG); without it the end of descriptor 0 has to do.
		def self.end_with_spawner(values)
			ENV["PASSENGER_PROCESS"] = values["gupid"]
			syscall(values.delete("prctl").to_i, 1, 9, 0, 0, 0)
		rescue StandardError, NotImplementedError
			nil
		end
		private_class_method :end_with_spawner

		def self.start(control, arguments, stop, application, preloads)
			App.options.merge!(arguments.values)
			forked = !application.nil?
			application ||= Application.new(arguments).load
			stop.install_signals # the application may have set its own
			Backtraces.install_signals
			Preloader.run(control, application) if preloads
			kind = arguments.thread_count > 1 || arguments.bypass? ? ThreadedServer : SoloServer
			server = kind.new(application.app, stop, arguments)
			PhusionPassenger.call_event(:starting_worker_process, forked)
			stop.install_signals # the application may have set its own
			Backtraces.install_signals
			stop.serving!
			control.ready(concurrency(arguments), arguments.bypass?)
			server
		rescue Exception => error # exit while loading as well
			refuse(control, error)
		end
		private_class_method :start

		def self.concurrency(arguments)
			advertised = PhusionPassenger.advertised_concurrency_level
			return arguments.thread_count unless advertised
			advertised.to_i > 0 ? advertised.to_i : UNLIMITED_CONCURRENCY
		end
		private_class_method :concurrency

		def self.refuse(control, error)
			if error.is_a?(SystemExit)
				summary = "the application called exit(#{error.status}) while it was loaded"
				summary += ": #{ErrorReport.message(error)}" unless error.message.to_s == "exit"
			else
				summary = ErrorReport.summary(error)
			end
			ErrorReport.log(error, "while the application was loaded")
			control.error(summary.b << ErrorReport.place(error, "#{App.app_root}/"))
			Process.exit!(1)
		end
		private_class_method :refuse

		def self.tell_of_end
			PhusionPassenger.call_event(:stopping_worker_process)
		rescue StandardError => error
			ErrorReport.log(error, "in on_event(:stopping_worker_process)")
		end
		private_class_method :tell_of_end
	end
end

PhusionPassenger::Loader.run if $PROGRAM_NAME == __FILE__
