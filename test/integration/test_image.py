"""The Dockerfile's two images, built and run without an engine: debootstrap makes the base image, buildah builds,
podman runs.  Only here does a stand-in carry the base image's public name."""
import json
import os
import shutil
import subprocess
import uuid

import pytest

from lib import apache, passenger
from lib.wait import wait_until

BASE = 'docker.io/library/debian:bookworm-slim'
LIMITS = ['--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=20000:20000']
TOOLS = ('podman', 'buildah', 'debootstrap', 'runc')

pytestmark = [pytest.mark.full, pytest.mark.root]


def call(*words, timeout=600, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, **more)
    assert done.returncode == 0, '%s\n%s' % (' '.join(words), done.stdout[-4000:])
    return done.stdout


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, 'install %s' % ' '.join(missing)
    root = tmp_path_factory.mktemp('bookworm') / 'root'
    tag = 'passenger-test-' + uuid.uuid4().hex[:8]
    mine = subprocess.run(['podman', 'image', 'exists', BASE]).returncode != 0
    if mine:
        call('debootstrap', '--variant=minbase', '--include=ca-certificates', 'bookworm', str(root))
        shutil.rmtree(root / 'etc/apt')
        shutil.copytree('/etc/apt', root / 'etc/apt', symlinks=True)  # the same sources as this machine's
        tar = subprocess.Popen(['tar', '-C', str(root), '-c', '.'], stdout=subprocess.PIPE)
        call('podman', 'import', '-', BASE, stdin=tar.stdout)
        tar.stdout.close()
        assert tar.wait() == 0
        shutil.rmtree(root)
    names = {'scratch': tag + ':scratch', 'ruby': tag + ':ruby'}
    try:
        for name, target in (('scratch', []), ('ruby', ['--target', 'ruby'])):
            call('buildah', 'bud', '--isolation=chroot', '--network=host', '--pull=never', '--layers', *target, '-t',
                 names[name], passenger.TOP, timeout=900)
        yield names
    finally:
        for name in names.values():
            subprocess.run(['podman', 'rmi', '-f', name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if mine:
            subprocess.run(['podman', 'rmi', '-f', BASE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Container:
    def __init__(self, image, *arguments):
        self.name = 'passenger-test-' + uuid.uuid4().hex[:8]
        call('podman', '--runtime', 'runc', 'run', '-d', '--network=host', '--name', self.name, *LIMITS, image, *arguments)

    def execute(self, *words):
        return subprocess.run(['podman', '--runtime', 'runc', 'exec', self.name, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30)

    def status(self, binary):
        done = self.execute(binary, 'status', '--verbose', '--format', 'json')
        return json.loads(done.stdout) if done.returncode == 0 else None

    def remove(self):
        subprocess.run(['podman', 'rm', '-f', '-t', '5', self.name], stdout=subprocess.DEVNULL)


@pytest.fixture
def container(images):
    running = []

    def start(image, *arguments):
        running.append(Container(images[image], *arguments))
        return running[-1]
    yield start
    for one in running:
        one.remove()


def test_the_scratch_image_holds_the_binary_alone(images):
    where = call('buildah', 'from', '--pull=never', images['scratch']).strip()
    try:
        root = call('buildah', 'mount', where).strip()
        files = sorted(os.path.relpath(os.path.join(folder, name), root)
                       for folder, _, names in os.walk(root) for name in names)
        assert files == ['passenger']
        said = call('chroot', root, '/passenger', 'version')
        assert said.startswith('passenger ')
    finally:
        call('buildah', 'rm', where)


def test_the_scratch_image_answers(images):
    said = call('podman', '--runtime', 'runc', 'run', '--rm', '--network=host', *LIMITS, images['scratch'], '--help')
    assert 'usage' in said.lower()


def test_the_ruby_image_serves_as_pid_1(container):
    port = apache.free_port()
    c = container('ruby', '--listen', '127.0.0.1:%d' % port, '/srv/app')
    wait_until(lambda: c.status('passenger'), 30, 'status inside the container')
    wait_until(lambda: c.status('passenger')['applications'][0]['processes'], 30, 'a process')
    status = c.status('passenger')
    process = status['applications'][0]['processes'][0]
    said = call('curl', '-s', 'http://127.0.0.1:%d/' % port)
    assert said.startswith('Process: %d' % process['pid'])
    direct = call('curl', '-s', '-H', 'X-Passenger-Connect-Password: ' + process['password'], process['url'])
    assert direct.startswith('Process: %d' % process['pid'])
    assert c.execute('cat', '/proc/1/comm').stdout.strip() == 'passenger'
    # an orphan inside the container is reaped by PID 1
    c.execute('sh', '-c', '(sleep 0.2 &) ; true')
    wait_until(lambda: 'Z' not in c.execute('sh', '-c', 'cat /proc/[0-9]*/stat | cut -d" " -f3').stdout, 10, 'no zombie')


def test_the_ruby_image_stops_on_sigterm(container):
    port = apache.free_port()
    c = container('ruby', '--listen', '127.0.0.1:%d' % port, '/srv/app')
    wait_until(lambda: c.status('passenger'), 30, 'status inside the container')
    call('podman', 'stop', '-t', '20', c.name)
    assert call('podman', 'inspect', '-f', '{{.State.ExitCode}}', c.name).strip() == '0'
