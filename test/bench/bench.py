#!/usr/bin/env python3
"""Measures passenger against others, all in one run on free ports:

  1. the same Ruby application (12 octets, two processes) behind the same Apache:
     by mod_passenger, and by mod_proxy over a unix socket through us;
  2. a backend that costs nothing behind nginx (one worker), and behind us.

Load: wrk, one thread, 32 connections.  The rounds are interleaved, so that a busy moment of the
machine meets all.  CPU is the utime and stime of all processes of a role, from /proc.

  bench.py [--rounds N] [--seconds N] [--write]      --write renews the table in docs/performance.md"""
import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, 'test', 'integration'))

from lib import apache, client, passenger, procs  # noqa: E402
from lib.wait import wait_until  # noqa: E402

CONNECTIONS = 32
RUBY = 'run ->(_) { [200, { "Content-Type" => "text/plain", "Content-Length" => "12" }, ["Hello world\\n"]] }\n'
LOCATIONS = '/usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini'
MPM = '''
ServerLimit 2
StartServers 2
MinSpareThreads 32
MaxSpareThreads 128
KeepAlive On
MaxKeepAliveRequests 0
'''


class Path:
    """One way from wrk to an application."""

    def __init__(self, title, address, roles):
        self.title = title
        self.address = address
        self.roles = roles          # {name: function that gives pids}
        self.rounds = []
        self.pss_mb = {}

    def cpu(self):
        return {name: sum(procs.cpu_seconds(pid) for pid in pids()) for name, pids in self.roles.items()}

    def run(self, seconds):
        before = self.cpu()
        said = subprocess.run(['wrk', '-t1', '-c%d' % CONNECTIONS, '-d%ds' % seconds, '--latency',
                               'http://%s/' % self.address], stdout=subprocess.PIPE, text=True, check=True).stdout
        after = self.cpu()
        if 'Non-2xx' in said or 'Socket errors' in said:
            raise SystemExit('%s: failed requests\n%s' % (self.title, said))
        requests = int(re.search(r'(\d+) requests in', said).group(1))
        return {'rate': float(re.search(r'Requests/sec:\s*([\d.]+)', said).group(1)),
                'p50': milliseconds(re.search(r'(?m)^ +50% +(\S+)', said).group(1)),
                'p99': milliseconds(re.search(r'(?m)^ +99% +(\S+)', said).group(1)),
                'cpu': {name: (after[name] - before[name]) / requests * 1e6 for name in after}}

    def measure(self, seconds):
        self.run(1)
        self.rounds.append(self.run(seconds))
        self.pss_mb = {name: sum(procs.pss_kb(pid) for pid in pids()) / 1024 for name, pids in self.roles.items()}

    def median(self, key, role=None):
        return statistics.median(r[key] if role is None else r[key][role] for r in self.rounds)


def milliseconds(text):
    value, unit = re.match(r'([\d.]+)(us|ms|s)', text).groups()
    return float(value) * {'us': 0.001, 'ms': 1, 's': 1000}[unit]


class Bench:
    def __init__(self):
        self.box = passenger.Box('bench')
        self.stops = []
        self.public = self.box.path('public')
        os.mkdir(self.public)
        self.backend = self.box.path('backend')
        subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-o', self.backend, os.path.join(HERE, 'backend.c')], check=True)

    def close(self):
        for stop in reversed(self.stops):
            stop()
        self.box.finish(failed=False)

    def spawn(self, *command, **environment):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env=dict(os.environ, **environment))

        def stop():
            child.terminate()
            child.wait(10)
        self.stops.append(stop)
        return child

    # --- Ruby behind Apache ----------------------------------------------------

    def mod_passenger(self):
        """Apache with the original, its own instance."""
        root = self.box.rack('original', RUBY)
        os.makedirs(root + '/public')
        folder = self.box.path('original-apache')
        vhost = MPM + '''
PassengerRoot %s
PassengerRuby /usr/bin/ruby
PassengerInstanceRegistryDir %s
PassengerMaxPoolSize 2
PassengerMinInstances 2
PassengerDisableSecurityUpdateCheck on
PassengerDisableAnonymousTelemetry on
<VirtualHost 127.0.0.1:@PORT@>
    DocumentRoot %s/public
    PassengerAppRoot %s
    <Directory %s>
        Require all granted
    </Directory>
</VirtualHost>
''' % (LOCATIONS, self.box.work, root, root, root)
        web = apache.Apache(folder, vhost, modules=('passenger',))

        def stop():
            left = [procs.identity(pid) for pid in web.pids()]
            web.stop()
            wait_until(lambda: not any(procs.alive(i) for i in left), 60, 'mod_passenger to end')
        self.stops.append(stop)

        def named(*words):
            return [pid for pid in web.pids() if any(w in procs.read(pid, 'cmdline') for w in words)]
        wait_until(lambda: client.request(web.address, '/', timeout=60).status == 200, 60, 'mod_passenger')
        wait_until(lambda: len(named(b'Passenger RubyApp')) == 2, 60, 'two processes of mod_passenger')
        return Path('Apache, mod_passenger', web.address, {
            'apache': lambda: named(b'/usr/sbin/apache2'), 'middle': lambda: named(b'Passenger core', b'Passenger watchdog'),
            'application': lambda: named(b'Passenger RubyApp')})

    def ours_behind_apache(self):
        path = self.box.path('apache.sock')
        p = self.box.start(passenger={'max_pool_size': 2}, processes=2, listen=None,
                           apps={'main': {'root': self.box.rack('ours', RUBY), 'min_instances': 2}},
                           listeners={'apache': {'address': 'unix:' + path, 'mode': '0666'},
                                      'direct': {'address': '127.0.0.1:0'}}, instance='behind-apache')
        web = apache.Apache(self.box.path('our-apache'), MPM + apache.documented_vhost(TOP, path, self.public))
        self.stops.append(web.stop)
        workers = [x['pid'] for x in p.processes()]
        roles = {'middle': lambda: [p.pid, p.balancer_pid], 'application': lambda: workers}
        p.balancer_pid = p.balancer
        direct = [a for a in p.fronts if not a.startswith('unix:')][0]
        return (Path('Apache, mod_proxy, ours', web.address, dict({'apache': web.pids}, **roles)),
                Path('ours alone, Ruby', direct, roles))

    # --- a backend that costs nothing -----------------------------------------

    def nginx(self, kind):
        folder = self.box.path('nginx-' + kind)
        os.mkdir(folder)
        if kind == 'unix':
            where = folder + '/backend.sock'
            backend = self.spawn(self.backend, where)
            wait_until(lambda: os.path.exists(where), 5, 'the backend')
            os.chmod(where, 0o666)  # a root nginx has workers of another user
            upstream = 'unix:' + where
        else:
            port = apache.free_port()
            backend = self.spawn(self.backend, PORT=str(port))
            upstream = '127.0.0.1:%d' % port
        port = apache.free_port()
        config = self.box.write('nginx-%s/nginx.conf' % kind, '''
daemon off;
worker_processes 1;
pid %(folder)s/pid;
error_log %(folder)s/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    keepalive_requests 100000000;
    upstream backend { server %(upstream)s; keepalive 64; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:%(port)d;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }
    }
}
''' % {'folder': folder, 'upstream': upstream, 'port': port})
        server = self.spawn('nginx', '-c', config, '-p', folder)
        address = '127.0.0.1:%d' % port
        wait_until(lambda: answers(address), 10, 'nginx')
        return Path('nginx, backend (%s)' % kind, address, {
            'middle': lambda: [server.pid] + procs.descendants(server.pid), 'application': lambda: [backend.pid]})

    def ours(self):
        root = self.box.path('command')
        os.mkdir(root)
        shutil.copy(self.backend, root)
        p = self.box.start(app={'root': root, 'command': root + '/backend'}, instance='command')
        backend, balancer = p.processes()[0]['pid'], p.balancer
        return Path('ours, backend (tcp)', p.front, {'middle': lambda: [p.pid, balancer], 'application': lambda: [backend]})


def answers(address):
    try:
        return client.request(address, '/', timeout=2).status == 200
    except OSError:
        return False


def row(path):
    roles = [r for r in ('apache', 'middle', 'application') if r in path.roles]
    cpu = ' + '.join('%s %.1f' % (r, path.median('cpu', r)) for r in roles)
    pss = ' + '.join('%s %.1f' % (r, path.pss_mb[r]) for r in roles)
    return '| %s | %s | %.2f | %.2f | %s | %s |' % (
        path.title, format(round(path.median('rate')), ',').replace(',', ' '), path.median('p50'), path.median('p99'), cpu, pss)


def report(original, behind, alone, nginxes, ours, arguments):
    lines = ['| path | requests/s | p50 ms | p99 ms | CPU µs a request | PSS MB |', '|---|---|---|---|---|---|']
    lines += [row(p) for p in [original, behind, alone] + nginxes + [ours] if p is not None]
    lines.append('')
    if original is not None:
        lines.append('Requests/s behind the same Apache, ours ÷ mod_passenger: **%.2f**.' %
                     statistics.median(b['rate'] / o['rate'] for b, o in zip(behind.rounds, original.rounds)))
    for path in nginxes:
        lines.append('CPU a request, our spawner and balancer ÷ %s: **%.2f**.' % (
            path.title.replace(', backend', ' before a backend'),
            statistics.median(m['cpu']['middle'] / n['cpu']['middle'] for m, n in zip(ours.rounds, path.rounds))))
    lines += ['', '%s, %d cores; median of %d interleaved rounds of %d s; wrk -t1 -c%d; middle: watchdog and core of '
              'mod_passenger, spawner and balancer of ours, all of nginx.' % (
                  cpu_name(), os.cpu_count(), arguments.rounds, arguments.seconds, CONNECTIONS)]
    return '\n'.join(lines) + '\n'


def cpu_name():
    with open('/proc/cpuinfo') as f:
        match = re.search(r'^model name\s*:\s*(.*)$', f.read(), re.M)
    return match.group(1).strip() if match else platform.machine()


def write_table(text):
    path = os.path.join(TOP, 'docs', 'performance.md')
    with open(path) as f:
        page = f.read()
    new, count = re.subn(r'(?s)(<!-- bench -->\n).*(<!-- end of bench -->)', lambda m: m.group(1) + text + m.group(2), page)
    if count != 1:
        raise SystemExit('%s has no <!-- bench --> … <!-- end of bench -->' % path)
    with open(path, 'w') as f:
        f.write(new)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=4)
    parser.add_argument('--write', action='store_true')
    arguments = parser.parse_args()
    bench = Bench()
    try:
        original = bench.mod_passenger() if os.path.exists(LOCATIONS) else None
        if original is None:
            print('libapache2-mod-passenger is not installed: measured without it', file=sys.stderr)
        behind, alone = bench.ours_behind_apache()
        nginxes = [bench.nginx('unix'), bench.nginx('tcp')]
        ours = bench.ours()
        paths = [p for p in [original, behind, alone] + nginxes + [ours] if p is not None]
        for number in range(arguments.rounds):
            for path in paths:
                print('round %d of %d: %s' % (number + 1, arguments.rounds, path.title), file=sys.stderr)
                path.measure(arguments.seconds)
    finally:
        bench.close()
    text = report(original, behind, alone, nginxes, ours, arguments)
    print(text)
    if arguments.write:
        write_table(text)


if __name__ == '__main__':
    main()
