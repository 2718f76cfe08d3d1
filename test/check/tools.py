"""The checks that other programs do: clang-format, clang-tidy, shellcheck, the languages' own parsers, readelf, systemd."""
import configparser
import difflib
import hashlib
import json
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import source

PASSENGER = os.path.join(source.TOP, 'build', 'passenger')
BINARY_BYTES_MAX = 478_000
TIDY_CLEAN = os.path.join(source.TOP, 'build', 'tidy')  # what each file was like when it was found clean
LOCATION = re.compile(r'^(?:%s/)?([^:\n]+:\d+):(?:\d+:)? (?:error|warning): (.*)$' % re.escape(source.TOP), re.MULTILINE)


class Missing(Exception):
    """A tool that this check needs is not here."""


def run(*command, **options):
    if shutil.which(command[0]) is None:
        raise Missing(f'{command[0]} is not installed')
    return subprocess.run(command, cwd=source.TOP, text=True, errors='replace', stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False, **options)


def each(function, items):
    """Findings of function(item) for all items, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for findings in pool.map(lambda item: list(function(item)), items):
            yield from findings


def check_formatting():
    result = run('clang-format', '--dry-run', *source.c_files(), *source.files('.c', '.h', under='test'))
    places = {}
    for place, _ in LOCATION.findall(result.stdout):
        path, line = place.rsplit(':', 1)
        places.setdefault(path, []).append(line)
    for path, lines in places.items():
        yield f'{path}:{lines[0]}: formatting: clang-format wants it otherwise in {len(lines)} places (./build.sh fmt)'


def tidy_key(path, command, rules):
    """What the verdict on a file rests on: its text with all that it includes, comments and macros too, and the rules."""
    words = shlex.split(command)
    words[words.index('-c')] = '-E'
    result = run(*words, '-C', '-dD')
    return hashlib.sha256((rules + command + result.stdout).encode()).hexdigest() if result.returncode == 0 else None


def check_clang_tidy():
    """Of each file that was found clean it is remembered, so that only what has changed since is looked at again."""
    rules = run('clang-tidy', '--version').stdout + source.read('.clang-tidy')
    commands = {entry['file']: entry['command'] for entry in json.loads(source.read('compile_commands.json'))}
    os.makedirs(TIDY_CLEAN, exist_ok=True)

    def tidy(path):
        record = os.path.join(TIDY_CLEAN, path.replace('/', '-'))
        key = tidy_key(path, commands[path], rules)
        if key is not None and os.path.exists(record) and source.read(record) == key:
            return
        result = run('clang-tidy', '--quiet', '-p', '.', path)
        found = dict.fromkeys(LOCATION.findall(result.stdout))
        for place, message in found:
            yield f'{place}: clang-tidy: {message}'
        if result.returncode and not found:
            yield f'{path}:1: clang-tidy: exit {result.returncode}: {result.stdout.strip()[-500:]}'
        if key is not None and result.returncode == 0 and not found:
            with open(record, 'w', encoding='utf-8') as file:
                file.write(key)
    yield from dict.fromkeys(each(tidy, [path for path in source.c_files() if path.endswith('.c')]))


def check_shell():
    scripts = ['build.sh', '.ci/run'] + source.files('.sh', under='test')
    result = run('shellcheck', '--format=gcc', *scripts)
    for line in result.stdout.splitlines():
        yield re.sub(r'^([^:]+:\d+):\d+: \w+: ', r'\1: shellcheck: ', line)


def check_python():
    with tempfile.TemporaryDirectory() as folder:
        for path in source.files('.py'):
            try:
                py_compile.compile(os.path.join(source.TOP, path), cfile=os.path.join(folder, 'out.pyc'), doraise=True)
            except py_compile.PyCompileError as error:
                line = getattr(error.exc_value, 'lineno', None) or 1
                yield f'{path}:{line}: python: {error.exc_value}'


def check_ruby():
    def parse(path):
        result = run('ruby', '-wc', path)
        for line in result.stdout.splitlines():
            if line.strip() != 'Syntax OK':
                yield f'ruby: {line}' if not line.startswith(path) else re.sub(r'^([^:]+:\d+): ', r'\1: ruby: ', line)
    yield from each(parse, source.module_files('.rb') + source.files('config.ru', '.rb', under='test/sample'))


def check_node():
    for path in source.module_files('.js'):
        result = run('node', '--check', path)
        if result.returncode:
            error = re.search(r'^\w*Error: .*', result.stdout, re.MULTILINE)
            yield f'{path}:1: node: {error.group() if error else result.stdout.strip()[-500:]}'


def check_binary():
    """What a machine that runs it counts on, whatever the tools here made of it."""
    headers = run('readelf', '-hldW', PASSENGER).stdout
    size = os.path.getsize(PASSENGER)
    wanted = {
        'position independent (type DYN)': re.search(r'Type: *DYN', headers),
        'static (no INTERP segment, no NEEDED library)': not re.search(r'INTERP|NEEDED', headers),
        'RELRO': 'GNU_RELRO' in headers,
        'all symbols bound at start (NOW)': re.search(r'FLAGS_1.*NOW', headers),
        'stack not executable': re.search(r'GNU_STACK.* RW ', headers),
        'no relocation of code (TEXTREL)': 'TEXTREL' not in headers,
        f'under {BINARY_BYTES_MAX} bytes (it has {size})': size < BINARY_BYTES_MAX,
    }
    for what, holds in wanted.items():
        if not holds:
            yield f'build/passenger:1: binary: not so: {what}'


def generated(path, *arguments):
    """The document must be to the byte what the tables in the program print."""
    result = subprocess.run([PASSENGER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=10,
                            stdin=subprocess.DEVNULL, check=False)
    command = 'build/passenger ' + ' '.join(arguments)
    if result.returncode:
        yield f'{path}:1: tables: {command} failed: {result.stderr.strip()}'
        return
    if not os.path.exists(os.path.join(source.TOP, path)):
        yield f'{path}:1: tables: missing; {command} > {path}'
        return
    have, want = source.read(path).splitlines(), result.stdout.splitlines()
    for tag, first, _, start, end in difflib.SequenceMatcher(None, have, want, autojunk=False).get_opcodes():
        if tag != 'equal':
            expected = want[start] if end > start else '(nothing)'
            yield f'{path}:{first + 1}: tables: not as the tables say; expected: {expected} ({command} > {path})'


def check_ini():
    yield from generated('passenger.ini', 'options', '--ini')


def check_options():
    yield from generated('docs/options.md', 'options', '--markdown')


def unit_file(path):
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=('#', ';'))
    parser.optionxform = str
    parser.read_string(source.read(path))
    return parser


def check_systemd():
    service, socket = 'docs/passenger.service', 'docs/passenger.socket'
    try:
        unit, listen = unit_file(service), unit_file(socket)
    except configparser.Error as error:
        yield f'{service}:1: systemd: {error}'
        return
    for name, value in {'Type': 'notify', 'KillMode': 'mixed', 'ExecReload': '/bin/kill -HUP $MAINPID'}.items():
        if unit.get('Service', name, fallback=None) != value:
            yield f'{service}:1: systemd: {name}={value} is missing'
    if not listen.has_option('Socket', 'ListenStream'):
        yield f'{socket}:1: systemd: ListenStream is missing'
    if shutil.which('systemd-analyze') is None:
        return
    program = unit.get('Service', 'ExecStart').split()[0]
    with tempfile.TemporaryDirectory() as folder:
        for path in (service, socket):
            with open(os.path.join(folder, os.path.basename(path)), 'w', encoding='utf-8') as copy:
                copy.write(source.read(path).replace(program, PASSENGER))
        names = [os.path.join(folder, os.path.basename(path)) for path in (service, socket)]
        result = run('systemd-analyze', 'verify', '--man=no', *names)
        for line in result.stdout.splitlines():
            if 'passenger.' in line:
                yield f'{service}:1: systemd: {line}'
