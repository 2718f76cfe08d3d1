# Prints to stdout and to stderr, while it is loaded and with every request.
import sys

print("noisy: loading, stdout")
print("noisy: loading, stderr", file=sys.stderr)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    print("noisy: stdout", path)
    print("noisy: stderr", path, file=sys.stderr)
    environ["wsgi.errors"].write("noisy: wsgi.errors %s\n" % path)
    print("noisy: no line end", end="")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"noisy\n"]
