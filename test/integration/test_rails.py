"""Rails: what `rails new` and `rails generate scaffold` write, through Apache and through a door; restart, kill, memory."""
import os
import re
import shutil
import signal

import pytest

from lib import apache, client, procs, rails
from lib.load import Load
from lib.passenger import TOP
from lib.wait import wait_until

HOST = 'www.example.org'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp('rails')
    yield rails.generate(str(folder))
    shutil.rmtree(folder)


@pytest.fixture
def shop(box, template):
    """start(…): the application behind Apache, with the vhost of docs/apache.conf."""
    webs = []

    def start(processes=2, with_apache=True, passenger=None, **options):
        root = box.path('shop')
        os.path.exists(root) or rails.copy(template, root)
        section = {'root': root, 'min_instances': processes, 'env.RAILS_LOG_TO_STDOUT': '1'}
        section.update(options)
        socket_path = box.path('apache.sock')
        p = box.start(passenger=dict({'max_pool_size': processes + 2}, **(passenger or {})), apps={'main': section},
                      listeners={'apache': apache.listener(socket_path)}, processes=processes)
        p.root = root
        if with_apache:
            webs.append(apache.Apache(box.path('apache'), apache.documented_vhost(TOP, socket_path, root + '/public')))
            p.web = webs[-1]
        return p
    yield start
    for web in webs:
        web.stop()


def pids(p):
    return [process['pid'] for process in p.processes() if process['state'] == 'enabled']


def by_apache(p):
    return lambda path, method, headers, body: client.request(p.web.address, path, method, headers, body, host=HOST)


def by_door(p):
    return lambda path, method, headers, body: p.doors()[0].request(path, method, headers, body)


def location(answer):
    assert answer.status == 302, answer
    return re.sub(r'^http://[^/]+', '', answer.header('location'))


def use_scaffold(browser, origin):
    """A product's life; every page is looked at."""
    page = browser.go('/products/new')
    assert page.status == 200 and '<form' in page.text
    made = browser.submit(page, '/products', origin, name='Tea & cake', price='7')
    path = location(made)
    if origin:
        assert made.header('location') == origin + path
    page = browser.go(path)
    assert 'Product was successfully created.' in page.text and 'Tea &amp; cake' in page.text
    assert 'Tea &amp; cake' in browser.go('/products').text
    page = browser.go(path + '/edit')
    assert 'value="7"' in page.text
    assert location(browser.submit(page, path, origin, name='Tea', price='8')) == path
    page = browser.go('/products')
    assert '<td>8</td>' in page.text and 'Tea &amp; cake' not in page.text
    assert location(browser.destroy(page, path, origin)) == '/products'
    assert '<td>8</td>' not in browser.go('/products').text
    assert browser.go(path).status == 404


def test_scaffold(shop):
    p = shop()
    use_scaffold(rails.Browser(by_apache(p)), 'http://' + HOST)
    use_scaffold(rails.Browser(by_door(p)), None)
    # somebody else's page can not fill in the form
    browser = rails.Browser(by_apache(p))
    page = browser.go('/products/new')
    assert browser.submit(page, '/products', 'http://evil.example', name='x').status == 422
    stranger = rails.Browser(by_apache(p))
    assert stranger.submit(page, '/products', name='x').status == 422
    # what Apache serves itself, what nobody does, what the application says
    style = re.search(r'href="(/assets/[^"]+\.css)"', page.text).group(1)
    answer = client.request(p.web.address, style, host=HOST)
    assert answer.status == 200 and answer.header('content-type').startswith('text/css')
    assert by_apache(p)('/none', 'GET', (), None).status == 404
    p.wait_log(r'^App main \d+ output: .*Started GET "/products/new" for 127\.0\.0\.1')
    assert p.group()['preloader_pid']


def test_restart_brings_new_code(box, shop):
    """Rolling: not one request fails meanwhile, and then all see it."""
    p = shop()
    browser = rails.Browser(by_apache(p))
    assert browser.go('/products').header('x-edition') is None
    old = set(pids(p))
    path = os.path.join(p.root, 'app', 'controllers', 'products_controller.rb')
    with open(path) as f:
        code = f.read()
    with open(path, 'w') as f:
        f.write(code.replace('Controller\n', 'Controller\n  before_action { response.set_header("X-Edition", "2") }\n', 1))
    assert browser.go('/products').header('x-edition') is None
    with Load(p.web.address, '/products', 1, 1, host=HOST):
        done = box.run('restart', '--wait', '--instance-dir', p.instance_dir, 'main')
        assert done.returncode == 0, done
    assert not set(pids(p)) & old
    for door in p.doors():
        assert door.state != 'enabled' or door.request('/products').header('x-edition') == '2'
    assert browser.go('/products').header('x-edition') == '2'


def test_killed_process(shop):
    p = shop()
    browser = rails.Browser(by_apache(p))
    path = location(browser.submit(browser.go('/products/new'), '/products', name='Cup', price='3'))
    victim = pids(p)[0]
    os.kill(victim, signal.SIGKILL)
    for _ in range(5):
        assert 'Cup' in browser.go(path).text
    wait_until(lambda: len(set(pids(p)) - {victim}) == 2, 20, 'a replacement')
    assert 'Cup' in browser.go(path).text
    assert p.group()['spawn_failures'] == 0
    p.seen.pop(victim, None)


def test_database_is_no_ones_but_each_process_own(box, shop, template):
    """A connection that was made while the application was loaded is in no process that was forked."""
    rails.copy(template, box.path('shop'))
    box.write('shop/config/initializers/early.rb',
              'Rails.application.config.after_initialize { Rails.logger.warn "#{Product.count} products early" }\n')
    p = shop(with_apache=False)
    p.wait_log(r'products early')

    def databases(pid):
        return [name for name in procs.descriptors(pid).values() if name.endswith('.sqlite3')]
    assert not databases(p.group()['preloader_pid']) and not [pid for pid in pids(p) if databases(pid)]
    for door in p.doors():
        assert door.request('/products').status == 200
        assert len(databases(door.pid)) == 1


def pss(p, method, rounds=5):
    """Of all processes, and the preloader, in KiB, after some requests to each."""
    for _ in range(rounds):
        for door in p.doors():
            assert door.request('/products').status == door.request('/products/new').status == 200
    everybody = pids(p) + [p.group()['preloader_pid']] * (method != 'direct')
    total = sum(procs.pss_kb(pid) for pid in everybody)
    print('%s: %d KiB in %d processes' % (method, total, len(everybody)))
    return total


def test_memory(shop):
    """6 that were forked, and their preloader, need at most half of what 6 others do, and less when it was warm."""
    sums = {}
    for method in ('direct', 'smart'):
        p = shop(6, with_apache=False, spawn_method=method, refork_after_requests=11)
        sums[method] = pss(p, method)
        if method == 'direct':
            p.stop()
    p.get('/products')  # one more than that
    wait_until(lambda: p.group()['generation'] == 1 and p.rolled(6), 20, 'a warm preloader')
    sums['reforked'] = pss(p, 'reforked')
    for method in ('smart', 'reforked'):
        print('%s / direct: %.1f %%' % (method, 100 * sums[method] / sums['direct']))
    assert sums['smart'] <= 0.5 * sums['direct']
    # a quarter of direct's where Ruby has not collected since the fork, two fifths where it just has
    assert sums['reforked'] <= 0.9 * sums['smart']
