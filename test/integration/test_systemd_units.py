"""docs/passenger.service and .socket: what they say is what passenger does."""
import configparser
import os
import shlex
import shutil
import subprocess

from lib.passenger import BIN, TOP, ini_text


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=('#', ';'))
    parser.optionxform = str
    parser.read(os.path.join(TOP, 'docs', name))
    return parser


def test_service():
    service = unit('passenger.service')['Service']
    assert service['Type'] == 'notify'
    assert service['ExecReload'] == '/bin/kill -HUP $MAINPID'
    assert service['KillMode'] == 'mixed'
    assert service['RuntimeDirectory'] == 'passenger'
    # A stop takes at most shutdown_timeout (60 s); systemd must wait longer.
    assert int(service['TimeoutStopSec']) > 60


def test_socket_matches_the_vhost():
    socket = unit('passenger.socket')['Socket']
    assert socket['ListenStream'].startswith('/run/') and socket['SocketMode'] == '0660'
    assert socket['SocketGroup'] == 'www-data'


def test_commands_of_the_service_work(box):
    """The words after the program's name are ones that it takes."""
    ini = box.write('passenger.ini', ini_text({'listen': '127.0.0.1:0'}, {'main': {'root': box.rack()}}))
    service = unit('passenger.service')['Service']
    checked = shlex.split(service['ExecStartPre'].replace('/etc/passenger/passenger.ini', ini))
    assert checked[0] == '/usr/local/bin/passenger'
    assert box.run(*checked[1:]).returncode == 0
    served = shlex.split(service['ExecStart'].replace('/etc/passenger/passenger.ini', ini))
    assert box.run(*served[1:], '--check').returncode == 0


def test_systemd_has_no_complaint(box):
    """Where systemd-analyze is there."""
    if shutil.which('systemd-analyze') is None:
        return
    for name in ('passenger.service', 'passenger.socket'):
        with open(os.path.join(TOP, 'docs', name)) as f:
            box.write(name, f.read().replace('/usr/local/bin/passenger', BIN))
    done = subprocess.run(['systemd-analyze', 'verify', box.path('passenger.service'), box.path('passenger.socket')],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    ours = [line for line in done.stdout.splitlines() if 'passenger' in line]
    assert not ours, ours
