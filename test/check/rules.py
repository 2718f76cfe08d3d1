"""The rules that need no tool: the ORDER of modules, calls that are banned, lengths, words, links.

Every check yields findings, one line each: "file:line: rule: what is wrong".
"""
import os
import re

import source

FUNCTION_LINES_MAX = 100
FILE_LINES_MAX = 600
WINGS = ({'worker', 'spawner'}, {'pool', 'traffic', 'balancer'})
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)

BANNED = {
    'strcpy': 'str_copy_z', 'stpcpy': 'str_copy_z', 'strncpy': 'str_cut_z', 'strcat': 'struct buf', 'strncat': 'struct buf',
    'sprintf': 'snprintf or str_format', 'vsprintf': 'vsnprintf', 'strtok': 'str_split', 'strtok_r': 'str_split',
    'atoi': 'str_to_u64', 'atol': 'str_to_u64', 'atoll': 'str_to_u64', 'atof': 'strtod', 'gets': 'fgets',
    'alloca': 'a bounded array',
    'system': 'the spawner', 'popen': 'the spawner', 'rand': 'base/random', 'srand': 'base/random', 'random': 'base/random',
    'tmpnam': 'mkostemp', 'tempnam': 'mkostemp', 'mktemp': 'mkostemp', 'gethostbyname': 'a literal address',
    'setjmp': 'a return value', 'longjmp': 'a return value',
}
BANNED_CALL = re.compile(r'(?<![\w.>])(%s)\s*\(' % '|'.join(BANNED))
# Written so that this file does not find itself.
WORDS = re.compile(r'\b(?:TO[D]O|FIX[M]E|X[X]X)\b|/wor[k]/|/roo[t]/|^(?:<{7}|>{7}) ', re.MULTILINE)
TEXT_ENDINGS = ('.c', '.h', '.md', '.py', '.rb', '.js', '.ru', '.sh', '.ini', '.html', '.service', '.socket', '.conf', 'run',
                'Dockerfile', 'ORDER')
LINK = re.compile(r'\[[^\]\n]*\]\(([^)\s]+)\)')


def order():
    """modules/ORDER as {module: place}, and what is wrong with it."""
    places, findings = {}, []
    for number, line in enumerate(source.read('modules/ORDER').split('\n'), 1):
        module = line.split('#')[0].strip()
        if not module:
            continue
        if module in places:
            findings.append(f'modules/ORDER:{number}: order: {module} stands here twice')
        if not any(os.path.exists(os.path.join(source.TOP, f'modules/{module}{ending}')) for ending in ('.c', '.h')):
            findings.append(f'modules/ORDER:{number}: order: there is no modules/{module}.c or .h')
        places.setdefault(module, number)
    return places, findings


def wing_of(module):
    room = module.split('/')[0]
    return next((number for number, wing in enumerate(WINGS) if room in wing), None)


def include_fault(places, module, wanted):
    """Why `module` may not include `wanted` ("base/str.h"); None when it may."""
    name, ending = os.path.splitext(wanted)
    if ending != '.h' or name not in places:
        return f'"{wanted}" is not the header of a module in modules/ORDER'
    if name == module:
        return None
    if places[name] > places[module]:
        return f'"{wanted}" stands below {module} in modules/ORDER (a file includes only what stands above it)'
    if None not in (wing_of(module), wing_of(name)) and wing_of(module) != wing_of(name):
        return f'"{wanted}" is in the other wing; both meet in handover/ alone'
    return None


def check_order():
    places, findings = order()
    yield from findings
    for path in source.module_files('.c', '.h'):
        module = os.path.splitext(path[len('modules/'):])[0]
        if module not in places:
            yield f'{path}:1: order: {module} is not in modules/ORDER'
            continue
        text = source.read(path)
        for match in INCLUDE.finditer(text):
            fault = include_fault(places, module, match.group(1))
            if fault:
                yield f'{path}:{source.line_of(text, match.start())}: order: {fault}'


def check_banned_calls():
    for path in source.c_files():
        text = source.code(path)
        for match in BANNED_CALL.finditer(text):
            name = match.group(1)
            yield f'{path}:{source.line_of(text, match.start())}: banned-call: {name}(); take {BANNED[name]}'


def functions(path):
    """(name, first line, lines) of each function: the house's style has both its braces in the first column."""
    lines = source.code(path).split('\n')
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == '{':
            start = number
        elif line.startswith('}') and start is not None:
            head = next((text for text in reversed(lines[:start - 1]) if re.match(r'\w.*\(', text)), '?')
            yield head.split('(')[0].split()[-1].lstrip('*'), start, number - start + 1
            start = None


def check_function_length():
    for path in source.c_files():
        for name, line, length in functions(path):
            if length > FUNCTION_LINES_MAX:
                yield f'{path}:{line}: function-length: {name} has {length} lines, {FUNCTION_LINES_MAX} are the limit'


def check_file_length():
    """C only: a loader is one file, since it is embedded as one."""
    for path in source.c_files():
        length = source.read(path).count('\n')
        if length > FILE_LINES_MAX:
            yield f'{path}:{FILE_LINES_MAX + 1}: file-length: {length} lines, {FILE_LINES_MAX} are the limit'


def check_words():
    """Nothing unfinished, and no path of somebody's machine."""
    for path in source.files(*TEXT_ENDINGS):
        text = source.read(path)
        for match in WORDS.finditer(text):
            yield f'{path}:{source.line_of(text, match.start())}: words: "{match.group().strip()}" must not stand in the project'


def check_links():
    """A relative link in a document leads to a file that is there."""
    for path in source.files('.md'):
        text = source.read(path)
        for match in LINK.finditer(text):
            target = match.group(1).split('#')[0]
            if not target or re.match(r'[a-z]+:', target):
                continue
            if not os.path.exists(os.path.join(source.TOP, os.path.dirname(path), target)):
                yield f'{path}:{source.line_of(text, match.start())}: links: there is no {target}'
