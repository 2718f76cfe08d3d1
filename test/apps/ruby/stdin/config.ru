# What an application finds on its standard input and in its surroundings.
run lambda { |_env|
	text = "stdin=#{$stdin.read.inspect} argv=#{ARGV.inspect} main=#{__FILE__ == $0} constants=#{Object.constants.grep(/Passenger/).inspect}\n"
	inherited = `ls -l /proc/self/fd`.scan(/ (\d+) -> (\S+)/).reject { |fd, _| fd.to_i < 3 }.map(&:last).grep(/socket|pipe/)
	[200, { "content-type" => "text/plain" }, [text, "inherited=#{inherited.inspect}\n"]]
}
