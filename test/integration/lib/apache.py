"""A real Apache of its own for one test: event MPM, own folder, unprivileged port."""
import os
import re
import shutil
import socket
import subprocess

from lib import procs
from lib.client import connect
from lib.wait import wait_until

MODULE_FOLDER = '/usr/lib/apache2/modules'
MODULES = ('mpm_event', 'authz_core', 'unixd', 'mime', 'dir', 'headers', 'rewrite', 'proxy', 'proxy_http', 'alias',
           'authn_core', 'auth_basic', 'authn_file', 'authz_user')
MAIN = '''
ServerRoot "@DIR@"
ServerName localhost
PidFile "@DIR@/apache.pid"
DefaultRuntimeDir "@DIR@"
Mutex file:@DIR@ default
ErrorLog "@DIR@/error.log"
LogLevel warn
Listen 127.0.0.1:@PORT@
@MODULES@
TypesConfig /etc/mime.types
@USER@
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
Timeout 120
'''


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as s:
        return s.getsockname()[1]


def available():
    return shutil.which('apache2', path='/usr/sbin:/usr/bin:' + os.environ.get('PATH', '')) is not None \
        and os.path.exists(MODULE_FOLDER + '/mod_proxy_http.so')


def listener(path):
    """The options of a [listener] whose socket is there, and Apache may connect to."""
    return {'address': 'unix:' + path, **({'group': 'www-data'} if os.getuid() == 0 else {})}


class Apache:
    """vhost: configuration text that holds @PORT@ where its port belongs."""

    def __init__(self, folder, vhost, modules=()):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777 if os.getuid() == 0 else 0o755)
        self.folder = folder
        self.vhost = vhost
        self.loads = ''
        for name in MODULES + tuple(modules):
            # A module that is built in has no file.
            path = '%s/mod_%s.so' % (MODULE_FOLDER, name)
            if os.path.exists(path):
                self.loads += 'LoadModule %s_module %s\n' % (name, path)
        self.start()
        wait_until(self.answers, 15, 'Apache')

    def start(self):
        self.port = free_port()
        user = 'User www-data\nGroup www-data\n' if os.getuid() == 0 else ''
        text = (MAIN + self.vhost).replace('@DIR@', self.folder).replace('@PORT@', str(self.port)).replace('@MODULES@', self.loads)
        self.config = os.path.join(self.folder, 'apache.conf')
        with open(self.config, 'w') as f:
            f.write(text.replace('@USER@', user))
        with open(os.path.join(self.folder, 'stderr'), 'wb') as stderr:
            self.child = subprocess.Popen(['/usr/sbin/apache2', '-f', self.config, '-DFOREGROUND'],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        self.address = '127.0.0.1:%d' % self.port

    def answers(self):
        if self.child.poll() is not None:
            # Somebody else may have been given the port since it was found free.
            assert 'Address already in use' in self.log(), 'Apache ended: ' + self.log()
            self.start()
            return False
        try:
            connect(self.address, 2).close()
            return True
        except ConnectionRefusedError:
            return False

    def log(self):
        out = ''
        for name in ('stderr', 'error.log'):
            try:
                with open(os.path.join(self.folder, name), errors='replace') as f:
                    out += f.read()
            except FileNotFoundError:
                pass
        return out

    def pids(self):
        return [self.child.pid] + procs.descendants(self.child.pid)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def documented_vhost(top, socket_path, public):
    """docs/apache.conf to the letter, with this test's port and paths."""
    with open(os.path.join(top, 'docs', 'apache.conf')) as f:
        text = f.read()
    changed = text.replace('<VirtualHost *:80>', '<VirtualHost 127.0.0.1:@PORT@>') \
        .replace('/run/passenger/apache.sock', socket_path).replace('/srv/www/public', public)
    assert re.search(r'@PORT@', changed) and socket_path in changed and public in changed
    return changed
