"""A Rails application as its own generator writes it, without a network: Debian's gems, sqlite, one scaffold."""
import os
import re
import shutil
import subprocess
import urllib.parse

RAILS = '/usr/bin/rails'
LEFT_OUT = ('bundle', 'git', 'javascript', 'webpack-install', 'spring', 'bootsnap', 'listen', 'puma', 'test',
            'turbolinks', 'jbuilder')
ENVIRONMENT = {'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent', 'LANG': 'C.UTF-8', 'RAILS_ENV': 'production'}


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600)
    assert done.returncode == 0, '%s:\n%s' % (' '.join(command), done.stdout)


def generate(folder):
    """rails new FOLDER/shop, a scaffold, the database, the assets.  Returns its path."""
    root = os.path.join(folder, 'shop')
    run(folder, RAILS, 'new', 'shop', *('--skip-' + part for part in LEFT_OUT))
    gemfile = os.path.join(root, 'Gemfile')
    with open(gemfile) as f:
        text = f.read()
    with open(gemfile, 'w') as f:
        # What a production does not load and Debian has in packages of their own.
        f.write(re.sub(r"(?m)^ *(ruby |gem '(sass-rails|byebug|web-console|tzinfo-data|rack-mini-profiler)').*\n", '', text))
    run(root, 'bin/rails', 'generate', 'scaffold', 'product', 'name:string', 'price:integer')
    run(root, 'bin/rails', 'db:migrate', 'assets:precompile')
    return root


def copy(template, root):
    """One for a test; its files are those of the user that it is to run as, as after a deployment."""
    shutil.copytree(template, root, symlinks=True)
    if os.getuid() == 0:
        for path, _, names in os.walk(root):
            for name in [''] + names:
                shutil.chown(os.path.join(path, name), 'nobody', 'nogroup')


class Browser:
    """Somebody who fills in forms: keeps cookies, sends the token of the form that was shown."""

    def __init__(self, request):
        self.request = request  # request(path, method, headers, body)
        self.cookies = {}

    def go(self, path, method='GET', headers=(), body=None):
        headers = list(headers)
        if self.cookies:
            headers.append(('Cookie', '; '.join('%s=%s' % pair for pair in self.cookies.items())))
        answer = self.request(path, method, headers, body)
        for line in answer.all('set-cookie'):
            name, _, value = line.split(';')[0].partition('=')
            self.cookies[name] = value
        return answer

    def post(self, path, form, origin):
        headers = [('Content-Type', 'application/x-www-form-urlencoded')]
        if origin:
            headers.append(('Origin', origin))
        return self.go(path, 'POST', headers, urllib.parse.urlencode(form).encode())

    def submit(self, page, path, origin=None, **fields):
        """The form of this page, with these fields filled in, to this path."""
        form = dict(re.findall(r'<input type="hidden" name="(_method|authenticity_token)" value="([^"]*)"', page.text))
        assert form['authenticity_token']
        form.update({'product[%s]' % name: value for name, value in fields.items()})
        return self.post(path, form, origin)

    def destroy(self, page, path, origin=None):
        """What the script behind a link with data-method does."""
        token = re.search(r'<meta name="csrf-token" content="([^"]*)"', page.text).group(1)
        return self.post(path, {'_method': 'delete', 'authenticity_token': token}, origin)
