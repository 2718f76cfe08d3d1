# The same for Rack.
run lambda { |env|
  text = "#{Process.pid} #{env['REQUEST_METHOD']} #{env['PATH_INFO']} #{env['rack.input'].read.bytesize}\n"
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => text.bytesize.to_s }, [text]]
}
