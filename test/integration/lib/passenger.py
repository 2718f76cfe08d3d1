"""Starting `passenger` the way a person does, looking at it from outside, and an audit when it ends."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

from lib import client, procs
from lib.wait import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BIN = os.path.abspath(os.environ.get('PASSENGER_BIN', os.path.join(TOP, 'build', 'passenger')))
COMMAND_APPS = os.path.join(TOP, 'test', 'apps', 'command')
PYTHON = '/usr/bin/python3'
PASSWORD_HEADER = 'X-Passenger-Connect-Password'
PASSWORD_PATTERN = r'^[A-Za-z0-9]{16}$'
KINDS = ('ruby', 'command')

# Lines that no log of a healthy passenger holds.
ALARMS = re.compile(r'[Aa]ssert|LintError|Sanitizer|runtime error:|^\[ C |panic|stack smashing|double free')


class Door:
    def __init__(self, process):
        self.pid = process['pid']
        self.state = process['state']
        self.url = process['url']
        self.password = process['password']
        self.address = self.url.replace('http://', '')

    def key(self):
        return (self.pid, self.url, self.password)

    def headers(self, extra=()):
        return [(PASSWORD_HEADER, self.password)] + list(extra.items() if isinstance(extra, dict) else extra)

    def connect(self, timeout=10):
        return client.Connection(self.address, timeout)

    def request(self, path='/hello', method='GET', headers=(), body=None, **how):
        return client.request(self.address, path, method, self.headers(headers), body, **how)


def ini_text(passenger=None, apps=None, listeners=None, runtimes=None):
    """{option: value or list of values} for [passenger], and {name: {…}} for the other sections."""
    out = []

    def section(title, options):
        out.append('[%s]' % title)
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                out.append('%s = %s' % (name, one))
        out.append('')

    section('passenger', passenger or {})
    for name, options in (listeners or {}).items():
        section('listener ' + name, options)
    for name, options in (runtimes or {}).items():
        section('runtime ' + name, options)
    for name, options in (apps or {}).items():
        section('app ' + name, options)
    return '\n'.join(out)


def is_python(app):
    """Does this [app] section describe an application of Python that is there?"""
    files = ('passenger_wsgi.py', 'wsgi.py', 'asgi.py')
    return 'python' in app or app.get('type') == 'python' or any(os.path.exists(os.path.join(app.get('root', ''), f)) for f in files)


class Gate:
    """Holds requests in an application until the test opens it (test/apps/command/origin.py, ?gate=); the box opens it at
    the end of the test."""

    def __init__(self, path):
        self.path = path

    def at(self, path='/sleep'):
        """The path of a request that waits here."""
        return '%s%sgate=%s' % (path, '&' if '?' in path else '?', self.path)

    def inside(self):
        """How many have come here, where the application tells (test/apps/*/sleep)."""
        return os.path.getsize(self.path + '.inside') if os.path.exists(self.path + '.inside') else 0

    def open(self):
        with open(self.path, 'w'):
            pass


class Box:
    """A folder of its own for one test: applications, ini, instance directory, log.  Everybody on the
    machine may enter it, as applications run as other users when the tests run as root."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix='passenger-test-')
        os.chmod(self.dir, 0o755)
        self.name = name
        self.instances = []
        self.others = []
        self.gates = []
        self.keep = False
        self.work = self.path('work')
        os.mkdir(self.work)
        os.chmod(self.work, 0o777)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def gate(self):
        self.gates.append(Gate(os.path.join(self.work, 'gate%d' % len(self.gates))))
        return self.gates[-1]

    # --- applications -------------------------------------------------------

    def rack(self, name='ruby', text=None, **files):
        """A Ruby application's folder: probe.ru, or this config.ru."""
        if text is None:
            with open(os.path.join(HERE, 'probe.ru')) as f:
                text = f.read()
        # Its complaints are alarms. What breaks Rack's rules on purpose is written to config.ru by the test itself.
        text = 'use Rack::Lint; use Rack::Head; ' + text
        self.write(name + '/config.ru', text)
        for file, content in files.items():
            self.write('%s/%s' % (name, file), content)
        return self.path(name)

    def program(self, file='origin.py', name=None):
        """A command application's folder with one of test/apps/command in it; (root, command)."""
        root = self.path(name or file.split('.')[0])
        os.makedirs(root, exist_ok=True)
        os.chmod(root, 0o755)
        shutil.copy(os.path.join(COMMAND_APPS, file), root)
        return root, '%s %s' % (PYTHON if file.endswith('.py') else '/bin/sh', os.path.join(root, file))

    def folder(self, language, behaviour, name=None):
        """A copy of test/apps/LANGUAGE/BEHAVIOUR; of Ruby within Rack::Lint."""
        root = self.path(name or behaviour)
        shutil.copytree(os.path.join(TOP, 'test', 'apps', language, behaviour), root)
        if language == 'ruby' and not behaviour.startswith('boot_'):
            with open(root + '/config.ru') as f:
                text = f.read()
            with open(root + '/config.ru', 'w') as f:
                f.write('use Rack::Lint; ' + text)
        return root

    def app(self, kind, name=None, **options):
        """The [app] section of the probe application in this kind."""
        one_at_a_time = options.pop('one_at_a_time', False)
        limit = 'force_max_concurrent_requests_per_process'
        if kind == 'ruby':
            section = {'root': self.rack(name or 'ruby'), 'type': 'ruby'}
        elif kind == 'node':
            section = {'root': self.folder('node', 'probe', name or 'node'), 'type': 'node'}
        elif kind in ('wsgi', 'asgi'):
            section = {'root': self.folder('python', {'wsgi': 'probe', 'asgi': 'asgi_probe'}[kind], name or kind),
                       'type': 'python', 'python': PYTHON}
        elif kind == 'c':
            root, _ = self.program('probe.c', name or kind)
            subprocess.run(['gcc', '-pthread', '-o', root + '/probe', root + '/probe.c'], check=True)
            section, limit = {'root': root, 'type': 'command', 'command': root + '/probe'}, 'concurrency'
        else:
            root, command = self.program(name=name or 'command')
            section, limit = {'root': root, 'type': 'command', 'command': command}, 'concurrency'
        if one_at_a_time and kind not in ('ruby', 'wsgi'):
            section[limit] = 1
        section.update(options)
        return section

    # --- passenger ----------------------------------------------------------

    def start(self, config=None, *, passenger=None, apps=None, listeners=None, runtimes=None, app=None, app_dir=None,
              args=(), env=None, processes=None, ready=True, listen='127.0.0.1:0', instance='instance',
              pass_fds=(), preexec=None, instance_dir=True, launcher=()):
        """passenger serve.  Either config (ini text), or sections, or app (one section), or app_dir.
        processes: how many must be there before this returns (default: one an application).
        launcher: what comes before the command, for who wants to do something between fork and exec."""
        number = len(self.instances)
        command = [BIN, 'serve']
        if app is not None:
            apps = {'main': app}
        if config is None and apps is not None:
            options = {} if listen is None else {'listen': listen}
            if any(is_python(app) for app in apps.values()):
                # Applications of Python run within validators, whose complaints are alarms.
                shutil.copytree(os.path.join(HERE, 'validate'), self.path('validate'), dirs_exist_ok=True)
                options['env.PYTHONPATH'] = self.path('validate')
            options.update(passenger or {})
            config = ini_text(options, apps, listeners, runtimes)
        if config is not None:
            command += ['--config', self.write('passenger%s.ini' % (number or ''), config)]
        elif listen and app_dir is not None:
            command += ['--listen', listen]
        if instance_dir:
            command += ['--instance-dir', self.path(instance)]
        command += list(args)
        if app_dir is not None:
            command.append(app_dir)
        p = Passenger(self, list(launcher) + command, env, number, self.path(instance), pass_fds, preexec)
        self.instances.append(p)
        if ready:
            p.wait_ready(len(apps) if processes is None and apps else 1 if processes is None else processes)
        return p

    def serve(self, kind, processes=1, passenger=None, **options):
        """The usual case: the probe application in this kind, so many processes of it, on 127.0.0.1:0."""
        options.setdefault('min_instances', processes)
        sections = dict(passenger or {})
        sections.setdefault('max_pool_size', processes)
        return self.start(passenger=sections, app=self.app(kind, **options), processes=processes)

    def run(self, *arguments, timeout=120, **how):
        binary = BIN
        if 'user' in how:  # who may not enter the folder that this one lies in
            binary = shutil.copy(BIN, self.path('passenger'))
        return subprocess.run([binary] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout, cwd=self.dir, **how)

    # --- the end ------------------------------------------------------------

    def finish(self, failed):
        """Stops everything; every complaint is a failure of the test."""
        complaints = []
        for gate in self.gates:
            gate.open()
        # The newest first: it may have been given a port that an older one, gone before it, had.
        for p in reversed(self.instances):
            complaints += p.audit()
        for process in self.others:
            if process.poll() is None:
                process.kill()
                process.wait()
        left = wait_gone(lambda: procs.touching(self.dir), 15)
        if left:
            complaints.append('processes left: %r' % left)
            for pid, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if failed or complaints or self.keep:
            for p in self.instances:
                sys.stdout.write('--- log of %s\n%s\n' % (' '.join(p.command), p.log()[-6000:]))
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not complaints, '; '.join(complaints)


def wait_gone(look, seconds):
    """What is still there after the time; as a rule nothing, and then it does not wait."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


class Passenger:
    def __init__(self, box, command, env, number, instance_dir, pass_fds, preexec):
        self.box = box
        self.command = command
        self.instance_dir = instance_dir
        self.log_path = box.path('log%s' % (number or ''))
        self.exit_codes = (0,)
        self.allowed = []
        self.seen = {}
        self.looked = set()
        self.sockets = set()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(('LISTEN_', 'NOTIFY_', 'PASSENGER_'))}
        environment['TMPDIR'] = box.work
        environment.update(env or {})
        self.log_file = open(self.log_path, 'ab')
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
                                      env=environment, cwd=box.dir, pass_fds=pass_fds, preexec_fn=preexec,
                                      close_fds=True)
        self.pid = self.child.pid

    # --- looking ------------------------------------------------------------

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def status_command(self, *arguments, **how):
        return self.box.run('status', '--instance-dir', self.instance_dir, *arguments, **how)

    def status(self, verbose=True):
        """The parsed JSON; None when passenger does not answer (yet)."""
        done = self.status_command('--format', 'json', *(['--verbose'] if verbose else []))
        if done.returncode != 0:
            return None
        status = json.loads(done.stdout)
        for process in self.processes(status):
            self.seen[process['pid']] = procs.identity(process['pid'])
            if process.get('url'):
                self.note_socket(process['url'])
        return status

    def note_socket(self, address):
        """Keeps what listens there: later the port may be somebody else's.  (/proc/net/tcp is long where there was a load.)"""
        if address not in self.looked:
            self.looked.add(address)
            self.sockets |= set(procs.descriptors(self.pid).values())

    def text(self, *arguments):
        done = self.status_command(*arguments)
        assert done.returncode == 0, done
        return done.stdout

    @staticmethod
    def groups(status):
        return status['applications']

    def processes(self, status=None, app=None):
        """Living processes of all groups (or this app's), oldest first."""
        status = status or self.status()
        return [process for group in self.groups(status) if app in (None, group['app_name'])
                for process in group['processes']]

    def process(self, pid, status=None):
        found = [p for p in self.processes(status) if p['pid'] == pid]
        return found[0] if found else None

    def group(self, app='main', status=None):
        return [g for g in self.groups(status or self.status()) if g['app_name'] == app][0]

    def doors(self, app=None):
        return [Door(p) for p in self.processes(app=app) if p.get('url')]

    @property
    def fronts(self):
        return wait_until(lambda: (self.status() or {}).get('instance', {}).get('listeners'), 10, 'listeners in status')

    @property
    def front(self):
        if not hasattr(self, '_front'):
            self._front = self.fronts[0]
            for address in self.fronts:
                if not address.startswith('unix:'):
                    self.note_socket(address)
        return self._front

    @property
    def balancer(self):
        return (self.status() or {}).get('balancer', {}).get('pid')

    def wait_processes(self, count, seconds=30, app=None):
        def enough():
            status = self.status()
            if status is None:
                assert self.child.poll() is None, 'passenger ended with %r\n%s' % (self.child.returncode, self.log())
                return False
            ready = [p for p in self.processes(status, app) if p['state'] == 'enabled']
            return len(ready) >= count and status
        return wait_until(enough, seconds, '%d processes; log:\n%s' % (count, self.log()[-1500:]), every=0.05)

    def wait_ready(self, processes):
        self.wait_processes(processes)
        return self.front

    def rolled(self, count, app='main'):
        """No restart runs, and nobody is there but so many processes in rotation."""
        group = self.group(app)
        states = [process['state'] for process in group['processes']]
        return group['restart'] == 'none' and states == ['enabled'] * count

    def wait_log(self, pattern, seconds=10):
        return wait_until(lambda: re.search(pattern, self.log(), re.M), seconds, 'log line %r' % pattern)

    def wait_idle(self, seconds=10):
        return wait_until(lambda: all(p['sessions'] == 0 for p in self.processes()), seconds, 'no sessions')

    def get(self, path='/hello', method='GET', headers=(), body=None, **how):
        return client.request(self.front, path, method, headers, body, **how)

    def connect(self, timeout=10):
        return client.Connection(self.front, timeout)

    def hold(self, count, path):
        """So many clients that wait for a slow answer: their connections."""
        out = []
        for _ in range(count):
            connection = self.connect(30)
            connection.start('GET', path)
            out.append(connection)
        return out

    # --- ending -------------------------------------------------------------

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, seconds=60):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError('passenger did not end within %g s; log:\n%s' % (seconds, self.log()[-3000:]))

    def stop(self):
        if self.child.poll() is None:
            self.remember()
            self.child.terminate()
        return self.wait_exit()

    def remember(self):
        """Who must be gone when passenger is."""
        for pid in procs.descendants(self.pid):
            self.seen[pid] = procs.identity(pid)

    def allow(self, pattern):
        """This test provokes such alarming lines."""
        self.allowed.append(re.compile(pattern))

    def audit(self):
        out = []
        if self.child.poll() is None:
            self.remember()
            self.child.terminate()
            try:
                self.child.wait(60)
            except subprocess.TimeoutExpired:
                out.append('passenger did not end on SIGTERM')
                self.child.kill()
                self.child.wait()
        if self.exit_codes and self.child.returncode not in self.exit_codes:
            out.append('exit status %d, expected %r' % (self.child.returncode, self.exit_codes))
        left = wait_gone(lambda: [i[0] for i in self.seen.values() if procs.alive(i)], 15)
        if left:
            out.append('its processes live on: %r' % [(p, procs.read(p, 'cmdline')) for p in left])
        listening = wait_gone(lambda: [port for port, socket in procs.listening() if socket in self.sockets], 5)
        if listening:
            out.append('ports still listened on: %r' % listening)
        if self.exit_codes == (0,):
            out += self.sockets_left()
        for line in self.log().splitlines():
            if ALARMS.search(line) and not any(a.search(line) for a in self.allowed):
                out.append('log: ' + line)
        self.log_file.close()
        return out

    def sockets_left(self):
        out = []
        for folder, _, files in os.walk(self.instance_dir):
            for name in files:
                path = os.path.join(folder, name)
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    out.append('socket left: ' + path)
        return out
