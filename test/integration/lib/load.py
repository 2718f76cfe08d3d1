"""A light load from several clients, some on one connection each, some on a new one a request."""
import threading
import time

from lib import client


class Load:
    """with Load(front): …  Every request that does not end with 200 is kept in .failures."""

    def __init__(self, address, path='/hello', keeping=2, new=2, pause=0.005, host='localhost'):
        self.address, self.path, self.pause, self.host = address, path, pause, host
        self.failures = []
        self.answered = 0
        self.over = False
        self.threads = [threading.Thread(target=self.keep) for _ in range(keeping)]
        self.threads += [threading.Thread(target=self.renew) for _ in range(new)]

    def note(self, response):
        if response.status != 200:
            self.failures.append(repr(response))
        self.answered += 1
        time.sleep(self.pause)
        return response

    def keep(self):
        connection = None
        while not self.over:
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
        while not self.over:
            try:
                self.note(client.request(self.address, self.path, headers=[('Connection', 'close')], timeout=30,
                                         host=self.host))
            except Exception as error:
                self.failures.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()
        if _[0] is None:
            assert self.answered > 0 and not self.failures, (self.answered, self.failures[:5])
