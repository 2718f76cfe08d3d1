"""Load from several clients at once."""
import threading
import time

from lib import client


class Threads:
    """with …: what each of .threads does until .over is set, which the end of the block does."""

    def __init__(self, count, run):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Load(Threads):
    """A light one: some on one connection each, some on a new one a request.  Whatever does not end with 200 is kept in
    .failures."""

    def __init__(self, address, path='/hello', keeping=2, new=2, pause=0.005, host='localhost'):
        super().__init__(keeping + new, lambda number: self.keep() if number < keeping else self.renew())
        self.address, self.path, self.pause, self.host = address, path, pause, host
        self.failures = []
        self.answered = 0

    def note(self, response):
        if response.status != 200:
            self.failures.append(repr(response))
        self.answered += 1
        time.sleep(self.pause)
        return response

    def keep(self):
        connection = None
        while not self.over.is_set():
            try:
                connection = connection or client.Connection(self.address, 30)
                if self.note(connection.request('GET', self.path, host=self.host)).closes:
                    connection.close()
                    connection = None
            except Exception as error:  # whatever it is, it is a failed request
                self.failures.append(repr(error))
                connection = None
        if connection:
            connection.close()

    def renew(self):
        while not self.over.is_set():
            try:
                self.note(client.request(self.address, self.path, headers=[('Connection', 'close')], timeout=30,
                                         host=self.host))
            except Exception as error:
                self.failures.append(repr(error))

    def __exit__(self, *fault):
        super().__exit__()
        if fault[0] is None:
            assert self.answered > 0 and not self.failures, (self.answered, self.failures[:5])
