"""The same for WSGI.  The process that counts is the server's parent, whose child this is."""
import os


def app(environ, start_response):
    length = len(environ['wsgi.input'].read())
    text = '%d %s %s %d\n' % (os.getppid(), environ['REQUEST_METHOD'], environ['PATH_INFO'], length)
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(text)))])
    return [text.encode()]
