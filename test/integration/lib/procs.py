"""What /proc says: who lives, who descends from whom, who listens, what it costs."""
import os
import re


def stat_of(pid):
    """Fields of /proc/PID/stat after the name; None when it is gone."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def identity(pid):
    """(pid, start time): a reused pid is another process.  None: gone or a zombie."""
    fields = stat_of(pid)
    return None if fields is None or fields[0] in 'ZX' else (pid, fields[19])


def alive(ident):
    return ident is not None and identity(ident[0]) == ident


def pids():
    return [int(name) for name in os.listdir('/proc') if name.isdigit()]


def descendants(root):
    children = {}
    for pid in pids():
        fields = stat_of(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    out, todo = [], [root]
    while todo:
        for child in children.get(todo.pop(), ()):
            out.append(child)
            todo.append(child)
    return out


def parent(pid):
    return int(stat_of(pid)[1])


def read(pid, name):
    try:
        with open('/proc/%d/%s' % (pid, name), 'rb') as f:
            return f.read()
    except OSError:
        return b''


def status_field(pid, name):
    match = re.search(r'^%s:\s*(.*)$' % name, read(pid, 'status').decode('latin-1'), re.M)
    return match.group(1) if match else None


def uids(pid):
    return [int(x) for x in status_field(pid, 'Uid').split()]


def pss_kb(pid):
    match = re.search(rb'^Pss:\s*(\d+)', read(pid, 'smaps_rollup'), re.M)
    return int(match.group(1)) if match else 0


def rss_kb(pid):
    value = status_field(pid, 'VmRSS')
    return int(value.split()[0]) if value else 0


def cpu_seconds(pid):
    fields = stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK') if fields else 0.0


def descriptors(pid):
    """{fd: target}"""
    out = {}
    try:
        for fd in os.listdir('/proc/%d/fd' % pid):
            try:
                out[int(fd)] = os.readlink('/proc/%d/fd/%s' % (pid, fd))
            except OSError:
                pass
    except OSError:
        pass
    return out


def listening():
    """{(port, 'socket:[INODE]')} of what somebody listens on by TCP in this network namespace."""
    out = set()
    for name in ('tcp', 'tcp6'):
        try:
            with open('/proc/net/' + name) as f:
                for fields in (line.split() for line in f if ' 0A ' in line):
                    if fields[3] == '0A':
                        out.add((int(fields[1].rsplit(':', 1)[1], 16), 'socket:[%s]' % fields[9]))
        except OSError:
            pass
    return out


def unix_paths():
    with open('/proc/net/unix') as f:
        return [line.split(None, 7)[7].strip() for line in list(f)[1:] if len(line.split(None, 7)) > 7]


def touching(directory):
    """Processes that work in this folder or were started from it."""
    out = []
    for pid in pids():
        if pid == os.getpid():
            continue
        try:
            cwd = os.readlink('/proc/%d/cwd' % pid)
        except OSError:
            continue
        mine = cwd == directory or cwd.startswith(directory + '/')
        if mine or directory.encode() in read(pid, 'environ') or directory.encode() in read(pid, 'cmdline'):
            if identity(pid):
                out.append((pid, read(pid, 'cmdline').replace(b'\0', b' ').decode('latin-1')))
    return out


def cwd(pid):
    try:
        return os.readlink('/proc/%d/cwd' % pid)
    except OSError:
        return None
