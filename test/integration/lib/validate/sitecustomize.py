# With this folder in PYTHONPATH every application runs within wsgiref.validate, or within the same for ASGI as it stands
# below: what a loader does that it must not raises AssertionError, which no log of a healthy passenger holds.
import functools
import importlib.machinery
import inspect
import os
import wsgiref.validate

# The rules of the specification, which outlive this: https://asgi.readthedocs.io/en/latest/specs/www.html
ADDRESS = (lambda value: value is None or
           isinstance(value[0], str) and isinstance(value[1], int) and len(value) == 2)
HEADERS = (lambda value: all(type(name) is bytes and type(text) is bytes and name == name.lower() for name, text in value))
COMMON = {
    "type": ("http", "websocket").__contains__,
    "asgi": lambda value: value["version"] == "3.0" and isinstance(value["spec_version"], str),
    "http_version": ("1.0", "1.1", "2").__contains__,
    "path": lambda value: type(value) is str and value.startswith("/"),
    "raw_path": lambda value: type(value) is bytes and b"?" not in value,
    "query_string": lambda value: type(value) is bytes and not value.startswith(b"?"),
    "root_path": lambda value: type(value) is str and not value.endswith("/"),
    "headers": HEADERS,
    "client": ADDRESS,
    "server": lambda value: value is None or isinstance(value[0], str) and (value[1] is None or isinstance(value[1], int)),
    "state": lambda value: type(value) is dict,
}
SCOPES = {
    "http": dict(COMMON, scheme=("http", "https").__contains__, method=lambda value: type(value) is str and value),
    "websocket": dict(COMMON, scheme=("ws", "wss").__contains__,
                      subprotocols=lambda value: all(type(name) is str for name in value),
                      extensions=lambda value: "websocket.http.response" in value),
    "lifespan": {"type": "lifespan".__eq__, "asgi": COMMON["asgi"], "state": COMMON["state"]},
}
MESSAGES = {
    "http.request": {"body": lambda value: type(value) is bytes, "more_body": (True, False).__contains__},
    "http.disconnect": {},
    "websocket.connect": {},
    "websocket.receive": {"bytes": lambda value: value is None or type(value) is bytes,
                          "text": lambda value: value is None or type(value) is str},
    "websocket.disconnect": {"code": lambda value: type(value) is int, "reason": lambda value: type(value) is str},
    "lifespan.startup": {},
    "lifespan.shutdown": {},
}
# Which message may be the next: by the one before, "" at the beginning.
ORDER = {
    "http": {"": ("http.request", "http.disconnect"), "http.request": ("http.request", "http.disconnect"),
             "http.disconnect": ("http.disconnect",)},
    "websocket": {"": ("websocket.connect",), "websocket.connect": ("websocket.receive", "websocket.disconnect"),
                  "websocket.receive": ("websocket.receive", "websocket.disconnect"),
                  "websocket.disconnect": ("websocket.disconnect",)},
    "lifespan": {"": ("lifespan.startup",), "lifespan.startup": ("lifespan.shutdown",)},
}


def check(what, rules, given, allowed=()):
    for name, rule in rules.items():
        assert name in given, "%s without %s" % (what, name)
        assert rule(given[name]), "%s: %s is %r" % (what, name, given[name])
    surplus = set(given) - set(rules) - {"type"} - set(allowed)
    assert not surplus, "%s: nobody knows %r" % (what, surplus)


def asgi_validator(application):
    @functools.wraps(application)
    async def validated(scope, receive, send):
        check("the scope", SCOPES[scope["type"]], scope, ("extensions",))
        order, last, complete = ORDER[scope["type"]], "", False

        async def checked():
            nonlocal last, complete
            message = await receive()
            kind = message["type"]
            assert kind in order[last], "%s after %s" % (kind, last or "nothing")
            check(kind, MESSAGES[kind], message)
            if kind == "http.request":
                assert not complete, "a body goes on after its end"
                complete = not message["more_body"]
            if kind == "websocket.receive":
                assert (message["bytes"] is None) != (message["text"] is None), "not one of bytes and text: %r" % message
            last = kind
            return message

        await application(scope, checked, send)
    return validated


def exec_module(self, module, original=importlib.machinery.SourceFileLoader.exec_module):
    original(self, module)
    if os.path.basename(self.path) not in ("passenger_wsgi.py", "wsgi.py", "asgi.py"):
        return
    for name in ("application", "app"):
        found = getattr(module, name, None)
        if not callable(found) or hasattr(found, "validated") or getattr(module, "NOT_VALIDATED", False):
            continue
        by_asgi = inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None))
        wrapped = (asgi_validator if by_asgi else wsgiref.validate.validator)(found)
        wrapped.validated = True
        setattr(module, name, wrapped)


importlib.machinery.SourceFileLoader.exec_module = exec_module
