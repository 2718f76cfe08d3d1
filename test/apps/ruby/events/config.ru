# Tells of PhusionPassenger's events on stderr.
if defined?(PhusionPassenger)
	PhusionPassenger.on_event(:starting_worker_process) { |forked| warn "event: starting_worker_process forked=#{forked}" }
	PhusionPassenger.on_event(:stopping_worker_process) { warn "event: stopping_worker_process" }
	PhusionPassenger.on_event(:credentials) { warn "event: credentials" }
	PhusionPassenger.install_framework_extensions!
	level = ENV["ADVERTISED_CONCURRENCY"]
	PhusionPassenger.advertised_concurrency_level = level.to_i if level
end
at_exit { warn "event: at_exit" }

run ->(_env) { [200, { "content-type" => "text/plain" }, ["events\n"]] }
