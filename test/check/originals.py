"""Every option of the original, of both editions: it has its row in docs/options.md, or docs/refusals.md says why not."""
import re

import source

# As its documentation spells them: Apache's names, else Nginx's, Standalone's or the agent's.
SPAWNING = '''PassengerEnabled PassengerAppRoot PassengerBaseURI PassengerAppType PassengerAppStartCommand PassengerStartupFile
PassengerAppEnv PassengerRuby PassengerPython PassengerNodejs PassengerDefaultRuby PassengerMeteorAppSettings
PassengerSpawnMethod PassengerStartTimeout PassengerMaxPreloaderIdleTime PassengerLoadShellEnvvars
PassengerPreloadBundler PassengerPreStart PassengerSpawnDir PassengerDirectInstanceRequestAddress PassengerAppGroupName
SetEnv passenger_env_var envvars passenger_app_file_descriptor_ulimit min_port_range max_port_range Passengerfile.json
PassengerFlyWith'''.split() + ['Mass deployment']
POOL = '''PassengerMaxPoolSize PassengerMinInstances PassengerMaxInstancesPerApp PassengerMaxInstances PassengerPoolIdleTime
PassengerMaxRequests PassengerMaxRequestQueueSize passenger_request_queue_overflow_status_code
PassengerMaxRequestQueueTime PassengerForceMaxConcurrentRequestsPerProcess unlimited_concurrency_paths
PassengerStickySessions PassengerStickySessionsCookieName PassengerStickySessionsCookieAttributes
PassengerConcurrencyModel PassengerThreadCount PassengerMemoryLimit PassengerHardMemoryLimit
PassengerAnalyticsCollectionRate'''.split()
PROCESSES = 'PassengerDebugger passenger-irb'.split()
REQUESTS = '''PassengerBufferUpload PassengerBufferResponse PassengerResponseBufferHighWatermark PassengerDataBufferDir
PassengerAllowEncodedSlashes PassengerHighPerformance PassengerTurbocaching vary_turbocache_by_cookie
PassengerMaxRequestTime PassengerSocketBacklog PassengerShowVersionInHeader abort_websockets_on_process_shutdown
passenger_ignore_client_abort passenger_read_timeout passenger_buffer_size passenger_buffers
passenger_busy_buffers_size passenger_request_buffering passenger_pass_header passenger_ignore_headers
passenger_set_header passenger_headers_hash_max_size passenger_headers_hash_bucket_size passenger_document_root
passenger_temp_path threads cpu-affine no-graceful-exit benchmark disable-selfchecks multi-app'''.split()
ERRORS = '''PassengerFriendlyErrorPages PassengerCustomErrorPage PassengerErrorOverride passenger_intercept_errors
passenger_spawn_exception_status_code PassengerResistDeploymentErrors abort_on_startup_error'''.split()
RESTARTS = 'PassengerRestartDir PassengerStatThrottleRate PassengerRollingRestarts defer-port-binding'.split()
SECURITY = '''PassengerUserSwitching PassengerUser PassengerGroup PassengerDefaultUser PassengerDefaultGroup
PassengerLveMinUid PassengerInstanceRegistryDir authorize PassengerDisableSecurityUpdateCheck
PassengerSecurityUpdateCheckProxy PassengerDisableAnonymousTelemetry PassengerAnonymousTelemetryProxy
app_rights'''.split()
LOGS = '''PassengerLogLevel PassengerLogFile PassengerAppLogFile PassengerDisableLogPrefix PassengerFileDescriptorLogFile
PassengerMonitorLogFile'''.split()
HOOKS = '''hook_attached_process hook_detached_process hook_spawn_failed hook_queue_full_error
hook_max_request_time_reached'''.split()
NAMES = SPAWNING + POOL + PROCESSES + REQUESTS + ERRORS + RESTARTS + SECURITY + LOGS + HOOKS

OPTIONS, REFUSALS = 'docs/options.md', 'docs/refusals.md'


def rows(path, cells):
    """(line, cells) of each table row of so many cells."""
    for number, line in enumerate(source.read(path).splitlines(), 1):
        found = [cell.strip().replace('\\', '') for cell in line.strip('|').split(' | ')]
        if line.startswith('| `') and len(found) == cells:
            yield number, found


def check_originals():
    taken, refused = {}, {}
    for line, (ours, _, default, takes, originals, edition, _, says) in rows(OPTIONS, 8):
        for name in re.split(r',\s*', originals) if originals else ():
            taken[name] = line
            if not (ours and takes and says and re.match('open source|enterprise', edition)) or default == '`':
                yield f'{OPTIONS}:{line}: originals: {ours} lacks its edition, what it takes or what it does'
    for line, (name, why) in rows(REFUSALS, 2):
        refused[name.strip('`')] = line
        if len(why) < 9:
            yield f'{REFUSALS}:{line}: originals: {name} is refused without a reason'
    for name in NAMES:
        if name not in taken and name not in refused:
            yield f'{OPTIONS}:1: originals: {name} has no row, and {REFUSALS} does not refuse it'
        elif name in taken and name in refused:
            yield f'{REFUSALS}:{refused[name]}: originals: {name} is refused, and has a row in {OPTIONS}:{taken[name]}'
    for name, line in refused.items():
        if name not in NAMES:
            yield f'{REFUSALS}:{line}: originals: the original has no option {name} that this check knows'
