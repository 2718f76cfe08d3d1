"""What the checks share: which files there are, and C text without comments and strings."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOT_OURS = {'build', '.git', '.cache', '__pycache__', '.pytest_cache', 'node_modules'}
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*endings, under=''):
    """Paths relative to the top folder, sorted, of every file with one of these endings ('' for all)."""
    found = []
    for folder, names, plain in os.walk(os.path.join(TOP, under)):
        names[:] = sorted(name for name in names if name not in NOT_OURS)
        for name in plain:
            if name.endswith(endings) if endings else True:
                found.append(os.path.relpath(os.path.join(folder, name), TOP))
    return sorted(found)


def module_files(*endings):
    return files(*endings, under='modules')


def c_files():
    """The program's own C: passenger.c and the modules, not the tests."""
    own = [path for path in ['passenger.c'] if os.path.exists(os.path.join(TOP, path))]
    return own + module_files('.c', '.h')


def read(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as file:
        return file.read()


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def code(path):
    """The file's text with comments and literals blanked, line for line and column for column."""
    return TOKEN.sub(blank, read(path))


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1
