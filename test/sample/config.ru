# The sample application that `./build.sh run` and the `ruby` image serve: one
# page that says which process answered, so that a door can be told from the
# front listener.  It needs Rack and nothing else.
class Sample
  PAGE = File.read(File.join(__dir__, 'page.html'))

  def initialize
    @started = Time.now
    @answered = 0
    @mutex = Mutex.new
  end

  def call(env)
    return answer(404, 'text/plain', "There is only one page: /\n") unless env['PATH_INFO'] == '/'
    return answer(405, 'text/plain', "GET or HEAD\n", 'allow' => 'GET, HEAD') unless %w[GET HEAD].include?(env['REQUEST_METHOD'])

    facts = facts_of(env)
    if env['HTTP_ACCEPT'].to_s.include?('text/html')
      rows = facts.map { |name, value| "<dt>#{name}</dt><dd>#{Rack::Utils.escape_html(value)}</dd>" }
      answer(200, 'text/html; charset=utf-8', PAGE.sub('FACTS') { rows.join("\n") })
    else
      answer(200, 'text/plain; charset=utf-8', facts.map { |name, value| "#{name}: #{value}\n" }.join)
    end
  end

  private

  def facts_of(env)
    answered = @mutex.synchronize { @answered += 1 }
    {
      'Process' => Process.pid.to_s,
      'Requests it has answered' => answered.to_s,
      'It runs since' => @started.strftime('%Y-%m-%d %H:%M:%S'),
      'Ruby' => RUBY_VERSION,
      'Rack' => Rack.release,
      'You asked' => "#{env['rack.url_scheme']}://#{env['HTTP_HOST']}#{env['REQUEST_URI'] || env['PATH_INFO']}",
      'From' => env['REMOTE_ADDR'].to_s
    }
  end

  def answer(status, type, text, headers = {})
    [status, { 'content-type' => type, 'content-length' => text.bytesize.to_s, 'cache-control' => 'no-store' }.merge(headers), [text]]
  end
end

run Sample.new
