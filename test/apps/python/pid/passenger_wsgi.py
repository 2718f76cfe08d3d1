# Answers its process id; GET /threads says which thread and wsgi.multithread.
import os
import threading


def application(environ, start_response):
    text = "%d\n" % os.getpid()
    if environ["PATH_INFO"] == "/threads":
        main = threading.current_thread() is threading.main_thread()
        text = "%s %s\n" % ("main" if main else "other", environ["wsgi.multithread"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
