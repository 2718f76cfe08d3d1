"""./build.sh check [NAME...]: all checks, or those named.  One line each, findings below; exit 1 when there is one.

--record FILE also writes one line a check for the test suite: name, outcome, seconds, tab between.
"""
import argparse
import sys
import time

import originals
import rules
import tools

CHECKS = {
    'order': rules.check_order,
    'banned-calls': rules.check_banned_calls,
    'function-length': rules.check_function_length,
    'file-length': rules.check_file_length,
    'words': rules.check_words,
    'links': rules.check_links,
    'binary': tools.check_binary,
    'ini': tools.check_ini,
    'options': tools.check_options,
    'originals': originals.check_originals,
    'formatting': tools.check_formatting,
    'shell': tools.check_shell,
    'python': tools.check_python,
    'ruby': tools.check_ruby,
    'node': tools.check_node,
    'systemd': tools.check_systemd,
    'clang-tidy': tools.check_clang_tidy,
}


def outcome_of(check):
    """("passed" | "failed" | "skipped", findings)"""
    try:
        findings = list(check())
    except tools.Missing as reason:
        return 'skipped', [str(reason)]
    except Exception as error:  # a check that breaks is a check that failed
        return 'failed', [f'the check itself broke: {type(error).__name__}: {error}']
    return ('failed' if findings else 'passed'), findings


def main():
    parser = argparse.ArgumentParser(prog='./build.sh check')
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join(CHECKS))
    parser.add_argument('--record')
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in CHECKS]
    if unknown:
        parser.error(f'no such check: {", ".join(unknown)}; there are {", ".join(CHECKS)}')
    records = []
    for name in arguments.names or CHECKS:
        start = time.monotonic()
        outcome, findings = outcome_of(CHECKS[name])
        seconds = time.monotonic() - start
        print(f'check {name:16} {outcome}  {seconds:.1f} s', flush=True)
        for finding in findings:
            print(f'    {finding}', flush=True)
        records.append(f'{name}\t{outcome}\t{seconds:.2f}\n')
    if arguments.record:
        with open(arguments.record, 'w', encoding='utf-8') as file:
            file.writelines(records)
    return 1 if any('\tfailed\t' in record for record in records) else 0


if __name__ == '__main__':
    sys.exit(main())
